//! The model beside the heap: which bytes are whose.
//!
//! An ordered map of the live objects, in the heap itself like everything. Its lock masks interrupts, because handlers
//! allocate too; what happens under it takes a few steps for each doubling of the number of objects.

use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::ptr::NonNull;

use lock_api::Mutex;

use crate::lock::{MaskingLock, named_lock};

named_lock!(ShadowLock, "the stress's shadow");

/// The end of each live object, by its start.
static LIVE: Mutex<MaskingLock<ShadowLock>, BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Notes an object that was just handed out.
///
/// # Panics
///
/// If some of its bytes are those of another live object: a finding.
pub fn insert(start: NonNull<u8>, layout: Layout) {
    let start = start.addr().get();
    let end = start + layout.size();
    let neighbour = {
        let mut live = LIVE.lock();
        let before = live.range(..end).next_back();
        let overlap = before
            .filter(|&(_, &other_end)| other_end > start)
            .map(|(&start, &end)| start..end);
        if overlap.is_none() {
            live.insert(start, end);
        }
        overlap
    };
    // The lock is not held any more: a report prints.
    if let Some(other) = neighbour {
        panic!("stress: the heap handed out {start:#x}..{end:#x} over the live object {other:#x?}");
    }
}

/// Forgets an object that is about to be freed or moved.
///
/// # Panics
///
/// If it is not known: the stress itself is wrong.
pub fn remove(start: NonNull<u8>, layout: Layout) {
    let start = start.addr().get();
    let known = LIVE.lock().remove(&start);
    assert_eq!(
        known,
        Some(start + layout.size()),
        "stress: {start:#x} is not what the shadow knows"
    );
}

/// Forgets everything, with the memory of the map itself, and returns how many objects were live.
pub fn clear() -> usize {
    let live = core::mem::take(&mut *LIVE.lock());
    live.len()
}
