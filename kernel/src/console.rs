//! The kernel's console: text out and bytes in over the serial port.
//!
//! Tasks take turns to print, each for the length of one message, so lines never mix. Handlers may print too.
//! What comes in is taken out of the port by its interrupt, and waits in a ring until somebody reads it; when the ring is
//! full, the rest waits in the port. QEMU then has the other side wait; a real port has room for 16 bytes, and loses what comes
//! behind them.
//!
//! Reports of panics and exceptions use [`Emergency`], which takes the device away from whoever has it and never waits for
//! a lock.

mod emergency;
mod message;

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use message::{InPieces, Turn};

use crate::interrupts::{descriptor_table, timer};
use crate::lock::{MaskingLock, named_lock};
use crate::ring::Ring;
use crate::serial::{self, Com1};
use crate::style::PlainText;
use crate::tasks::Waiter;

pub use emergency::Emergency;
pub(crate) use emergency::interject;

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
    /// What was printed last ended a line.
    is_at_line_start: bool,
}

named_lock!(ConsoleLock, "the console's lock");

/// The one console.
static CONSOLE: Mutex<MaskingLock<ConsoleLock>, Console> = Mutex::new(Console {
    // SAFETY: this is the only driver of COM1, but for the one of `Emergency`, which nothing outlives.
    uart: unsafe { serial::com1() },
    input: Ring::new(),
    unread: None,
    capture: None,
    is_at_line_start: true,
});

/// There is a serial port and it is set up. Without one, printing does nothing.
static IS_PRESENT: AtomicBool = AtomicBool::new(false);

/// Who waits for input.
static READER: Waiter = Waiter::new();

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
    // Writing to the device cannot fail; only a `Display` of the message can, and then there is nobody to tell. What does not
    // fit a capture is cut off, and the listener is told.
    let _ = match interrupts::are_enabled().then(Turn::take).flatten() {
        Some(_turn) => {
            let is_past_capture = false;
            write!(InPieces { is_past_capture }, "{message}")
        }
        None => CONSOLE.lock().print_at_once(message),
    };
}

impl Console {
    /// Prints a message with interrupts masked, in the middle of another one too.
    fn print_at_once(&mut self, message: fmt::Arguments<'_>) -> fmt::Result {
        if message::is_half_out() && !self.is_at_line_start {
            self.write_char('\n')?;
        }
        self.write_fmt(message)
    }

    /// Sends as much as the port takes without waiting, and returns how many bytes that is: all, where there is no port.
    fn send_some(&mut self, bytes: &[u8]) -> usize {
        if !IS_PRESENT.load(Ordering::Relaxed) {
            return bytes.len();
        }
        let sent = self.uart.send_bytes(bytes);
        self.note_end(&bytes[..sent]);
        sent
    }

    /// Writes to the one who captures, if there is one.
    fn write_captured(&mut self, text: &str) -> Option<fmt::Result> {
        let written = self.capture.as_mut()?.write_str(text);
        self.note_end(text.as_bytes());
        Some(written)
    }

    /// Notes whether what was printed ends a line.
    fn note_end(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.is_at_line_start = *last == b'\n';
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(written) = self.write_captured(text) {
            return written;
        }
        self.note_end(text.as_bytes());
        Lines(&mut self.uart).write_str(text)
    }
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

/// Prints to the console, past any [`capture`], unless a message is half out; returns whether it did. For those who are called
/// from within it.
pub fn try_print(message: fmt::Arguments<'_>) -> bool {
    if interrupts::are_enabled() {
        let is_past_capture = true;
        let turn = Turn::try_take();
        let _ = turn
            .as_ref()
            .map(|_| write!(InPieces { is_past_capture }, "{message}"));
        return turn.is_some();
    }
    let console = CONSOLE.try_lock().filter(|_| !message::is_half_out());
    let is_free = console.is_some();
    if let Some(mut console) = console {
        let _ = write!(Lines(&mut console.uart), "{message}");
    }
    is_free
}

/// Waits for a byte of input. Other tasks run meanwhile, or the CPU sleeps; for ever, where there is no serial port. Only one
/// task at a time reads.
pub fn read_byte() -> u8 {
    while !timer::is_ticking() {
        if let Some(byte) = try_read_byte() {
            return byte;
        }
        core::hint::spin_loop();
    }
    // It looks at each tick too, so a lost interrupt costs 4 ms.
    READER.wait_and_look_for(try_read_byte)
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
    READER.wake();
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
