//! `talc` 5 behind the standard library's mutex, as programs on a host would have it: who waits for long falls asleep.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use std::sync::Mutex;

use talc::base::Talc;
use talc::base::binning::DefaultBinning;
use talc::source::Manual;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "talc_mutex",
    about: "talc 5 behind std::sync::Mutex",
    is_over_arena: true,
    make,
};

/// It.
struct TalcMutex(Mutex<Talc<Manual, DefaultBinning>>);

/// What is said of a lock that was held during a panic. There is none while it is held.
const POISONED: &str = "no panic with the lock held";

// SAFETY: that of the crate's heap, which one at a time enters.
unsafe impl GlobalAlloc for TalcMutex {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock().expect(POISONED);
        // SAFETY: the caller's promise.
        let allocated = unsafe { heap.allocate(layout) };
        allocated.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let mut heap = self.0.lock().expect(POISONED);
        // SAFETY: the caller's promise.
        unsafe { heap.deallocate(pointer, layout) };
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let mut heap = Talc::new(Manual);
    // SAFETY: the caller's promise.
    let claimed = unsafe { heap.claim(memory.start.as_ptr(), memory.size) };
    assert!(
        claimed.is_some(),
        "the memory is large enough for its books"
    );
    Box::new(Called(TalcMutex(Mutex::new(heap))))
}
