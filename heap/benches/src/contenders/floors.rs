//! A floor for each thread: no thread ever waits for another, and a free costs the same whoever has allocated.
//!
//! What a thread frees it hands out again itself, wherever that came from. So one that only frees keeps all of it, and one that
//! only allocates takes new memory all the time: no heap for use, but about the least that several threads can take.

use core::alloc::{GlobalAlloc, Layout};

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::floor::Floor;
use crate::heap::{Called, Heap};
use crate::thread_number;

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "floors",
    about: "a floor for each of two threads, with its lock: what they free, they keep",
    is_over_arena: true,
    make,
};

/// A floor that shares no cache line with another.
#[repr(align(128))]
struct Apart(Floor);

/// One for each of two threads. A third one shares.
struct Floors([Apart; 2]);

impl Floors {
    /// Returns that of the thread which calls.
    #[inline]
    fn mine(&self) -> &Floor {
        &self.0[thread_number::current() % 2].0
    }
}

// SAFETY: floors do not care whose objects they are given back: they are kept in lists by size, from whatever memory.
unsafe impl GlobalAlloc for Floors {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.mine().alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, and the object is from a floor.
        unsafe { self.mine().dealloc(object, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the same.
        unsafe { self.mine().realloc(object, layout, new_size) }
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let size = memory.size / 2;
    // SAFETY: the second half begins inside of the memory.
    let second = unsafe { memory.start.add(size) };
    let half = |start| {
        // SAFETY: the caller's promise, and the halves do not overlap.
        Apart(unsafe { Floor::new(Memory { start, size }) })
    };
    Box::new(Called(Floors([half(memory.start), half(second)])))
}
