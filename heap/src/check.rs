//! A walk through the whole heap that proves its invariants.
//!
//! Owns the list of what must be true between layers; what must be true inside a list or tree is asked of it.
//! Changes nothing but which block the directory has seen last. Cost: the number of blocks, stacks and regions, all of it
//! under the lock: a tool for tests and for debugging, not for every minute of a machine with real-time demands.
#![forbid(unsafe_code)]

use core::error::Error;
use core::fmt;

use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::factory_chain::FactoryChain;
use crate::run::{Run, RunKind};
use crate::sharded::record::record_of;
use crate::sharded::shard::Owned;
use crate::size_class::{ClassIndex, LISTS};
use crate::sized_allocator::Counters;
use crate::units::PAGES_PER_BLOCK;

/// An invariant of the heap that does not hold: something wrote over its headers, or the heap has a bug.
///
/// # Examples
///
/// ```
/// # use core::ptr::NonNull;
/// # use stack_alloc::{Allocator, Corruption, MemorySource};
/// # struct Nothing;
/// # unsafe impl MemorySource for Nothing {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { None }
/// #     unsafe fn release_block(&self, _: NonNull<u8>) {}
/// # }
/// let heap = Allocator::<Nothing>::new(Nothing);
/// let sound: Result<(), Corruption> = heap.check();
/// assert!(sound.is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// What does not hold.
    pub invariant: &'static str,
    /// Address of the block, run or region it was seen at; 0 for the heap as a whole.
    pub address: usize,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the heap is corrupt: it does not hold that {} (seen at {:#x})",
            self.invariant, self.address
        )
    }
}

impl Error for Corruption {}

/// Turns a condition into a result.
const fn ensure(holds: bool, invariant: &'static str, address: usize) -> Result<(), Corruption> {
    if holds {
        Ok(())
    } else {
        Err(Corruption { invariant, address })
    }
}

/// What the walk adds up for each list, to compare with the list's own counters.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Stacks.
    stacks: usize,
    /// Chunks in them.
    capacity: usize,
    /// Chunks taken.
    used: usize,
    /// Stacks that are not full.
    with_room: usize,
}

/// What the walk adds up.
struct Walk {
    /// By class.
    lists: [Tally; LISTS],
    /// Pages in runs that are allocations.
    whole_pages: usize,
    /// Runs that are allocations.
    whole_runs: u64,
    /// Blocks.
    blocks: usize,
    /// Their pages.
    pages: usize,
    /// Free pages in blocks that are not held back.
    free_pages: usize,
    /// Blocks with nothing of the user's in them.
    idle: usize,
}

/// Proves every invariant of `chain`.
pub(crate) fn check(chain: &FactoryChain) -> Result<(), Corruption> {
    let walk = check_structure(chain, 0)?;
    for class in ClassIndex::all().chain([ClassIndex::RECORDS]) {
        let counters = chain.lists[class.get()].counters;
        ensure(
            counters.allocations - counters.frees == walk.lists[class.get()].used as u64,
            "a list counts its live chunks",
            0,
        )?;
    }
    ensure(
        chain.totals.whole_allocations - chain.totals.whole_frees == walk.whole_runs,
        "runs are counted",
        0,
    )
}

/// Proves every invariant of shard number `shard`, which was entered. Frees are counted where they are made, so they are not compared
/// with what is there.
pub(crate) fn check_shard(owned: &Owned, shard: usize) -> Result<(), Corruption> {
    let leaving = owned.leaving.iter();
    ensure(
        owned.leaving.bytes() == leaving.map(|region| region.size()).sum::<usize>(),
        "the bytes of regions that leave are counted",
        0,
    )?;
    let chain = &owned.chain;
    check_structure(chain, owned.leaving.iter().count())?;
    for (_, block) in chain.holdings.runs.iter() {
        check_record(block, shard)?;
    }
    Ok(())
}

/// Proves what must hold of the record of a block of shard number `shard`: but that of frees of one run that race, the one that loses may
/// leave its bit where no run is any more, until it is taken in and reported.
fn check_record(block: Block, shard: usize) -> Result<(), Corruption> {
    let record = record_of(block);
    ensure(
        record.owner() == Some(shard),
        "a shard owns the blocks that it has",
        block.address(),
    )?;
    for page in (0..PAGES_PER_BLOCK).filter(|page| block.run_around(*page).is_none()) {
        ensure(
            record.remote_frees.is_empty_at(page),
            "what others gave back lies in runs",
            block.address(),
        )?;
    }
    Ok(())
}

/// Proves what must hold between the parts of a chain, which has the records of `leaving` regions that are live no more, and returns what
/// was counted on the way.
fn check_structure(chain: &FactoryChain, leaving: usize) -> Result<Walk, Corruption> {
    ensure(
        chain.holdings.runs.lists_are_sound(),
        "the lists of blocks are linked both ways",
        0,
    )?;
    let mut walk = Walk {
        lists: [Tally::default(); LISTS],
        whole_pages: 0,
        whole_runs: 0,
        blocks: 0,
        pages: 0,
        free_pages: 0,
        idle: 0,
    };
    for (list, block) in chain.holdings.runs.iter() {
        check_block(chain, block, list, &mut walk)?;
    }
    for block in chain.holdings.runs.reserved() {
        check_reserved(chain, block, &mut walk)?;
    }
    ensure(
        walk.blocks == chain.holdings.runs.count(),
        "every block hangs in one list or is held back",
        0,
    )?;
    ensure(
        walk.pages == chain.holdings.runs.pages()
            && walk.free_pages == chain.holdings.runs.free_pages(),
        "the pages of blocks are counted",
        0,
    )?;
    ensure(
        chain.holdings.runs.reserved().count() == chain.holdings.runs.reserved_count(),
        "the blocks that are held back are counted",
        0,
    )?;
    ensure(
        walk.idle == chain.holdings.runs.idle().count(),
        "every idle block is noted",
        0,
    )?;
    ensure(
        chain.holdings.regions.is_sound(),
        "regions and their records agree",
        0,
    )?;
    check_lists(chain, &walk)?;
    check_totals(chain, &walk)?;
    check_records(chain, leaving)?;
    Ok(walk)
}

