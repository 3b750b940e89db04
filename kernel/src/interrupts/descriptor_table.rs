//! The table that says which function the CPU calls, and the functions that no other module has.

use core::arch::asm;

use spin::Once;
use x86_64::structures::idt::{InterruptDescriptorTable, InterruptStackFrame};

use super::handling::Handling;
use super::hook::Hook;
use super::vector::{
    CALL, SERIAL, SOFTWARE, SPURIOUS_APIC, SPURIOUS_FIRST_PIC, SPURIOUS_SECOND_PIC, TIMER,
};
use super::{controller, exceptions, pic, timer, unexpected};
use crate::{console, cpu};

/// The table.
static TABLE: Once<InterruptDescriptorTable> = Once::new();

/// What the software interrupt calls.
static ON_SOFTWARE_INTERRUPT: Hook<fn()> = Hook::new();

/// What received bytes are given to.
static ON_SERIAL_BYTE: Hook<fn(u8)> = Hook::new();

/// Makes the CPU use the table; from here on exceptions are reported. Needs the stacks of [`gdt`](crate::gdt).
pub fn init() {
    let table = TABLE.call_once(|| {
        let mut table = InterruptDescriptorTable::new();
        exceptions::fill(&mut table);
        // What has a handler of its own is put over these.
        unexpected::fill(&mut table);
        table[TIMER].set_handler_fn(timer::handler);
        table[SERIAL].set_handler_fn(serial_handler);
        table[SPURIOUS_FIRST_PIC].set_handler_fn(spurious_first_pic);
        table[SPURIOUS_SECOND_PIC].set_handler_fn(spurious_second_pic);
        table[SPURIOUS_APIC].set_handler_fn(spurious_apic);
        table[SOFTWARE].set_handler_fn(software_handler);
        table[CALL].set_handler_fn(call_handler);
        table
    });
    table.load();
}

/// Chooses what the software interrupt calls.
pub fn on_software_interrupt(function: fn()) {
    ON_SOFTWARE_INTERRUPT.set(function);
}

/// Raises the software interrupt.
pub fn raise_software_interrupt() {
    // SAFETY: the vector has a handler, which returns with all registers as they were. What the hook writes is memory that the
    // compiler must take to be changed: no `nomem`.
    unsafe { asm!("int {}", const SOFTWARE) };
}

/// Chooses what each byte that the serial port receives is given to, with interrupts masked. It is kept for
/// [`read_byte`](console::read_byte) as well.
pub fn on_serial_byte(function: fn(u8)) {
    ON_SERIAL_BYTE.set(function);
}

/// Returns what received bytes are given to.
pub(crate) fn serial_hook() -> Option<fn(u8)> {
    ON_SERIAL_BYTE.get()
}

/// Called for `int 0x80`.
extern "x86-interrupt" fn software_handler(_: InterruptStackFrame) {
    let _handling = Handling::begin(SOFTWARE);
    ON_SOFTWARE_INTERRUPT.call();
}

/// Called when bytes have come in.
extern "x86-interrupt" fn serial_handler(_: InterruptStackFrame) {
    let _handling = Handling::begin(SERIAL);
    console::receive(serial_hook());
    controller::end_of_interrupt(SERIAL);
}

/// Called when another CPU has sent the interrupt.
extern "x86-interrupt" fn call_handler(_: InterruptStackFrame) {
    let _handling = Handling::begin(CALL);
    cpu::call::answer();
    controller::end_of_interrupt(CALL);
}

/// Called when an interrupt of the first PIC went away before the CPU asked which it was.
extern "x86-interrupt" fn spurious_first_pic(_: InterruptStackFrame) {
    let _handling = Handling::begin(SPURIOUS_FIRST_PIC);
    pic::end_if_in_service(SPURIOUS_FIRST_PIC);
}

/// Called when one of the second PIC did.
extern "x86-interrupt" fn spurious_second_pic(_: InterruptStackFrame) {
    let _handling = Handling::begin(SPURIOUS_SECOND_PIC);
    pic::end_if_in_service(SPURIOUS_SECOND_PIC);
}

/// Called when one of the local APIC did. It has nothing in service then, so it wants no end of it.
extern "x86-interrupt" fn spurious_apic(_: InterruptStackFrame) {
    let _handling = Handling::begin(SPURIOUS_APIC);
}
