//! Reports of exceptions, whole: what they say is what people search for.

use std::string::{String, ToString};

use stack_alloc::{Object, ObjectKind, ObjectState};

use super::*;
use crate::registers::Registers;

/// The lines of the registers in the reports below.
const TABLE: &str = "  RAX 0000000000000001   RBX 0000000000000000   RCX 0000000000000000
  RDX 0000000000000000   RSI 0000000000000000   RDI 0000000000041018
  RBP 0000000000000000   RSP 0000000000005678   R8  0000000000000000
  R9  0000000000000000   R10 0000000000000000   R11 0000000000000000
  R12 0000000000000000   R13 0000000000000000   R14 0000000000000000
  R15 0000000000000000   RIP 0000000000001234   CR3 0000000000101000
  CS  0x0008   RFLAGS 0x00000246: PF ZF IF
";

/// An exception with the registers of [`TABLE`].
fn exception(vector: u8, error_code: u64) -> Exception {
    Exception {
        frame: Frame {
            registers: Registers {
                rax: 1,
                rdi: 0x4_1018,
                ..Registers::default()
            },
            vector: u64::from(vector),
            error_code,
            instruction_pointer: 0x1234,
            code_segment: 8,
            flags: 0x246,
            stack_pointer: 0x5678,
            stack_segment: 16,
        },
        page_table: 0x10_1000,
        context: FailureContext {
            handler: None,
            task: "the first task",
            stack: Whereabouts::CallStack("boot".into()),
        },
        address: None,
        heap_pointers: Some([None; GENERAL_REGISTERS]),
    }
}

/// A page fault at an address.
fn page_fault(error_code: u64, address: u64, whereabouts: Whereabouts) -> String {
    let mut fault = exception(PAGE_FAULT, error_code);
    fault.address = Some((address, whereabouts));
    fault.to_string()
}

/// A place in a chunk.
fn place() -> Place {
    let object = Object {
        address: 0x4_1000,
        size: 64,
        kind: ObjectKind::Chunk,
        state: ObjectState::Free,
    };
    Place::Object { object, offset: 24 }
}

#[test]
fn page_faults_tell_all() {
    assert_eq!(
        page_fault(2, 0x4_1018, Whereabouts::Heap(place())),
        [
            "page fault (exception 14) at 0x0000000000001234\n",
            "  The code accessed an address that is not mapped that way.\n",
            "  error code 0x2: a write by the kernel, and no page is mapped there\n",
            "  CR2 0x0000000000041018: 24 bytes into a free 64-byte chunk at 0x41000, block 0x40000, class 64\n",
            "  in ordinary code, while the first task runs, on the call stack `boot`\n",
            TABLE,
        ]
        .concat()
    );
}

#[test]
fn registers_that_point_into_the_heap_are_listed() {
    let mut fault = exception(vectors::GENERAL_PROTECTION, 0);
    let mut places = [None; GENERAL_REGISTERS];
    places[5] = Some(place());
    places[7] = Some(Place::FreePage);
    fault.heap_pointers = Some(places);
    assert_eq!(
        fault.to_string(),
        [
            "general protection fault (exception 13) at 0x0000000000001234\n",
            "  The code did what its segment, its privilege or the form of an address forbids.\n",
            "  error code 0x0: no segment is to blame\n",
            "  in ordinary code, while the first task runs, on the call stack `boot`\n",
            TABLE,
            "  registers that point into the heap:\n",
            "    RDI 24 bytes into a free 64-byte chunk at 0x41000, block 0x40000, class 64\n",
            "    R8  in a free page\n",
        ]
        .concat()
    );
}

#[test]
fn a_busy_heap_is_said_to_be() {
    let mut fault = exception(6, 0);
    fault.heap_pointers = None;
    let text = fault.to_string();
    assert!(text.ends_with("PF ZF IF\n  the heap was busy: its lock is held\n"));
    assert!(!text.contains("error code"), "there is none: {text}");
}

#[test]
fn page_faults_are_named_for_what_they_mean() {
    for (error_code, address, whereabouts, sentence) in [
        (
            2,
            0x8000_0ff8,
            Whereabouts::Guard("boot".into()),
            "The call stack `boot` has overflowed: the address is in the guard page below it.",
        ),
        (
            0,
            8,
            Whereabouts::NextToNull,
            "The address is next to 0: a null pointer was followed.",
        ),
        (
            0x10,
            0x1234,
            Whereabouts::NextToNull,
            "A null function pointer was called.",
        ),
        (
            0x11,
            0x1234,
            Whereabouts::Heap(place()),
            "The CPU was sent there to execute it, by a wrong function pointer or return address.",
        ),
        (
            3,
            0x8000_0ff8,
            Whereabouts::CodeOrConstants,
            "The kernel's code and constants cannot be written to.",
        ),
    ] {
        let text = page_fault(error_code, address, whereabouts);
        assert_eq!(text.lines().nth(2), Some(&*["  ", sentence].concat()));
    }
    let plain = page_fault(1, 0x8000_0ff8, Whereabouts::CodeOrConstants);
    assert!(
        plain
            .lines()
            .nth(2)
            .is_some_and(|line| line.starts_with("  error code"))
    );
}
