//! The heap for many processors, over fixed memory, with a shard for each thread.

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

/// Says which thread asks.
pub(crate) struct ThisThread;

impl CurrentCpu for ThisThread {
    #[inline]
    fn current_cpu() -> usize {
        thread_number::current()
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let heap: ShardedAllocator<Regions, ThisThread> = ShardedAllocator::new(Regions::new());
    heap.with_source(|regions| {
        // SAFETY: the caller's promise.
        unsafe { regions.add(memory.start, memory.size) }
    })
    .expect("the memory is large enough for its books");
    Box::new(Called(heap))
}