/// Proves what must hold of one block, and adds it to the walk.
fn check_block(
    chain: &FactoryChain,
    block: Block,
    list: usize,
    walk: &mut Walk,
) -> Result<(), Corruption> {
    let address = block.address();
    let free = block.free.get();
    let there = |page: &usize| block.has_page(*page);
    let header = |page: &usize| block.is_header(*page);
    ensure(
        chain.holdings.runs.find(address) == Some(block),
        "a block is found by its address",
        address,
    )?;
    ensure(
        free.longest_run() == list && block.longest() == list,
        "a block hangs in the list of its longest free run",
        address,
    )?;
    let mut covered = free.with(pages_where(header));
    ensure(covered != free, "a block's header is never free", address)?;
    let mut live_pages = 0;
    for run in block.runs() {
        let pages = Bitmap::range(run.first_page(), run.pages());
        ensure(
            run.pages() > 0 && covered.without(pages) == covered,
            "no page belongs to two owners",
            address,
        )?;
        covered = covered.with(pages);
        live_pages += check_run(run, walk)?;
    }
    ensure(
        covered == pages_where(there),
        "every page of a block has an owner",
        address,
    )?;
    ensure(
        live_pages == block.live_pages(),
        "a block counts its live pages",
        address,
    )?;
    let noted_idle = chain.holdings.runs.idle().any(|idle| idle == block);
    ensure(
        noted_idle == (live_pages == 0),
        "a block is noted as idle exactly when it is",
        address,
    )?;
    walk.blocks += 1;
    walk.pages += block.pages();
    walk.free_pages += free.len();
    walk.idle += usize::from(live_pages == 0);
    Ok(())
}

/// Returns the set of a block's pages of which `holds` is true.
fn pages_where(holds: impl Fn(&usize) -> bool) -> Bitmap {
    (0..PAGES_PER_BLOCK)
        .filter(holds)
        .fold(Bitmap::EMPTY, |set, page| set.with(Bitmap::range(page, 1)))
}

/// Proves what must hold of a block that is held back, and adds it to the walk.
fn check_reserved(chain: &FactoryChain, block: Block, walk: &mut Walk) -> Result<(), Corruption> {
    let address = block.address();
    ensure(
        chain.holdings.runs.find(address) == Some(block),
        "a block is found by its address",
        address,
    )?;
    ensure(
        block.is_whole() && block.is_idle() && block.has_no_runs(),
        "a block that is held back is whole and empty",
        address,
    )?;
    walk.blocks += 1;
    walk.pages += block.pages();
    Ok(())
}

/// Proves what must hold of one run, adds it to the walk, and returns its live pages.
fn check_run(run: Run, walk: &mut Walk) -> Result<usize, Corruption> {
    let address = run.address();
    let tally = match run.kind() {
        RunKind::Whole => {
            walk.whole_pages += run.pages();
            walk.whole_runs += 1;
            return Ok(run.pages());
        }
        RunKind::Stacks(class) => &mut walk.lists[class.get()],
    };
    ensure(
        run.used() + run.stacks.free_chunks() == run.capacity(),
        "a stack's count of taken chunks is that of its bitmap",
        address,
    )?;
    tally.stacks += run.stack_count();
    tally.capacity += run.capacity();
    tally.used += run.used();
    tally.with_room += usize::from(!run.is_full());
    Ok(if run.used() > 0 { run.pages() } else { 0 })
}

/// Proves what must hold of every list of stacks.
fn check_lists(chain: &FactoryChain, walk: &Walk) -> Result<(), Corruption> {
    for class in ClassIndex::all().chain([ClassIndex::RECORDS]) {
        check_list(chain, class, walk.lists[class.get()])?;
    }
    Ok(())
}

/// Proves what must hold of one list of stacks.
fn check_list(chain: &FactoryChain, class: ClassIndex, tally: Tally) -> Result<(), Corruption> {
    let list = &chain.lists[class.get()];
    let Counters {
        stacks, capacity, ..
    } = list.counters;
    ensure(
        list.is_sound(class),
        "a list holds stacks with room of its own size",
        0,
    )?;
    ensure(
        list.with_room().count() == tally.with_room,
        "every stack with room hangs in its list",
        0,
    )?;
    ensure(
        stacks == tally.stacks && capacity == tally.capacity,
        "a list counts its stacks",
        0,
    )
}

/// Proves what must hold of the totals.
fn check_totals(chain: &FactoryChain, walk: &Walk) -> Result<(), Corruption> {
    let totals = &chain.totals;
    ensure(
        totals.whole_pages == walk.whole_pages,
        "the pages of runs are counted",
        0,
    )?;
    let regions = chain.holdings.regions.count() as u64;
    ensure(
        totals.region_allocations - totals.region_frees == regions,
        "regions are counted",
        0,
    )
}

/// Proves that records are those of the live regions, and of `leaving` more.
fn check_records(chain: &FactoryChain, leaving: usize) -> Result<(), Corruption> {
    let records = &chain.lists[ClassIndex::RECORDS.get()].counters;
    ensure(
        records.allocations - records.frees == (chain.holdings.regions.count() + leaving) as u64,
        "every region has one record",
        0,
    )
}
