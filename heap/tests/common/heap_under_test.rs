//! Heaps of any kind, as a test sees them: what one with one lock and one of many shards have in common.

use core::alloc::GlobalAlloc;

use lock_api::RawMutex;
use stack_alloc::{
    Allocator, Corruption, CurrentCpu, KEPT_BLOCKS, MemorySource, Misuse, Object, Place,
    ShardedAllocator, Statistics,
};

use super::arena::Arena;
use super::chosen_cpu::Chosen;
use super::counting_source::CountingSource;

/// A heap of many shards whose CPU the test chooses.
pub(crate) type ShardedHeap<S, const SHARDS: usize> =
    ShardedAllocator<S, Chosen, spin::Mutex<()>, SHARDS>;

/// A source that says what is out.
pub(crate) trait Counted: MemorySource + Sync {
    /// Returns the bytes that are out.
    fn bytes_out(&self) -> usize;

    /// Returns the pieces that are out.
    fn pieces_out(&self) -> usize;
}

impl Counted for CountingSource {
    fn bytes_out(&self) -> usize {
        self.bytes_out()
    }

    fn pieces_out(&self) -> usize {
        self.pieces_out()
    }
}

impl Counted for Arena {
    fn bytes_out(&self) -> usize {
        self.bytes_out()
    }

    fn pieces_out(&self) -> usize {
        self.out().len()
    }
}

/// A heap under test.
pub(crate) trait HeapUnderTest: GlobalAlloc + Sync {
    /// Its source.
    type Source: Counted;

    /// How many CPUs have memory of their own in it.
    const CPUS: usize;

    /// What one CPU gives back of another's is taken in later.
    const IS_SHARDED: bool;

    /// Pages of a block that objects can have.
    const PAGES_OF_A_BLOCK: usize;

    /// The most idle blocks that it keeps.
    const MOST_KEPT: usize;

    /// Creates a heap over `source`.
    fn over(source: Self::Source) -> Self;

    /// Returns the source.
    fn source(&self) -> &Self::Source;

    /// Sets whom to tell of wrong frees.
    fn set_misuse_handler(&self, handler: fn(Misuse));

    /// Holds blocks back, and returns how many.
    fn set_reserve(&self, blocks: usize, is_urgent: fn() -> bool) -> usize;

    /// Lets chunks wait that were given back, in a heap that can do so.
    fn set_quarantine(&self, chunks: usize);

    /// Returns the numbers.
    fn statistics(&self) -> Statistics;

    /// Proves the invariants.
    fn check(&self) -> Result<(), Corruption>;

    /// Gives back what is not needed.
    fn trim(&self);

    /// Takes over what another CPU has, and returns how many blocks; nothing in a heap that all CPUs share.
    fn take_over(&self, cpu: usize) -> usize;

    /// Says what is at `address`.
    fn what_is(&self, address: usize) -> Place;

    /// Returns what is live.
    fn live_objects(&self) -> impl Iterator<Item = Object>;
}

impl<S: Counted + Send> HeapUnderTest for Allocator<S> {
    type Source = S;
    const CPUS: usize = 1;
    const IS_SHARDED: bool = false;
    const PAGES_OF_A_BLOCK: usize = 63;
    const MOST_KEPT: usize = KEPT_BLOCKS;

    fn over(source: S) -> Self {
        Self::new(source)
    }

    fn source(&self) -> &S {
        self.source()
    }

    fn set_misuse_handler(&self, handler: fn(Misuse)) {
        self.set_misuse_handler(handler);
    }

    fn set_reserve(&self, blocks: usize, is_urgent: fn() -> bool) -> usize {
        self.set_reserve(blocks, is_urgent)
    }

    #[cfg(feature = "quarantine")]
    fn set_quarantine(&self, chunks: usize) {
        self.set_quarantine(chunks);
        assert!(self.statistics().quarantined <= chunks);
    }

    #[cfg(not(feature = "quarantine"))]
    fn set_quarantine(&self, _: usize) {}

    fn statistics(&self) -> Statistics {
        self.statistics()
    }

    fn check(&self) -> Result<(), Corruption> {
        self.check()
    }

    fn trim(&self) {
        self.trim();
    }

    fn take_over(&self, _: usize) -> usize {
        0
    }

    fn what_is(&self, address: usize) -> Place {
        self.what_is(address)
    }

    fn live_objects(&self) -> impl Iterator<Item = Object> {
        self.live_objects()
    }
}

impl<S, C, R, const SHARDS: usize> HeapUnderTest for ShardedAllocator<S, C, R, SHARDS>
where
    S: Counted + Send,
    C: CurrentCpu,
    R: RawMutex + Sync,
{
    type Source = S;
    const CPUS: usize = SHARDS;
    const IS_SHARDED: bool = true;
    // One more than in a heap with one lock is what others write.
    const PAGES_OF_A_BLOCK: usize = 62;
    // One each, beside those that are everybody's.
    const MOST_KEPT: usize = KEPT_BLOCKS + SHARDS;

    fn over(source: S) -> Self {
        Self::new(source)
    }

    fn source(&self) -> &S {
        self.source()
    }

    fn set_misuse_handler(&self, handler: fn(Misuse)) {
        self.set_misuse_handler(handler);
    }

    fn set_reserve(&self, blocks: usize, is_urgent: fn() -> bool) -> usize {
        self.set_reserve(blocks, is_urgent)
    }

    fn set_quarantine(&self, _: usize) {}

    fn statistics(&self) -> Statistics {
        self.statistics()
    }

    fn check(&self) -> Result<(), Corruption> {
        self.check()
    }

    fn trim(&self) {
        self.trim();
    }

    fn take_over(&self, cpu: usize) -> usize {
        self.take_over(cpu)
    }

    fn what_is(&self, address: usize) -> Place {
        self.what_is(address)
    }

    fn live_objects(&self) -> impl Iterator<Item = Object> {
        self.live_objects()
    }
}
