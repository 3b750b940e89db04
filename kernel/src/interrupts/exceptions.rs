//! The way into the kernel by the CPU's exceptions. What is said of them is in [`exception`](crate::exception).
//!
//! The CPU pushes where it was; an entry per exception pushes the rest, so that all exceptions look alike, and the common
//! part hands it on as one [`Frame`]:
//!
//! ```text
//!          higher addresses
//!   SS RSP RFLAGS CS RIP        by the CPU, which aligns the stack to 16 bytes before
//!   error code                  by the CPU, or a 0 by the entry
//!   vector                      by the entry
//!   RAX RBX … R14 R15           by the common part ◄── &Frame
//!   RIP RBP                     by the common part ◄── RBP, like a call of the handler by the interrupted code,
//!          lower addresses                              so that backtraces go on there
//! ```

use core::arch::naked_asm;
use core::fmt::Write;
use core::mem::{offset_of, size_of};

use x86_64::VirtAddr;
use x86_64::registers::control::{Cr2, Cr3};
use x86_64::structures::idt::InterruptDescriptorTable;

use super::vector::FIRST_OF_PICS;
use super::{counts, nmi, unexpected};
use crate::backtrace::Backtrace;
use crate::exception::{BREAKPOINT, Exception, HeapPointers, NON_MASKABLE_INTERRUPT, PAGE_FAULT};
use crate::failure::{self, Failure, Summary};
use crate::registers::Frame;
use crate::stacks::ExceptionStack;
use crate::{console, cpu, lookup};

/// Makes the entry of an exception and returns its address: `plain`, or `coded` where the CPU pushes an error code.
macro_rules! entry {
    (plain $vector:expr) => {
        entry!("push 0", $vector)
    };
    (coded $vector:expr) => {
        entry!("", $vector)
    };
    ($error_code:literal, $vector:expr) => {{
        /// Called by the CPU alone.
        #[unsafe(naked)]
        extern "C" fn entry() -> ! {
            naked_asm!($error_code, "push {}", "jmp {}", const $vector, sym common)
        }
        VirtAddr::from_ptr(entry as *const ())
    }};
}

/// What all entries go on with: saves the registers, calls [`handle`], and goes back to the interrupted code.
#[unsafe(naked)]
pub(super) extern "C" fn common() -> ! {
    naked_asm!(
        "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp",
        "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
        // What Rust code takes for granted.
        "cld",
        "push [rsp + {instruction_pointer}]",
        "push rbp",
        "mov rbp, rsp",
        "lea rdi, [rsp + 16]",
        "call {handle}",
        "add rsp, 16",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
        "pop rbp", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
        // The vector and the error code.
        "add rsp, 16",
        "iretq",
        instruction_pointer = const offset_of!(Frame, instruction_pointer),
        handle = sym handle,
    )
}

/// The stack is aligned to 16 bytes where [`handle`] is called: two words are pushed behind the frame.
const _: () = assert!(size_of::<Frame>().is_multiple_of(16));

/// Enters a handler for each exception.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves all entries"
)]
pub(super) fn fill(table: &mut InterruptDescriptorTable) {
    // SAFETY: each entry is made for its vector and says whether the CPU pushes an error code for it.
    unsafe {
        table.divide_error.set_handler_addr(entry!(plain 0));
        table.debug.set_handler_addr(entry!(plain 1));
        table.breakpoint.set_handler_addr(entry!(plain BREAKPOINT));
        table.overflow.set_handler_addr(entry!(plain 4));
        table.bound_range_exceeded.set_handler_addr(entry!(plain 5));
        table.invalid_opcode.set_handler_addr(entry!(plain 6));
        table.device_not_available.set_handler_addr(entry!(plain 7));
        table.invalid_tss.set_handler_addr(entry!(coded 10));
        table.segment_not_present.set_handler_addr(entry!(coded 11));
        table.stack_segment_fault.set_handler_addr(entry!(coded 12));
        table
            .general_protection_fault
            .set_handler_addr(entry!(coded 13));
        table.x87_floating_point.set_handler_addr(entry!(plain 16));
        table.alignment_check.set_handler_addr(entry!(coded 17));
        table.simd_floating_point.set_handler_addr(entry!(plain 19));
        table.virtualization.set_handler_addr(entry!(plain 20));
        table
            .cp_protection_exception
            .set_handler_addr(entry!(coded 21));
        table
            .hv_injection_exception
            .set_handler_addr(entry!(plain 28));
        table
            .vmm_communication_exception
            .set_handler_addr(entry!(coded 29));
        table.security_exception.set_handler_addr(entry!(coded 30));
    }
    fill_those_with_own_stacks(table);
}

/// Enters the handlers that must not trust the stack they come upon.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves all four stacks"
)]
fn fill_those_with_own_stacks(table: &mut InterruptDescriptorTable) {
    // SAFETY: as in `fill`; and `gdt` has filled these entries of the task state segment, each with a stack that no other
    // vector uses.
    unsafe {
        table
            .non_maskable_interrupt
            .set_handler_addr(entry!(plain NON_MASKABLE_INTERRUPT))
            .set_stack_index(ExceptionStack::NonMaskableInterrupt as u16);
        table
            .double_fault
            .set_handler_addr(entry!(coded 8))
            .set_stack_index(ExceptionStack::DoubleFault as u16);
        table
            .page_fault
            .set_handler_addr(entry!(coded PAGE_FAULT))
            .set_stack_index(ExceptionStack::PageFault as u16);
        table
            .machine_check
            .set_handler_addr(entry!(plain 18))
            .set_stack_index(ExceptionStack::MachineCheck as u16);
    }
}

/// Handles an exception: a breakpoint is shown and left behind, an NMI mostly left behind, any other one is the end. (Unexpected
/// interrupts come here too, and are left behind.)
extern "C" fn handle(frame: &Frame) {
    // The entry pushes vectors, which have eight bits.
    let [vector, ..] = frame.vector.to_le_bytes();
    if vector >= FIRST_OF_PICS {
        unexpected::handle(vector);
        return;
    }
    if vector == NON_MASKABLE_INTERRUPT && cpu::answer_nmi() && !nmi::hardware_has_failed() {
        return;
    }
    counts::add(cpu::current(), vector);
    match vector {
        BREAKPOINT => show(&describe(frame)),
        NON_MASKABLE_INTERRUPT if nmi::handle() => {}
        _ => fail(frame),
    }
}

/// Shows an exception that the kernel goes on from.
fn show(exception: &Exception) {
    // Not `println!`: the breakpoint may be in code that holds the console's lock.
    console::interject(|console| {
        let _ = write!(console, "\n{exception}");
        let _ = write!(console, "{}", HeapPointers::find(exception, lookup::places));
    });
}

/// Reports an exception and leaves.
fn fail(frame: &Frame) -> ! {
    let [vector, ..] = frame.vector.to_le_bytes();
    let reporting = failure::begin(Summary::Exception {
        vector,
        instruction_pointer: frame.instruction_pointer,
    });
    let exception = describe(frame);
    let backtrace = Backtrace::of_interrupted(frame, exception.is_of_fetch());
    reporting.finish(&Failure::Exception(&exception), backtrace)
}

/// Gathers what the CPU said, and what the kernel's own variables tell of it. The heap is not asked here.
fn describe(frame: &Frame) -> Exception {
    let address = (frame.vector == u64::from(PAGE_FAULT)).then(Cr2::read_raw);
    Exception {
        frame: *frame,
        page_table: Cr3::read_raw().0.start_address().as_u64(),
        context: failure::context(frame.stack_pointer),
        address: address.map(|address| (address, lookup::outside_the_heap(address))),
    }
}
