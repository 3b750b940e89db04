//! Objects that go from one context to another, so that they are freed by one who did not allocate them.

use core::sync::atomic::{AtomicU64, Ordering};

use lock_api::Mutex;

use super::object::Object;
use crate::lock::{MaskingLock, named_lock};

/// How many objects wait for another context.
const PLACES: usize = 64;

named_lock!(ExchangeLock, "the stress's exchange");

/// The objects that wait.
static WAITING: Mutex<MaskingLock<ExchangeLock>, [Option<Object>; PLACES]> =
    Mutex::new([const { None }; PLACES]);

/// How many objects were taken by another one than had put them there.
static EXCHANGED: AtomicU64 = AtomicU64::new(0);

/// Leaves `object` at a place, and returns the one that was there.
pub(super) fn swap(place: usize, object: Option<Object>) -> Option<Object> {
    let other = core::mem::replace(&mut WAITING.lock()[place % PLACES], object);
    EXCHANGED.fetch_add(u64::from(other.is_some()), Ordering::Relaxed);
    other
}

/// Frees all objects that wait, one after the other, and returns how many were exchanged since the last call.
pub(super) fn clear() -> u64 {
    for place in 0..PLACES {
        let object = WAITING.lock()[place].take();
        // Behind the lock.
        drop(object);
    }
    EXCHANGED.swap(0, Ordering::Relaxed)
}

/// Returns how many were exchanged so far.
pub(super) fn exchanged() -> u64 {
    EXCHANGED.load(Ordering::Relaxed)
}
