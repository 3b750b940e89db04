//! What the heap tells of itself: plain numbers, and a table to print them.
//!
//! Owns the public snapshot and how it reads. Taking it costs a fixed number of steps (the classes, not the objects),
//! under the lock; printing happens without it.
#![forbid(unsafe_code)]

use core::fmt;

use crate::factory_chain::FactoryChain;
use crate::size_class::{CLASSES, ClassIndex};
use crate::units::{LONGEST_RUN_PAGES, PAGE_SIZE};

/// One size class in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStatistics {
    /// Bytes of a chunk.
    pub chunk_size: usize,
    /// Stacks of up to 64 chunks; chunks of 16, 32 and 48 bytes have several stacks in a page.
    pub stacks: usize,
    /// Chunks taken.
    pub chunks_used: usize,
    /// Chunks there are.
    pub chunks_total: usize,
    /// Chunks ever handed out.
    pub allocations: u64,
    /// Chunks ever taken back.
    pub frees: u64,
}

/// Allocations of whole pages in numbers: runs inside blocks, or regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageStatistics {
    /// How many are live.
    pub live: u64,
    /// Their bytes.
    pub bytes: usize,
    /// How many were ever handed out.
    pub allocations: u64,
    /// How many were ever taken back.
    pub frees: u64,
}

/// A snapshot of a heap, all sizes in bytes.
///
/// Its `Display` is a table, one line a class that was ever used.
///
/// # Examples
///
/// ```
/// use stack_alloc::{Allocator, MemorySource};
/// # use core::ptr::NonNull;
/// # struct Nothing;
/// # unsafe impl MemorySource for Nothing {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { None }
/// #     unsafe fn release_block(&self, _: NonNull<u8>) {}
/// # }
/// let heap = Allocator::<Nothing>::new(Nothing);
/// let statistics = heap.statistics();
/// assert_eq!(statistics.bytes_held, 0);
/// println!("{statistics}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The size classes, smallest chunks first.
    pub classes: [ClassStatistics; CLASSES],
    /// Runs of pages inside blocks.
    pub runs: PageStatistics,
    /// Regions of their own.
    pub regions: PageStatistics,
    /// Blocks, and parts of blocks, held from the source.
    pub blocks: usize,
    /// Of these, blocks that hold nothing and are kept: at most [`KEPT_BLOCKS`](crate::KEPT_BLOCKS), and one more for each shard.
    pub blocks_idle: usize,
    /// Of these, blocks held back for emergencies: see [`Allocator::set_reserve`](crate::Allocator::set_reserve).
    pub blocks_reserved: usize,
    /// Bytes of free pages in all blocks but those held back.
    pub free_in_pages: usize,
    /// The longest run of free pages in a block, in bytes.
    pub longest_free_run: usize,
    /// Chunks that were given back and wait in the quarantine; they are among `chunks_used` of their classes, but not in
    /// `bytes_requested`.
    pub quarantined: usize,
    /// Bytes asked for by the layouts of what is live.
    pub bytes_requested: usize,
    /// The most that `bytes_requested` has ever been; of a sharded heap, the most that any look at these numbers has seen.
    /// An object that `realloc` moves counts twice while it is copied.
    pub bytes_requested_peak: usize,
    /// Bytes of the chunks, runs and regions that are live.
    pub bytes_used: usize,
    /// Bytes held from the source.
    pub bytes_held: usize,
    /// The most that `bytes_held` has ever been.
    pub bytes_held_peak: usize,
    /// The largest size, with an alignment of up to 16 bytes, that would be had now, as far as heap and source know:
    /// more may be, as the source is not asked whether it has one more block.
    pub largest_available: usize,
    /// Requests that were answered with null.
    pub failures: u64,
}

impl Statistics {
    /// Takes a snapshot of a heap whose source has a region of `largest_region` bytes.
    pub(crate) fn of(chain: &FactoryChain, largest_region: usize) -> Self {
        let mut classes = [ClassStatistics::default(); CLASSES];
        for index in ClassIndex::all() {
            classes[index.get()] = class_statistics(chain, index);
        }
        let totals = &chain.totals;
        let runs = PageStatistics {
            live: totals.whole_allocations.saturating_sub(totals.whole_frees),
            bytes: totals.whole_pages * PAGE_SIZE,
            allocations: totals.whole_allocations,
            frees: totals.whole_frees,
        };
        let regions = PageStatistics {
            live: totals.region_allocations - totals.region_frees,
            bytes: chain.holdings.regions.bytes(),
            allocations: totals.region_allocations,
            frees: totals.region_frees,
        };
        let in_chunks: usize = classes
            .iter()
            .map(|class| class.chunks_used * class.chunk_size)
            .sum();
        Self {
            classes,
            runs,
            regions,
            blocks: chain.holdings.runs.count(),
            blocks_idle: chain.holdings.runs.idle().count(),
            blocks_reserved: chain.holdings.runs.reserved_count(),
            free_in_pages: chain.holdings.runs.free_pages() * PAGE_SIZE,
            longest_free_run: chain.holdings.runs.longest() * PAGE_SIZE,
            quarantined: chain.holdings.quarantine.len(),
            bytes_requested: totals.requested(),
            bytes_requested_peak: totals.requested_peak(),
            bytes_used: in_chunks + runs.bytes + regions.bytes,
            bytes_held: chain.holdings.held(),
            bytes_held_peak: chain.holdings.peak(),
            largest_available: chain.largest_available(largest_region),
            failures: totals.failures,
        }
    }

