//! No heap at all: what the benchmark itself takes, and what the lock takes.
//!
//! Every object is the same few bytes. So a replay on it costs what reading the operations, guessing their branches wrong
//! and writing to objects costs, which is in everybody's time; and behind the lock that all have, the least that any heap
//! behind that lock can take.

use core::alloc::{GlobalAlloc, Layout};

use spin::Mutex;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDERS: [Contender; 2] = [
    Contender {
        name: "lock",
        about: "no heap, but the spin lock: taken and released for every operation",
        is_over_arena: false,
        make: lock,
    },
    Contender {
        name: "nothing",
        about: "no heap, no lock: what the benchmark itself takes",
        is_over_arena: false,
        make: nothing,
    },
];

/// The one object. Sound with this benchmark only, which writes to the first byte of its objects and never reads it.
struct Nothing(*mut u8);

/// The same behind a lock.
struct Lock(Mutex<Nothing>);

// SAFETY: it is an address, and never changes.
unsafe impl Send for Nothing {}
// SAFETY: the same.
unsafe impl Sync for Nothing {}

// SAFETY: not that of an allocator, whose objects are exclusive: see above.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        self.0
    }

    unsafe fn alloc_zeroed(&self, _: Layout) -> *mut u8 {
        self.0
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        self.0
    }
}

// SAFETY: the same.
unsafe impl GlobalAlloc for Lock {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        self.0.lock().0
    }

    unsafe fn alloc_zeroed(&self, _: Layout) -> *mut u8 {
        self.0.lock().0
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        drop(self.0.lock());
    }

    unsafe fn realloc(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        self.0.lock().0
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn nothing(memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(Nothing(memory.start.as_ptr())))
}

/// Makes one behind a lock.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn lock(memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(Lock(Mutex::new(Nothing(memory.start.as_ptr())))))
}
