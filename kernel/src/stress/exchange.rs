//! Objects that go from one context to another, so that they are freed by one who did not allocate them. Each place has its own
//! lock: CPUs seldom wait for each other here, but meet in the heap.

use lock_api::Mutex;

use super::object::Object;
use super::tally::{self, What};
use crate::lock::{MaskingLock, named_lock};

/// How many objects wait for another context.
const PLACES: usize = 64;

named_lock!(ExchangeLock, "the stress's exchange");

/// The objects that wait.
static WAITING: [Mutex<MaskingLock<ExchangeLock>, Option<Object>>; PLACES] =
    [const { Mutex::new(None) }; PLACES];

/// Leaves `object` at a place, and returns the one that was there.
pub(super) fn swap(place: usize, object: Option<Object>) -> Option<Object> {
    let other = core::mem::replace(&mut *WAITING[place % PLACES].lock(), object);
    if other.is_some() {
        tally::count(What::Exchange);
    }
    other
}

/// Frees all objects that wait, one after the other.
pub(super) fn clear() {
    for place in &WAITING {
        let object = place.lock().take();
        // Behind the lock.
        drop(object);
    }
}
