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
    /// A key was pressed.
    Stopped,
}

/// Waits until [`timer::uptime`] has reached `end`, or a key is pressed.
pub(super) fn wait_until(end: Duration) -> Waited {
    loop {
        let left = end.saturating_sub(timer::uptime());
        if left.is_zero() {
            return Waited::Long;
        }
        if is_stopped() {
            return Waited::Stopped;
        }
        tasks::sleep(left.min(KEY_INTERVAL));
    }
}

/// Returns whether a key was pressed, which says that a command is to stop. Enter, `q` and Ctrl-C say no more than that; any other
/// one is kept for the prompt.
pub(super) fn is_stopped() -> bool {
    const CANCEL: u8 = 0x03;
    let key = console::try_read_byte();
    if let Some(other) = key.filter(|key| !matches!(key, b'\r' | b'\n' | b'q' | &CANCEL)) {
        console::unread_byte(other);
    }
    key.is_some()
}
