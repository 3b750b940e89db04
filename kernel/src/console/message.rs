//! Messages stay whole, and interrupts come in while they are printed.
//!
//! A task that prints has the console to itself until its message is out; others wait for their turn. The text goes to the port
//! in pieces, each as much as the port takes without waiting, and interrupts are let in between. (At 115200 baud a screen full
//! takes a fifth of a second. Masked for so long, the kernel would lose ticks and input.)
//!
//! Who prints with interrupts masked, a handler or somebody who holds a lock, cannot wait for a turn. It prints at once, and
//! if somebody else's message is half out, on a line of its own.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::CONSOLE;
use crate::tasks;

/// The slot of the task that is printing, or [`NOBODY`].
static PRINTING: AtomicUsize = AtomicUsize::new(NOBODY);

/// No slot.
const NOBODY: usize = usize::MAX;

/// The running task's turn to print, until it drops.
#[derive(Debug)]
pub(super) struct Turn(());

impl Turn {
    /// Takes the turn, if nobody has it.
    pub(super) fn try_take() -> Option<Self> {
        let taken = PRINTING.compare_exchange(
            NOBODY,
            tasks::running_index(),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        // Made only here: dropping one gives the turn back.
        taken.ok().map(|_| Self(()))
    }

    /// Waits for the turn. `None` where the running task has it already: what it prints prints.
    pub(super) fn take() -> Option<Self> {
        loop {
            if let Some(turn) = Self::try_take() {
                return Some(turn);
            }
            if PRINTING.load(Ordering::Relaxed) == tasks::running_index() {
                return None;
            }
            tasks::yield_now();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        PRINTING.store(NOBODY, Ordering::Release);
    }
}

/// Returns whether a message is half out.
pub(super) fn is_half_out() -> bool {
    PRINTING.load(Ordering::Relaxed) != NOBODY
}

/// The console, for somebody who has the turn.
#[derive(Debug)]
pub(super) struct InPieces {
    /// The text is shown even while somebody captures what is printed.
    pub(super) is_past_capture: bool,
}

impl Write for InPieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.is_past_capture
            && let Some(written) = CONSOLE.lock().write_captured(text)
        {
            return written;
        }
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                send(b"\r\n");
            }
            send(line.as_bytes());
        }
        Ok(())
    }
}

/// Sends bytes, with interrupts let in whenever the port has to be waited for.
fn send(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let sent = CONSOLE.lock().send_some(bytes);
        bytes = &bytes[sent..];
        if sent == 0 {
            core::hint::spin_loop();
        }
    }
}
