//! The kernel's console: text out and bytes in over the serial port.
//!
//! Printing takes a lock and masks interrupts for the length of one message, so lines never mix, and handlers may print.
//! What comes in is taken out of the port by its interrupt, and waits in a ring until somebody reads it; when the ring is
//! full, the rest waits in the port, which tells the other side to stop.
//!
//! Reports of panics and exceptions use [`Emergency`], which takes the device away from whoever has it and never waits for
//! a lock.

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use crate::interrupts::{descriptor_table, timer};
use crate::lock::{MaskingLock, named_lock};
use crate::ring::Ring;
use crate::serial::{self, Com1};
use crate::style::PlainText;
use crate::tasks;

/// Bytes of input that can wait to be read.
const INPUT_BYTES: usize = 1024;

/// The console's state.
struct Console {
    /// The device.
    uart: Com1,
    /// What has come in and was not read yet.
    input: Ring<INPUT_BYTES>,
    /// A byte that was read and given back.
    unread: Option<u8>,
    /// What is printed goes here instead, while somebody listens.
    capture: Option<PlainText<Capture>>,
}

named_lock!(ConsoleLock, "the console's lock");

/// The one console.
static CONSOLE: Mutex<MaskingLock<ConsoleLock>, Console> = Mutex::new(Console {
    // SAFETY: this is the only driver of COM1, but for the one of `Emergency`, which nothing outlives.
    uart: unsafe { serial::com1() },
    input: Ring::new(),
    unread: None,
    capture: None,
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
    let console = &mut *CONSOLE.lock();
    // Writing to the device cannot fail; only a `Display` of the message can, and then there is nobody to tell. What does not
    // fit a capture is cut off, and the listener is told.
    let _ = match &mut console.capture {
        Some(capture) => write!(capture, "{message}"),
        None => write!(Lines(&mut console.uart), "{message}"),
    };
}

/// Text that is kept instead of shown. Never grows: there is no allocating under the console's lock.
struct Capture {
    /// The text.
    text: Vec<u8>,
    /// Text was cut off.
    is_cut: bool,
}

impl Write for Capture {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.capacity() - self.text.len() < text.len() {
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Runs `body` and returns what is printed meanwhile, by whomever, without colours; nothing of it is shown. Reports of failures
/// are shown all the same.
///
/// # Panics
///
/// If more than `most_bytes` are printed, or somebody is capturing already.
pub fn capture(most_bytes: usize, body: impl FnOnce()) -> Vec<u8> {
    let text = Vec::with_capacity(most_bytes);
    let capture = PlainText::new(Capture {
        text,
        is_cut: false,
    });
    let before = CONSOLE.lock().capture.replace(capture);
    assert!(before.is_none(), "the console is captured twice");
    body();
    let capture = CONSOLE.lock().capture.take();
    let Capture { text, is_cut } = capture.expect("nobody else ends it").into_inner();
    assert!(!is_cut, "more than {most_bytes} bytes were printed");
    text
}

/// Prints to the console, past any [`capture`], unless it is printing already; returns whether it did. For those who are called
/// from within it.
pub fn try_print(message: fmt::Arguments<'_>) -> bool {
    let Some(mut console) = CONSOLE.try_lock() else {
        return false;
    };
    let _ = write!(Lines(&mut console.uart), "{message}");
    true
}

/// Waits for a byte of input. Other tasks run meanwhile, or the CPU sleeps; for ever, where there is no serial port.
pub fn read_byte() -> u8 {
    loop {
        // Masked between looking and sleeping: else a byte's interrupt in between would be slept through.
        interrupts::disable();
        match try_read_byte() {
            Some(byte) => {
                interrupts::enable();
                return byte;
            }
            // The timer wakes the CPU too, so a lost interrupt costs 4 ms.
            None if timer::is_ticking() => tasks::wait_for_interrupt(),
            None => {
                interrupts::enable();
                core::hint::spin_loop();
            }
        }
    }
}

/// Returns the next byte of input, if there is one.
pub fn try_read_byte() -> Option<u8> {
    let next = || {
        let console = &mut *CONSOLE.lock();
        console.unread.take().or_else(|| console.input.pop())
    };
    interrupts::without_interrupts(|| {
        next().or_else(|| {
            // What a full ring has left in the port raises no interrupt again.
            receive(descriptor_table::serial_hook());
            next()
        })
    })
}

/// Takes input out of the port, and gives each byte to `hook` too. Called with interrupts masked.
///
/// Ends when the port is empty or the ring is full. Bytes of zero, which no keyboard sends, are not kept: they are for the
/// hook alone (see [`loop_back`]).
pub(crate) fn receive(hook: Option<fn(u8)>) {
    for _ in 0..INPUT_BYTES {
        // The lock is not held while the hook runs: it may print.
        let Some(byte) = receive_one(&mut CONSOLE.lock()) else {
            break;
        };
        if let Some(function) = hook {
            function(byte);
        }
    }
}

/// Takes one byte out of the port, unless there is no room for it.
fn receive_one(console: &mut Console) -> Option<u8> {
    if console.input.is_full() || !IS_PRESENT.load(Ordering::Relaxed) {
        return None;
    }
    let byte = console.uart.try_receive_byte().ok()?;
    if byte != 0 {
        let has_room = console.input.push(byte);
        debug_assert!(has_room, "it was not full");
    }
    Some(byte)
}

/// Has the port receive a byte as if it came from outside, with its interrupt. Nobody outside sees it. Returns whether there is
/// a port. For tests.
pub fn loop_back(byte: u8) -> bool {
    let is_present = IS_PRESENT.load(Ordering::Relaxed);
    if is_present {
        serial::loop_back(&mut CONSOLE.lock().uart, byte);
    }
    is_present
}

/// Gives a byte back, to be read next: for those who look for a key and find what was typed ahead.
pub fn unread_byte(byte: u8) {
    CONSOLE.lock().unread = Some(byte);
}

/// The serial port, taken over from whoever uses it, for the last words of the kernel.
///
/// The interrupted user of the port has the other text in the middle of its own, if it goes on at all.
#[derive(Debug)]
pub struct Emergency(Com1);

impl Emergency {
    /// Takes the port, without any lock.
    ///
    /// # Safety
    ///
    /// As long as it lives, interrupts are masked, and its owner does not print in another way.
    #[must_use]
    pub unsafe fn take() -> Self {
        // SAFETY: the other driver is not used: its users do not run, because there is one CPU and interrupts are masked, and the
        // owner promises not to be one. Another one like this is taken only where a failure interrupts this one for good.
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
