//! The prompt's clock, and waits that a key can end.

use core::time::Duration;

use crate::interrupts::timer;
use crate::{console, tasks};

/// Returns the milliseconds since the kernel was started.
#[must_use]
pub fn milliseconds() -> u64 {
    u64::try_from(timer::uptime().as_millis()).unwrap_or(u64::MAX)
}

/// How long a key may have to wait to be seen.
const KEY_INTERVAL: Duration = Duration::from_millis(20);

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// The time has come.
    Long,
    /// A key was pressed that says to stop.
    Stopped,
}

/// Waits that a key can end: Enter, `q` or Ctrl-C. Anything else that is typed is kept for the prompt, and then the keys are
/// left alone: that is what the lines of a script behind this one look like.
#[derive(Debug, Default)]
pub(super) struct Wait {
    /// Something was typed ahead.
    has_typed_ahead: bool,
}

impl Wait {
    /// Waits until [`timer::uptime`] has reached `end`.
    pub(super) fn until(&mut self, end: Duration) -> Waited {
        loop {
            let left = end.saturating_sub(timer::uptime());
            if left.is_zero() {
                return Waited::Long;
            }
            if self.is_stopped() {
                return Waited::Stopped;
            }
            tasks::sleep(left.min(KEY_INTERVAL));
        }
    }

    /// Looks for the key.
    fn is_stopped(&mut self) -> bool {
        const CANCEL: u8 = 0x03;
        if self.has_typed_ahead {
            return false;
        }
        match console::try_read_byte() {
            None => false,
            Some(b'\r' | b'\n' | b'q' | CANCEL) => true,
            Some(other) => {
                console::unread_byte(other);
                self.has_typed_ahead = true;
                false
            }
        }
    }
}
