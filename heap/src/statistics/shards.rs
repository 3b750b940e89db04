//! The numbers of many shards: added up, and one by one.
#![forbid(unsafe_code)]

use core::fmt;

use crate::chain_kind::ChainKind;
use crate::factory_chain::FactoryChain;
use crate::sharded::central::Apart;
use crate::sharded::record::RECORD_SIZE;
use crate::sharded::shard::{Owned, Shard};
use crate::size_class::ClassIndex;
use crate::statistics::Statistics;
use crate::units::{BLOCK_SIZE, PAGE_SIZE};

/// What one CPU did with a [`ShardedAllocator`](crate::ShardedAllocator), and what it has.
///
/// # Examples
///
/// ```
/// # use stack_alloc::{CurrentCpu, NoMemory, ShardedAllocator};
/// # struct OneCpu;
/// # impl CurrentCpu for OneCpu { fn current_cpu() -> usize { 0 } }
/// let heap: ShardedAllocator<NoMemory, OneCpu> = ShardedAllocator::new(NoMemory);
/// let numbers = heap.cpu_statistics(0).unwrap();
/// assert_eq!((numbers.allocations, numbers.blocks), (0, 0));
/// println!("{numbers}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStatistics {
    /// Chunks, runs and regions that were handed out by the CPU's shard.
    pub allocations: u64,
    /// Chunks and runs that were given back by the CPU, whoever owned them, and regions of its own shard.
    pub frees: u64,
    /// Of these, frees of what other shards own (and of regions).
    pub crossed: u64,
    /// Blocks that the shard has.
    pub blocks: usize,
    /// Bytes that the shard holds of the source's.
    pub bytes_held: usize,
}

impl CpuStatistics {
    /// Returns the numbers of a shard that was entered.
    pub(crate) fn of<R>(owned: &Owned, shard: &Shard<R>) -> Self {
        let mut sum = Sum::new(0);
        sum.add(owned, shard);
        let statistics = sum.finish(Apart::default());
        Self {
            allocations: statistics.allocations(),
            frees: statistics.frees(),
            crossed: owned.crossed,
            blocks: statistics.blocks,
            bytes_held: statistics.bytes_held,
        }
    }
}

impl fmt::Display for CpuStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} allocations, {} frees ({} crossed), {} blocks",
            self.allocations, self.frees, self.crossed, self.blocks
        )
    }
}

/// Bytes of the free pages of a block that a shard has and that holds nothing: all but the record and the header.
const LONGEST_RUN: usize = BLOCK_SIZE - RECORD_SIZE - PAGE_SIZE;

/// Numbers that are being added up.
pub(crate) struct Sum {
    /// Bytes of a region that the source has.
    largest_region: usize,
    /// So far.
    total: Option<Statistics>,
    /// The bytes asked for.
    requested: isize,
    /// Blocks in chains, whose records these do not count.
    records: usize,
}

impl Sum {
    /// Creates the sum of nothing, in a heap whose source has a region of `largest_region` bytes.
    pub(crate) const fn new(largest_region: usize) -> Self {
        Self {
            largest_region,
            total: None,
            requested: 0,
            records: 0,
        }
    }

    /// Adds a shard that was entered.
    pub(crate) fn add<R>(&mut self, owned: &Owned, shard: &Shard<R>) {
        let (chain, outside) = (&owned.chain, &shard.outside);
        let mut one = Statistics::of(chain, self.largest_region);
        self.records += one.blocks;
        for index in ClassIndex::all() {
            one.classes[index.get()].frees += outside.chunks(index.get());
        }
        one.runs.frees += outside.runs();
        let given_back = shard.shared.regions_given_back() as u64;
        one.regions.frees += given_back;
        one.regions.live = one.regions.live.saturating_sub(given_back);
        one.failures += outside.failures();
        one.blocks += owned.put_aside.count();
        one.bytes_held += owned.bytes_apart();
        self.requested = self
            .requested
            .wrapping_add(chain.totals.requested_balance())
            .wrapping_sub_unsigned(outside.requested());
        match &mut self.total {
            None => self.total = Some(one),
            Some(total) => add(total, &one),
        }
    }

    /// Returns the sum, with what is no shard's.
    pub(crate) fn finish(self, apart: Apart) -> Statistics {
        let mut total = self
            .total
            .unwrap_or_else(|| Statistics::of(&FactoryChain::new(ChainKind::OneOfMany), 0));
        for class in &mut total.classes {
            let live = class.allocations.saturating_sub(class.frees);
            class.chunks_used = usize::try_from(live).unwrap_or(usize::MAX);
        }
        total.runs.live = total.runs.allocations.saturating_sub(total.runs.frees);
        let in_chunks: usize = (total.classes.iter())
            .map(|class| class.chunks_used * class.chunk_size)
            .sum();
        total.bytes_used = in_chunks + total.runs.bytes + total.regions.bytes;
        total.bytes_requested = usize::try_from(self.requested).unwrap_or(0);
        total.bytes_held += self.records * RECORD_SIZE + apart.bytes;
        total.bytes_held_peak = apart.held_peak;
        total.blocks += apart.blocks;
        total.blocks_idle += apart.idle;
        if apart.idle > 0 {
            total.free_in_pages += apart.idle * LONGEST_RUN;
            total.longest_free_run = LONGEST_RUN;
            // A block is room for the record of any region.
            total.largest_available = self.largest_region.max(LONGEST_RUN);
        }
        total.blocks_reserved = apart.reserved;
        total
    }
}

/// Adds the numbers of one shard to those of others.
fn add(total: &mut Statistics, one: &Statistics) {
    for (class, other) in total.classes.iter_mut().zip(&one.classes) {
        class.stacks += other.stacks;
        class.chunks_total += other.chunks_total;
        class.allocations += other.allocations;
        class.frees += other.frees;
    }
    for (pages, other) in [
        (&mut total.runs, one.runs),
        (&mut total.regions, one.regions),
    ] {
        pages.live = pages.live.wrapping_add(other.live);
        pages.bytes += other.bytes;
        pages.allocations += other.allocations;
        pages.frees += other.frees;
    }
    total.blocks += one.blocks;
    total.blocks_idle += one.blocks_idle;
    total.free_in_pages += one.free_in_pages;
    total.longest_free_run = total.longest_free_run.max(one.longest_free_run);
    total.bytes_held += one.bytes_held;
    total.largest_available = total.largest_available.max(one.largest_available);
    total.failures += one.failures;
}
