//! The heap for many processors, over fixed memory, with a shard for each thread.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

use stack_alloc::{CurrentCpu, Regions, ShardedAllocator};

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};
use crate::thread_number;

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "sharded",
    about: "stack_alloc's ShardedAllocator, with a shard for each of eight threads",
    is_over_arena: true,
    make,
};

/// For the list of those whose instructions are counted.
pub(super) const CROSSING: Contender = Contender {
    name: "crossing",
    about: "the same, where one shard allocates and another one gives back",
    is_over_arena: true,
    make: make_crossing,
};

/// Says which thread asks.
pub(crate) struct ThisThread;

impl CurrentCpu for ThisThread {
    #[inline]
    fn current_cpu() -> usize {
        thread_number::current()
    }
}

/// Says what it was told to say.
struct Told;

thread_local! {
    /// The number that [`Told`] says.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

impl CurrentCpu for Told {
    #[inline]
    fn current_cpu() -> usize {
        NUMBER.get()
    }
}

/// A heap whose caller is on another processor when it gives back than it was when it allocated: with one thread, so that it
/// does the same each time.
struct Crossing(ShardedAllocator<Regions, Told>);

// SAFETY: that of the heap inside.
unsafe impl GlobalAlloc for Crossing {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NUMBER.set(0);
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NUMBER.set(1);
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        NUMBER.set(0);
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    Box::new(Called(unsafe { over::<ThisThread>(memory) }))
}

/// Makes one whose frees cross.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make_crossing(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    Box::new(Called(Crossing(unsafe { over(memory) })))
}

/// Makes a heap over `memory`.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn over<C: CurrentCpu>(memory: Memory) -> ShardedAllocator<Regions, C> {
    let regions = Regions::new();
    // SAFETY: the caller's promise.
    let added = unsafe { regions.add(memory.start, memory.size) };
    added.expect("the memory is large enough for its books");
    ShardedAllocator::new(regions)
}