    /// Returns the bytes held beyond those asked for: headers, tails, free chunks and pages, idle blocks.
    #[must_use]
    pub const fn overhead(&self) -> usize {
        self.bytes_held.saturating_sub(self.bytes_requested)
    }

    /// Returns how scattered the free pages are, in per cent: 0 when the longest run has all that a block could give (252
    /// KiB, or all there is), 100 when nothing is left of that. It is the share of a request for that much which cannot be
    /// met from what is held.
    #[must_use]
    pub fn fragmentation(&self) -> usize {
        let best = self.free_in_pages.min(LONGEST_RUN_PAGES * PAGE_SIZE);
        percent(best - self.longest_free_run, best)
    }

    /// Returns how many allocations are live.
    ///
    /// Of a heap of many CPUs that is at work, more frees than allocations may have been counted, and so they may where a double free
    /// was found late: then it is 0.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.allocations()
            .saturating_sub(self.frees())
            .saturating_sub(self.quarantined as u64)
    }

    /// Returns how many allocations there ever were.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        let in_classes: u64 = self.classes.iter().map(|class| class.allocations).sum();
        in_classes + self.runs.allocations + self.regions.allocations
    }

    /// Returns how many frees there ever were.
    #[must_use]
    pub fn frees(&self) -> u64 {
        let in_classes: u64 = self.classes.iter().map(|class| class.frees).sum();
        in_classes + self.runs.frees + self.regions.frees
    }
}

/// Takes the snapshot of one class.
fn class_statistics(chain: &FactoryChain, index: ClassIndex) -> ClassStatistics {
    let class = index.class();
    let counters = chain.lists[index.get()].counters;
    let live = counters.allocations.saturating_sub(counters.frees);
    ClassStatistics {
        chunk_size: class.chunk_size(),
        stacks: counters.stacks,
        chunks_used: usize::try_from(live).unwrap_or(usize::MAX),
        chunks_total: counters.capacity,
        allocations: counters.allocations,
        frees: counters.frees,
    }
}

/// Returns `part` of `whole` in per cent, 0 where there is no whole.
fn percent(part: usize, whole: usize) -> usize {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// A number of bytes that displays in the unit that suits it: `512 B`, `1.5 KiB`, `3.2 MiB`.
struct Bytes(usize);

impl Bytes {
    /// Returns whole units, tenths, and the unit's name.
    fn parts(&self) -> (usize, Option<usize>, &'static str) {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return (self.0, None, "B");
        }
        let mut unit = 0;
        let mut size = self.0;
        while size >= 1024 * 1024 && unit + 1 < UNITS.len() {
            size /= 1024;
            unit += 1;
        }
        (size / 1024, Some(size % 1024 * 10 / 1024), UNITS[unit])
    }
}

impl fmt::Display for Bytes {
    /// Right-aligns the number in the width asked for, less the unit's four places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenths, unit) = self.parts();
        let width = f.width().unwrap_or(0);
        match tenths {
            Some(tenths) => write!(
                f,
                "{whole:>width$}.{tenths} {unit}",
                width = width.saturating_sub(6)
            ),
            None => write!(
                f,
                "{whole:>width$} {unit:<unit_width$}",
                width = width.saturating_sub(4),
                unit_width = width.min(3)
            ),
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "chunk size   stacks  chunks used    of total  use %  allocations        frees"
        )?;
        for class in self.classes.iter().filter(|class| class.allocations > 0) {
            writeln!(
                f,
                "{:>10}  {:>7}  {:>11}  {:>10}  {:>5}  {:>11}  {:>11}",
                class.chunk_size,
                class.stacks,
                class.chunks_used,
                class.chunks_total,
                percent(class.chunks_used, class.chunks_total),
                class.allocations,
                class.frees
            )?;
        }
        for (name, pages) in [("page runs", self.runs), ("regions", self.regions)] {
            writeln!(
                f,
                "{name:>10}  {:>7}  {:>11}  {:>10}  {:>5}  {:>11}  {:>11}",
                "-", pages.live, "-", "-", pages.allocations, pages.frees
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "asked for    {:>12}   peak {}",
            Bytes(self.bytes_requested),
            Bytes(self.bytes_requested_peak)
        )?;
        writeln!(
            f,
            "used         {:>12}   objects {}",
            Bytes(self.bytes_used),
            self.live()
        )?;
        writeln!(
            f,
            "held         {:>12}   peak {}; blocks {} ({} idle, {} in reserve), regions {}",
            Bytes(self.bytes_held),
            Bytes(self.bytes_held_peak),
            self.blocks,
            self.blocks_idle,
            self.blocks_reserved,
            Bytes(self.regions.bytes)
        )?;
        writeln!(
            f,
            "overhead     {:>12}   {} % of what is held",
            Bytes(self.overhead()),
            percent(self.overhead(), self.bytes_held)
        )?;
        writeln!(
            f,
            "free pages   {:>12}   longest run {}; {} % fragmented",
            Bytes(self.free_in_pages),
            Bytes(self.longest_free_run),
            self.fragmentation()
        )?;
        writeln!(
            f,
            "largest free {:>12}   an allocation of this size would succeed now",
            Bytes(self.largest_available)
        )?;
        write!(f, "failures     {:>12}", self.failures)
    }
}

pub(crate) mod shards;
#[cfg(test)]
mod tests;
