//! Reports of exceptions, whole: what they say is what people search for.

use std::string::{String, ToString};

use stack_alloc::{Object, ObjectKind, ObjectState, Place};

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
            cpu: None,
            handler: None,
            task: "the first task".into(),
            stack: Some(Whereabouts::CallStack("boot".into())),
        },
        address: None,
    }
}

/// A page fault at an address.
fn page_fault(error_code: u64, address: u64, whereabouts: Option<Whereabouts>) -> String {
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
        page_fault(2, 0x4_1018, None),
        [
            "page fault (exception 14) at 0x0000000000001234\n",
            "  The code accessed an address that is not mapped that way.\n",
            "  error code 0x2: a write by the kernel, and no page is mapped there\n",
            "  CR2 0x0000000000041018: neither on a call stack nor in the kernel's image\n",
            "  in ordinary code, while the first task runs, on the call stack `boot`\n",
            TABLE,
        ]
        .concat()
    );
}

#[test]
fn general_protection_faults_tell_all() {
    assert_eq!(
        exception(vectors::GENERAL_PROTECTION, 0).to_string(),
        [
            "general protection fault (exception 13) at 0x0000000000001234\n",
            "  The code did what its segment, its privilege or the form of an address forbids.\n",
            "  error code 0x0: no segment is to blame\n",
            "  in ordinary code, while the first task runs, on the call stack `boot`\n",
            TABLE,
        ]
        .concat()
    );
}

#[test]
fn error_codes_are_told_where_there_are_any() {
    let text = exception(6, 0).to_string();
    assert!(!text.contains("error code"), "there is none: {text}");
}

#[test]
fn registers_that_point_into_the_heap_are_listed() {
    let mut fault = exception(PAGE_FAULT, 2);
    fault.address = Some((0x4_1020, None));
    let pointers = HeapPointers::find(&fault, |addresses| {
        Some(addresses.map(|address| match address {
            0x4_1018 => Some(place()),
            0x4_1020 | 0x5678 => Some(Place::FreePage),
            _ => None,
        }))
    });
    assert_eq!(
        pointers.to_string(),
        "registers that point into the heap:\n\
         \x20 CR2 in a free page\n\
         \x20 RSP in a free page\n\
         \x20 RDI 24 bytes into a free 64-byte chunk at 0x41000, block 0x40000, class 64\n"
    );
}

#[test]
fn a_heap_that_has_none_or_is_busy_says_so() {
    let fault = exception(6, 0);
    let none = HeapPointers::find(&fault, |addresses| Some(addresses.map(|_| None)));
    assert_eq!(none.to_string(), "no register points into the heap\n");
    let busy = HeapPointers::find(&fault, |_| None);
    assert_eq!(busy.to_string(), "the heap was busy: its lock is held\n");
}

#[test]
fn page_faults_are_named_for_what_they_mean() {
    for (error_code, address, whereabouts, sentence) in [
        (
            2,
            0x8000_0ff8,
            Some(Whereabouts::Guard("boot".into())),
            "The call stack `boot` has overflowed: the address is in the guard page below it.",
        ),
        (
            0,
            8,
            Some(Whereabouts::NextToNull),
            "The address is next to 0: a null pointer was followed.",
        ),
        (
            0x10,
            0x1234,
            Some(Whereabouts::NextToNull),
            "A null function pointer was called.",
        ),
        (
            0x11,
            0x1234,
            None,
            "The CPU was sent there to execute it, by a wrong function pointer or return address.",
        ),
        (
            3,
            0x8000_0ff8,
            Some(Whereabouts::CodeOrConstants),
            "The kernel's code and constants cannot be written to.",
        ),
    ] {
        let text = page_fault(error_code, address, whereabouts);
        assert_eq!(text.lines().nth(2), Some(&*["  ", sentence].concat()));
    }
    let plain = page_fault(1, 0x8000_0ff8, Some(Whereabouts::CodeOrConstants));
    assert!(
        plain
            .lines()
            .nth(2)
            .is_some_and(|line| line.starts_with("  error code"))
    );
}
