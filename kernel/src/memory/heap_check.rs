//! Whether the heap and what lies below it are as they should be: the heap's own check, and what was found out under its lock.
//!
//! A release that the frame allocator or the mapper refuses is found out while the heap's lock is held, where nothing may
//! panic or print. So the first one is kept here, and told by whoever looks without the lock: [`check`] (at the prompt `heap
//! check`, and behind each test), and the prompt before it reads the next line.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::Mutex;
use stack_alloc::Corruption;

use super::heap_source::HEAP;
use super::mapper::UnmapError;
use crate::interrupts::masked;
use crate::lock::{MaskingLock, named_lock};

named_lock!(RefusedLock, "the lock of the refused release");

/// The first release that was refused. Its lock is the last one of all: it may be taken under the heap's.
static REFUSED: Mutex<MaskingLock<RefusedLock>, Option<UnmapError>> = Mutex::new(None);

/// The prompt has told of it.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// What is wrong. Displays as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An invariant of the heap does not hold.
    Corrupt(Corruption),
    /// A release was refused since the kernel booted. The memory, whosever it is, was left as it was.
    Refused(UnmapError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::Refused(error) => {
                write!(
                    f,
                    "the heap gave back memory that it does not have: {error}"
                )
            }
        }
    }
}

impl Error for Fault {}

/// Keeps a release that was refused, to be told later. Never waits, prints or panics: the heap's lock is held.
pub(super) fn note_refused(error: UnmapError) {
    if let Some(mut refused) = REFUSED.try_lock() {
        refused.get_or_insert(error);
    }
}

/// Returns the first release that was refused.
fn refused() -> Option<UnmapError> {
    *REFUSED.lock()
}

/// Walks the whole heap and proves its invariants, without that being measured as work of the heap, and looks whether a release
/// was refused.
///
/// # Errors
///
/// The first [`Fault`] found. A refused release is found again and again.
pub fn check() -> Result<(), Fault> {
    masked::unwatched(|| HEAP.check()).map_err(Fault::Corrupt)?;
    refused().map_or(Ok(()), |error| Err(Fault::Refused(error)))
}

/// Logs a release that was refused, once.
pub fn tell_refused() {
    if let Some(error) = refused().filter(|_| !IS_TOLD.swap(true, Ordering::Relaxed)) {
        log::error!("{}", Fault::Refused(error));
    }
}
