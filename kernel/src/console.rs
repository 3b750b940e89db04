//! The kernel's console: text out and bytes in over the serial port.
//!
//! Printing takes a lock and masks interrupts for the length of one message, so lines never mix, and handlers may print.
//! Reports of panics and exceptions use [`Emergency`], which takes the device away from whoever has it and never waits for
//! a lock.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use crate::interrupts::timer;
use crate::lock::InterruptMaskingLock;
use crate::serial::{self, Com1};

/// The console's state.
struct Console {
    /// The device.
    uart: Com1,
}

/// The one console.
static CONSOLE: Mutex<InterruptMaskingLock, Console> = Mutex::new(Console {
    // SAFETY: this is the only driver of COM1, but for the one of `Emergency`, which nothing outlives.
    uart: unsafe { serial::com1() },
});

/// There is a serial port and it is set up. Without one, printing does nothing.
static IS_PRESENT: AtomicBool = AtomicBool::new(false);

/// Sets the serial port up. To be called before the first message; input that came earlier is lost.
pub fn init() {
    let is_present = serial::init(&mut CONSOLE.lock().uart).is_ok();
    IS_PRESENT.store(is_present, Ordering::Relaxed);
}

/// Prints to the console; takes what [`format!`](alloc::fmt::format) takes, and allocates nothing.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print(::core::format_args!($($argument)*)) };
}

/// Prints a line to the console; takes what [`format!`](alloc::fmt::format) takes, and allocates nothing.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($($argument)*))) };
}

/// Prints to the console: what [`print!`](crate::print) expands to.
pub fn print(message: fmt::Arguments<'_>) {
    // Writing to the device cannot fail; only a `Display` of the message can, and then there is nobody to tell.
    let _ = write!(Lines(&mut CONSOLE.lock().uart), "{message}");
}

/// Waits for a byte of input. The CPU sleeps meanwhile.
pub fn read_byte() -> u8 {
    loop {
        // Masked between looking and sleeping: else a byte's interrupt in between would be slept through.
        interrupts::disable();
        let received = CONSOLE.lock().uart.try_receive_byte();
        match received {
            Ok(byte) => {
                interrupts::enable();
                return byte;
            }
            // The timer wakes the CPU too, so a lost interrupt costs 10 ms.
            Err(_) if timer::is_ticking() => interrupts::enable_and_hlt(),
            Err(_) => {
                interrupts::enable();
                core::hint::spin_loop();
            }
        }
    }
}

/// Takes the serial port over from whoever uses it, for the last words of the kernel.
///
/// The caller goes nowhere but out (or, for a breakpoint, back to code that was not printing), so the interrupted user of
/// the port can only lose the middle of its message.
#[derive(Debug)]
pub struct Emergency(Com1);

impl Emergency {
    /// Takes the port, without any lock.
    #[must_use]
    pub fn take() -> Self {
        // SAFETY: the other driver's owner does not run while we do: there is one CPU, and we mask interrupts.
        Self(unsafe { serial::com1() })
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Lines(&mut self.0).write_str(text)
    }
}

/// Text for a terminal: line ends become `\r\n`.
struct Lines<'a>(&'a mut Com1);

impl Write for Lines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !IS_PRESENT.load(Ordering::Relaxed) {
            return Ok(());
        }
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.0.send_bytes_exact(b"\r\n");
            }
            self.0.send_bytes_exact(line.as_bytes());
        }
        Ok(())
    }
}
