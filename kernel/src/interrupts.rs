//! Interrupts and exceptions: the table that says which function the CPU calls.
//!
//! | vectors | what | module |
//! |---|---|---|
//! | 0–31 | exceptions of the CPU: reported; all but the breakpoint end the kernel | [`exceptions`] |
//! | 32–47 | the two interrupt controllers: timer and serial port, the others masked | [`pic`], [`timer`] |
//! | 0x80 | a software interrupt, free to use | here |
//!
//! Handlers run with interrupts masked, and may print and allocate: those locks mask interrupts too.

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, Ordering};

use spin::Once;
use x86_64::instructions::interrupts as cpu;
use x86_64::structures::idt::{InterruptDescriptorTable, InterruptStackFrame};

pub mod exceptions;
pub mod pic;
pub mod timer;

/// The vector of the software interrupt.
pub const SOFTWARE_INTERRUPT: u8 = 0x80;

/// The table.
static TABLE: Once<InterruptDescriptorTable> = Once::new();

/// What the software interrupt calls.
static ON_SOFTWARE_INTERRUPT: Hook = Hook::new();

/// Makes the CPU use the table; from here on exceptions are reported. Needs the stacks of [`gdt`](crate::gdt).
pub fn init() {
    let table = TABLE.call_once(|| {
        let mut table = InterruptDescriptorTable::new();
        exceptions::fill(&mut table);
        table[pic::TIMER].set_handler_fn(timer::handler);
        table[pic::SERIAL].set_handler_fn(serial_handler);
        for spurious in pic::SPURIOUS {
            table[spurious].set_handler_fn(spurious_handler);
        }
        table[SOFTWARE_INTERRUPT].set_handler_fn(software_handler);
        table
    });
    table.load();
}

/// Sets the controllers and the timer up, and lets interrupts in.
pub fn start() {
    pic::init();
    timer::init();
    cpu::enable();
}

/// Chooses what the software interrupt calls.
pub fn on_software_interrupt(function: fn()) {
    ON_SOFTWARE_INTERRUPT.set(function);
}

/// Raises the software interrupt.
pub fn raise_software_interrupt() {
    // SAFETY: the vector has a handler, which returns with all registers as they were. What the hook writes is memory that the
    // compiler must take to be changed: no `nomem`.
    unsafe { asm!("int {}", const SOFTWARE_INTERRUPT) };
}

/// Called for `int 0x80`.
extern "x86-interrupt" fn software_handler(_: InterruptStackFrame) {
    ON_SOFTWARE_INTERRUPT.call();
}

/// Called when a byte has come in: waking the CPU was all it is for. The line stays up until the byte is read, so the next
/// edge comes with the next byte.
extern "x86-interrupt" fn serial_handler(_: InterruptStackFrame) {
    pic::end_of_interrupt(pic::SERIAL);
}

/// Called when an interrupt went away before the CPU asked which it was.
extern "x86-interrupt" fn spurious_handler(_: InterruptStackFrame) {}

/// A function that an interrupt calls, changeable while interrupts come.
#[derive(Debug)]
pub(crate) struct Hook(AtomicPtr<()>);

impl Hook {
    /// A hook that calls nothing.
    const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Chooses the function.
    fn set(&self, function: fn()) {
        self.0.store(function as *mut (), Ordering::Release);
    }

    /// Calls the function, if one was chosen.
    fn call(&self) {
        let pointer = self.0.load(Ordering::Acquire);
        if !pointer.is_null() {
            // SAFETY: only `set` stores pointers that are not null, and those were made from a `fn()`.
            let function = unsafe { core::mem::transmute::<*mut (), fn()>(pointer) };
            function();
        }
    }
}
