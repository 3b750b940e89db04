//! Handlers of the CPU's exceptions. The texts are in [`exception`](crate::exception).

use core::fmt::Write;

use x86_64::registers::control::Cr2;
use x86_64::structures::idt::{InterruptDescriptorTable, InterruptStackFrame, PageFaultErrorCode};

use super::{counts, nmi};
use crate::backtrace::Backtrace;
use crate::console::Emergency;
use crate::exception::{BREAKPOINT, Exception, Hint, NON_MASKABLE_INTERRUPT, PAGE_FAULT};
use crate::failure::{self, Failure};
use crate::stacks::{self, ExceptionStack};

/// Reads the interrupted code's frame pointer: the handler has saved it where its own points to.
macro_rules! interrupted_frame_pointer {
    () => {{
        let frame_pointer: u64;
        // SAFETY: all code has frame pointers, so RBP points into the handler's own stack frame.
        unsafe { ::core::arch::asm!("mov {}, [rbp]", out(reg) frame_pointer, options(readonly, nostack, preserves_flags)) };
        frame_pointer
    }};
}

/// Makes the handler of an exception: `plain` or `coded` (with an error code), returning or not.
macro_rules! handler {
    (plain $vector:expr) => {{
        extern "x86-interrupt" fn handler(frame: InterruptStackFrame) {
            handle($vector, None, &frame, interrupted_frame_pointer!());
        }
        handler
    }};
    (coded $vector:expr) => {{
        extern "x86-interrupt" fn handler(frame: InterruptStackFrame, error_code: u64) {
            handle(
                $vector,
                Some(error_code),
                &frame,
                interrupted_frame_pointer!(),
            );
        }
        handler
    }};
    (plain $vector:expr, final) => {{
        extern "x86-interrupt" fn handler(frame: InterruptStackFrame) -> ! {
            fail($vector, None, &frame, interrupted_frame_pointer!())
        }
        handler
    }};
    (coded $vector:expr, final) => {{
        extern "x86-interrupt" fn handler(frame: InterruptStackFrame, error_code: u64) -> ! {
            fail(
                $vector,
                Some(error_code),
                &frame,
                interrupted_frame_pointer!(),
            )
        }
        handler
    }};
}

/// Enters a handler for each exception.
pub(super) fn fill(table: &mut InterruptDescriptorTable) {
    table.divide_error.set_handler_fn(handler!(plain 0));
    table.debug.set_handler_fn(handler!(plain 1));
    table.breakpoint.set_handler_fn(handler!(plain BREAKPOINT));
    table.overflow.set_handler_fn(handler!(plain 4));
    table.bound_range_exceeded.set_handler_fn(handler!(plain 5));
    table.invalid_opcode.set_handler_fn(handler!(plain 6));
    table.device_not_available.set_handler_fn(handler!(plain 7));
    table.invalid_tss.set_handler_fn(handler!(coded 10));
    table.segment_not_present.set_handler_fn(handler!(coded 11));
    table.stack_segment_fault.set_handler_fn(handler!(coded 12));
    table
        .general_protection_fault
        .set_handler_fn(handler!(coded 13));
    table.x87_floating_point.set_handler_fn(handler!(plain 16));
    table.alignment_check.set_handler_fn(handler!(coded 17));
    table.simd_floating_point.set_handler_fn(handler!(plain 19));
    table.virtualization.set_handler_fn(handler!(plain 20));
    table
        .cp_protection_exception
        .set_handler_fn(handler!(coded 21));
    table
        .hv_injection_exception
        .set_handler_fn(handler!(plain 28));
    table
        .vmm_communication_exception
        .set_handler_fn(handler!(coded 29));
    table.security_exception.set_handler_fn(handler!(coded 30));
    fill_those_with_own_stacks(table);
}

/// Enters the handlers that must not trust the stack they come upon.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves all four stacks"
)]
fn fill_those_with_own_stacks(table: &mut InterruptDescriptorTable) {
    // SAFETY: `gdt` has filled these entries of the task state segment, each with a stack that no other vector uses.
    unsafe {
        table
            .non_maskable_interrupt
            .set_handler_fn(handler!(plain NON_MASKABLE_INTERRUPT))
            .set_stack_index(ExceptionStack::NonMaskableInterrupt as u16);
        table
            .double_fault
            .set_handler_fn(handler!(coded 8, final))
            .set_stack_index(ExceptionStack::DoubleFault as u16);
        table
            .page_fault
            .set_handler_fn(page_fault)
            .set_stack_index(ExceptionStack::PageFault as u16);
        table
            .machine_check
            .set_handler_fn(handler!(plain 18, final))
            .set_stack_index(ExceptionStack::MachineCheck as u16);
    }
}

/// Called for page faults; the `x86_64` crate gives their error code a type of its own.
extern "x86-interrupt" fn page_fault(frame: InterruptStackFrame, error_code: PageFaultErrorCode) {
    handle(
        PAGE_FAULT,
        Some(error_code.bits()),
        &frame,
        interrupted_frame_pointer!(),
    );
}

/// Handles an exception: a breakpoint is shown and left behind, an NMI mostly left behind, any other one is the end.
fn handle(vector: u8, error_code: Option<u64>, frame: &InterruptStackFrame, frame_pointer: u64) {
    counts::add(vector);
    match vector {
        BREAKPOINT => show(&describe(vector, error_code, frame)),
        NON_MASKABLE_INTERRUPT if nmi::handle() => {}
        _ => fail(vector, error_code, frame, frame_pointer),
    }
}

/// Shows an exception that the kernel goes on from.
fn show(exception: &Exception) {
    // Not `println!`: the breakpoint may be in code that holds the console's lock.
    let _ = writeln!(Emergency::take(), "\n{exception}");
}

/// Reports an exception and leaves.
fn fail(vector: u8, error_code: Option<u64>, frame: &InterruptStackFrame, frame_pointer: u64) -> ! {
    let exception = describe(vector, error_code, frame);
    let backtrace = Backtrace {
        instruction_pointer: Some(exception.instruction_pointer),
        frame_pointer,
    };
    failure::report(Failure::Exception(&exception), backtrace)
}

/// Gathers what the CPU said.
fn describe(vector: u8, error_code: Option<u64>, frame: &InterruptStackFrame) -> Exception {
    let address = (vector == PAGE_FAULT).then(Cr2::read_raw);
    Exception {
        vector,
        error_code,
        address,
        instruction_pointer: frame.instruction_pointer.as_u64(),
        stack_pointer: frame.stack_pointer.as_u64(),
        flags: frame.cpu_flags.bits(),
        code_segment: frame.code_segment.0,
        hint: address.and_then(hint),
    }
}

/// Returns what the kernel knows of the address of a page fault.
fn hint(address: u64) -> Option<Hint> {
    let overflow = stacks::guarded_by(address).map(Hint::Overflow);
    overflow.or((address < 4096).then_some(Hint::NullPointer))
}
