//! Layer 3: which list serves a layout, and what happens when it runs dry.
//!
//! Owns the lists of all sizes and what the heap holds ([`Holdings`]), and moves memory between them: a list that runs dry gets a
//! new stack at its head, made of a run of pages; when no block has such a run, the source is asked for one more block.
//! The way back is the same. Refuses to know locks, CPUs, and what the source is.
//!
//! ```text
//! Layout ──▶ size_class ──┬─▶ list of 16-byte chunks ─┐
//!                         ├─▶ list of 32-byte chunks ─┤ refill ▲ │ release
//!                         ├─▶ …                       ┼────────┘ ▼
//!                         ├─▶ runs of 1–63 pages ◀────┘ ──▶ blocks ──▶ MemorySource::get_block, get_part
//!                         └─▶ regions ────────────────────────────────▶ MemorySource::get_region
//! ```
//!
//! Nothing recurses, and no loop is longer than the number of classes (36) or of pages in a block (63), whatever is
//! live. Cost: constant, except that a region takes the steps of [`crate::regions`], and whatever the source takes.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::block::Block;
use crate::chain_kind::ChainKind;
use crate::holdings::Holdings;
use crate::locate::Located;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::page_runs::{LARGEST_RESERVE, run_around};
use crate::quarantine::Waiting;
use crate::regions::Region;
use crate::run::{Memory, Run, RunKind};
use crate::size_class::{ClassIndex, LARGEST_CHUNK, LISTS, Placement, placement};
use crate::sized_allocator::SizedAllocator;
use crate::totals::Totals;
use crate::units::{BLOCK_SIZE, PAGE_SIZE};

/// A stack takes at most this part of what the heap holds, so that a small heap has room for stacks of many sizes. From
/// 512 KiB on every stack has its full length.
const STACKS_IN_A_SMALL_HEAP: usize = 16;

/// A list that is longer than so many stacks gets longer ones: of at most this part of what it has.
const STACKS_IN_A_LONG_LIST: usize = 32;

/// Layers 1 to 3: everything that the lock guards.
#[derive(Debug)]
pub(crate) struct FactoryChain {
    /// The lists, by class; the last is that of the heap's own records.
    pub(crate) lists: [SizedAllocator; LISTS],
    /// Blocks and regions, and the traffic with the source.
    pub(crate) holdings: Holdings,
    /// How many blocks shall be held back for emergencies.
    reserve: usize,
    /// Who else has blocks of the source.
    kind: ChainKind,
    /// What is counted.
    pub(crate) totals: Totals,
}

// SAFETY: the chain's pointers lead to memory that the source gave to this heap and to nobody else, so it may be entered
// from any thread, one at a time: none of it is bound to a thread.
unsafe impl Send for FactoryChain {}

impl FactoryChain {
    /// Creates a chain that holds no memory.
    pub(crate) const fn new(kind: ChainKind) -> Self {
        Self {
            lists: [const { SizedAllocator::new() }; LISTS],
            holdings: Holdings::new(kind),
            reserve: 0,
            kind,
            totals: Totals::new(),
        }
    }

    /// Follows up on a stack of `class` that got its first chunk.
    #[inline]
    pub(crate) fn woken(&mut self, class: ClassIndex, run: Run) {
        self.lists[class.get()].woken();
        self.holdings.runs.mark_live(run);
    }

    /// Hands out memory for `layout`. `None` when neither the heap nor the source has it; nothing live has changed then,
    /// but spare stacks and idle blocks may have gone back, and nothing is in quarantine any more.
    pub(crate) fn allocate<S: MemorySource>(
        &mut self,
        layout: Layout,
        source: &S,
    ) -> Option<Memory> {
        // Asked first: a run or region that finds no memory empties the quarantine on its way.
        let any_waits = self.holdings.quarantine.len() > 0;
        let memory = self.allocate_once(layout, source);
        if memory.is_none() && any_waits {
            self.empty_quarantine(source);
            return self.allocate_once(layout, source);
        }
        memory
    }

    /// Hands out memory for `layout`, out of the reserve if nothing else is left.
    pub(crate) fn allocate_urgently<S: MemorySource>(
        &mut self,
        layout: Layout,
        source: &S,
    ) -> Option<Memory> {
        self.allocate(layout, source).or_else(|| {
            let fits_a_block = matches!(
                placement(layout),
                Placement::Chunk(_) | Placement::Run { .. }
            );
            if !fits_a_block || !self.holdings.runs.use_reserve() {
                return None;
            }
            self.allocate_once(layout, source)
        })
    }

    /// Hands out memory for `layout`, with the quarantine and the reserve as they are.
    fn allocate_once<S: MemorySource>(&mut self, layout: Layout, source: &S) -> Option<Memory> {
        let memory = match placement(layout) {
            Placement::Chunk(class) => self.allocate_chunk(class, source),
            Placement::Run { pages, align } => self.allocate_run(pages, align, source),
            Placement::Region { size, align } => self.allocate_region(size, align, source),
            Placement::Refused => None,
        }?;
        self.totals.count_requested(layout.size());
        Some(memory)
    }

    /// Takes back what was handed out for `layout`, whatever it is.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    pub(crate) fn deallocate<S: MemorySource>(
        &mut self,
        address: usize,
        layout: Layout,
        source: &S,
    ) -> Result<(), Misuse> {
        match self.holdings.lookup().locate(address, layout)? {
            Located::Chunk { run, chunk, .. } if self.holdings.quarantine.is_on() => {
                self.quarantine_chunk(run, chunk, Waiting { address, layout }, source)?;
            }
            Located::Chunk { run, class, chunk } => {
                match self.lists[class.get()].deallocate(run, chunk) {
                    Ok(false) => {}
                    Ok(true) => self.emptied(run, source),
                    Err(_) => return Err(self.holdings.lookup().describe(address, layout)),
                }
            }
            Located::Whole(run) => self.deallocate_run(run, source),
            Located::Region(region) => self.deallocate_region(region, source),
        }
        self.totals.uncount_requested(layout.size());
        Ok(())
    }

    /// Makes a live object, handed out for `old`, fit `new`, of the same alignment, where it stands, and returns a pointer to
    /// it: the heap's own, because the caller's may be good for no more than the object had. `None` when it has to move.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    pub(crate) fn resize<S: MemorySource>(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
        source: &S,
    ) -> Result<Option<NonNull<u8>>, Misuse> {
        let located = self.holdings.lookup().locate(address, old)?;
        if let Located::Chunk { run, chunk, .. } = located {
            if run.stacks.is_free(chunk) || self.holdings.quarantine.holds(address) {
                return Err(self.holdings.lookup().describe(address, old));
            }
        }
        let fits = match (located, placement(new)) {
            (Located::Chunk { class, .. }, Placement::Chunk(new_class)) => class == new_class,
            (Located::Whole(run), Placement::Run { pages, .. }) => self.resize_run(run, pages),
            (Located::Region(region), Placement::Region { size, .. }) => {
                self.holdings.resize_region(region, size, source)
            }
            (Located::Region(region), Placement::Run { pages, .. }) => {
                self.holdings
                    .resize_region(region, pages * PAGE_SIZE, source)
            }
            _ => false,
        };
        if !fits {
            return Ok(None);
        }
        self.totals.uncount_requested(old.size());
        self.totals.count_requested(new.size());
        Ok(Some(located.start()))
    }

    /// Lets a chunk that is given back wait, and makes the one that has waited longest free.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when the chunk is free or waits already.
    #[cold]
    fn quarantine_chunk<S: MemorySource>(
        &mut self,
        run: Run,
        chunk: usize,
        waiting: Waiting,
        source: &S,
    ) -> Result<(), Misuse> {
        if run.stacks.is_free(chunk) || self.holdings.quarantine.holds(waiting.address) {
            return Err(self
                .holdings
                .lookup()
                .describe(waiting.address, waiting.layout));
        }
        if !self.holdings.quarantine.has_room() {
            self.release_oldest(source);
        }
        self.holdings.quarantine.push(waiting);
        Ok(())
    }

    /// Makes the chunk free that has waited longest. `false` when none waits.
    fn release_oldest<S: MemorySource>(&mut self, source: &S) -> bool {
        let Some(Waiting { address, layout }) = self.holdings.quarantine.pop() else {
            return false;
        };
        if let Ok(Located::Chunk { run, class, chunk }) =
            self.holdings.lookup().locate(address, layout)
        {
            match self.lists[class.get()].deallocate(run, chunk) {
                Ok(false) => {}
                Ok(true) => self.emptied(run, source),
                Err(_) => debug_assert!(false, "a chunk in quarantine is taken"),
            }
        }
        true
    }

    /// Makes every chunk free that waits.
    fn empty_quarantine<S: MemorySource>(&mut self, source: &S) {
        while self.release_oldest(source) {}
    }

    /// Lets at most `limit` chunks wait from now on.
    #[cfg(feature = "quarantine")]
    pub(crate) fn set_quarantine<S: MemorySource>(&mut self, limit: usize, source: &S) {
        self.holdings.quarantine.set_limit(limit);
        while self.holdings.quarantine.is_over() {
            self.release_oldest(source);
        }
    }

    /// Holds `blocks` blocks back, at most [`LARGEST_RESERVE`], or as many as there are; gives back those that are too
    /// many. Returns how many are held back.
    pub(crate) fn set_reserve<S: MemorySource>(&mut self, blocks: usize, source: &S) -> usize {
        self.reserve = blocks.min(LARGEST_RESERVE);
        // First, because a block out of the reserve takes the one place that a block falling idle needs.
        self.empty_quarantine(source);
        while self.holdings.runs.reserved_count() > self.reserve && self.holdings.runs.use_reserve()
        {
            self.trim_one(source);
        }
        while self.reserve_is_short()
            && (self.holdings.add_to_reserve(source) || self.trim_one(source))
        {}
        self.holdings.runs.reserved_count()
    }

    /// Returns whether fewer blocks are held back than shall be.
    #[inline]
    fn reserve_is_short(&self) -> bool {
        self.holdings.runs.reserved_count() < self.reserve
    }

    /// Gives one idle block back to the source. `false` when there is none.
    pub(crate) fn trim_one<S: MemorySource>(&mut self, source: &S) -> bool {
        self.empty_quarantine(source);
        self.release_spares();
        let idle = self.holdings.runs.idle().next();
        if let Some(block) = idle {
            self.retire(block, source);
        }
        idle.is_some()
    }

    /// Returns the size of the largest request, with an alignment of at most 16 bytes, that is certain to succeed now, given that
    /// the source has a region of `largest_region` bytes.
    pub(crate) fn largest_available(&self, largest_region: usize) -> usize {
        let in_runs = self.holdings.runs.longest() * PAGE_SIZE;
        let room = |class: &ClassIndex| self.lists[class.get()].has_room();
        let in_stacks = ClassIndex::all()
            .filter(room)
            .last()
            .map_or(0, |class| class.class().chunk_size());
        // A region needs a record. Where that needs a new block, two blocks' worth of the same memory is sure to hold an
        // aligned one.
        let record_at_hand = self.lists[ClassIndex::RECORDS.get()].has_room() || in_runs > 0;
        let for_record = if record_at_hand { 0 } else { 2 * BLOCK_SIZE };
        let in_regions = match largest_region.saturating_sub(for_record) {
            // So little is a chunk's size, and no chunk comes as a region.
            ..=LARGEST_CHUNK => 0,
            size => size,
        };
        in_runs.max(in_stacks).max(in_regions)
    }

    /// Takes a chunk from the list of `class`, if it has one.
    pub(crate) fn take_chunk(&mut self, class: ClassIndex) -> Option<Memory> {
        let taken = self.lists[class.get()].allocate(class.class().chunk_size())?;
        if taken.is_first {
            self.woken(class, taken.run);
        }
        Some(taken.chunk)
    }

    /// Hands out a chunk of `class`, of a new stack if need be.
    fn allocate_chunk<S: MemorySource>(&mut self, class: ClassIndex, source: &S) -> Option<Memory> {
        if let Some(chunk) = self.take_chunk(class) {
            return Some(chunk);
        }
        let run = self.open_stack(class, source)?;
        self.lists[class.get()].refill(run);
        self.take_chunk(class)
    }

    /// Opens a run for a stack: of the class's own length, or, when memory is short, of the longest there is.
    fn open_stack<S: MemorySource>(&mut self, class: ClassIndex, source: &S) -> Option<Run> {
        let kind = RunKind::Stacks(class);
        let row = class.class();
        if self.holdings.runs.count() == 0 {
            // How long the first stack shall be depends on how large the first block or part is.
            self.holdings.add_block(row.fewest_pages(), 1, source);
        }
        let pages = self.stack_pages(class);
        if let Some(run) = self.open(pages, 1, kind, source) {
            return Some(run);
        }
        let fewest = row.fewest_pages();
        if self.holdings.runs.longest() < fewest && fewest < pages {
            // The source may have a part that is too short for such a stack, but not for a shorter one.
            self.holdings.add_block(fewest, 1, source);
        }
        let pages = pages.min(self.holdings.runs.longest());
        if pages < fewest {
            return None;
        }
        self.holdings.runs.open(pages, 1, kind)
    }

    /// Returns how many pages a new stack of `class` shall have: what the class says, or a multiple of that in a long list,
    /// unless no block has so many in a row. (What is left of a block is used up before another one is asked for.)
    fn stack_pages(&self, class: ClassIndex) -> usize {
        let row = class.class();
        let is_small = self.holdings.runs.pages() < row.pages() * STACKS_IN_A_SMALL_HEAP;
        let least = if is_small {
            row.short_pages()
        } else {
            row.pages()
        };
        let in_list = self.lists[class.get()].counters.capacity * row.chunk_size() / PAGE_SIZE;
        let share = (in_list / STACKS_IN_A_LONG_LIST).min(row.most_pages());
        let room = self.holdings.runs.longest();
        let most = if room < least { share } else { share.min(room) };
        least.max(most - most % least)
    }

    /// Opens a run, with a new block or what spare stacks hold if need be.
    fn open<S: MemorySource>(
        &mut self,
        pages: usize,
        align: usize,
        kind: RunKind,
        source: &S,
    ) -> Option<Run> {
        if let Some(run) = self.holdings.runs.open(pages, align, kind) {
            return Some(run);
        }
        if self.holdings.add_block(pages, align, source) || self.release_spares() {
            if let Some(run) = self.holdings.runs.open(pages, align, kind) {
                return Some(run);
            }
        }
        // An idle part may be too short, and in the way of a longer one in its window.
        if !self.trim_one(source) {
            return None;
        }
        while self.trim_one(source) {}
        self.holdings.add_block(pages, align, source);
        self.holdings.runs.open(pages, align, kind)
    }

    /// Gives the pages of all spare stacks back to their blocks. `false` when there were none.
    fn release_spares(&mut self) -> bool {
        let mut any = false;
        for list in &mut self.lists {
            if let Some(run) = list.spare() {
                list.release(run);
                self.holdings.runs.close(run);
                any = true;
            }
        }
        any
    }

    /// Follows up on a stack that lost its last chunk: its pages go back, unless its list keeps it as the spare.
    pub(crate) fn emptied<S: MemorySource>(&mut self, run: Run, source: &S) {
        let block = Block::of(run);
        self.holdings.runs.mark_empty(run);
        if let RunKind::Stacks(class) = run.kind() {
            if self.lists[class.get()].emptied(run) {
                self.holdings.runs.close(run);
            }
        }
        if block.is_idle() {
            self.retire_surplus(block, source);
        }
    }

    /// Follows up on `block` having fallen idle: a reserve that is short gets it. If it is one too many, the one with the
    /// shortest run of free pages goes back to the source: a short part, or one that spare stacks divide. What is all of a
    /// piece fits the next large run.
    fn retire_surplus<S: MemorySource>(&mut self, block: Block, source: &S) {
        if block.is_whole() && self.reserve_is_short() {
            self.retire(block, source);
        } else if self.holdings.runs.has_surplus() {
            let least = self.holdings.runs.idle().min_by_key(|idle| idle.longest());
            self.retire(least.unwrap_or(block), source);
        }
    }

    /// Gives the idle `block` back to the source, spare stacks and all, or holds it back if the reserve is short.
    fn retire<S: MemorySource>(&mut self, block: Block, source: &S) {
        for run in block.runs() {
            debug_assert!(
                run.kind() != RunKind::Whole,
                "an idle block holds nothing but spare stacks"
            );
            if let RunKind::Stacks(class) = run.kind() {
                self.lists[class.get()].release(run);
            }
            self.holdings.runs.close(run);
        }
        if self.reserve_is_short() && block.is_whole() {
            self.holdings.runs.hold_back(block);
        } else {
            self.holdings.give_back(block, source);
        }
    }

    /// Hands out a run of pages as one allocation.
    fn allocate_run<S: MemorySource>(
        &mut self,
        pages: usize,
        align: usize,
        source: &S,
    ) -> Option<Memory> {
        let run = if pages > self.kind.longest_run() {
            None
        } else {
            self.open(pages, align, RunKind::Whole, source)
        };
        let Some(run) = run else {
            // The source may have no whole block left, but as many pages in a row.
            return self.allocate_region(pages * PAGE_SIZE, align * PAGE_SIZE, source);
        };
        self.holdings.runs.mark_live(run);
        self.totals.whole_pages += pages;
        self.totals.whole_allocations += 1;
        Some(Memory {
            start: run.start(),
            is_zeroed: run.is_zeroed(),
        })
    }

    /// Takes back a run that is one allocation.
    fn deallocate_run<S: MemorySource>(&mut self, run: Run, source: &S) {
        self.totals.whole_frees += 1;
        self.take_back_run(run, source);
    }

    /// Takes back a run that is one allocation, and whose free was counted.
    pub(crate) fn take_back_run<S: MemorySource>(&mut self, run: Run, source: &S) {
        let block = Block::of(run);
        self.totals.whole_pages -= run.pages();
        self.holdings.runs.mark_empty(run);
        self.holdings.runs.close(run);
        if block.is_idle() {
            self.retire_surplus(block, source);
        }
    }

    /// Makes a run that is one allocation `pages` long, if the pages behind it allow that.
    fn resize_run(&mut self, run: Run, pages: usize) -> bool {
        let before = run.pages();
        if before == pages {
            return true;
        }
        let fits = self.holdings.runs.resize(run, pages);
        if fits {
            self.totals.whole_pages = self.totals.whole_pages - before + pages;
        }
        fits
    }

    /// Hands out a region.
    fn allocate_region<S: MemorySource>(
        &mut self,
        size: usize,
        align: usize,
        source: &S,
    ) -> Option<Memory> {
        let region = self.holdings.get_region(size, align, source).or_else(|| {
            while self.trim_one(source) {}
            self.holdings.get_region(size, align, source)
        })?;
        let Some(chunk) = self.allocate_chunk(ClassIndex::RECORDS, source) else {
            // SAFETY: the region was just handed out with this size, and nobody knows of it.
            unsafe { source.release_region(region.start, size) };
            return None;
        };
        if !self.holdings.accepts(region.start, size, align, true) {
            // The record's block lies in the region, which is not ours then.
            self.deallocate_record(chunk.start, source);
            return None;
        }
        // SAFETY: `chunk` was just handed out for this record, and goes back only after the region has left the set.
        let record = unsafe { Region::install(chunk.start, region.start, size) };
        self.holdings.add_region(record);
        self.totals.region_allocations += 1;
        Some(region)
    }

    /// Takes back a region.
    fn deallocate_region<S: MemorySource>(&mut self, region: Region, source: &S) {
        self.take_out_region(region);
        self.release_region(region, source);
    }

    /// Takes a region out of those that are live.
    pub(crate) fn take_out_region(&mut self, region: Region) {
        self.holdings.remove_region(region);
        self.totals.region_frees += 1;
    }

    /// Gives a region that was taken out back to the source, and its record to its list.
    pub(crate) fn release_region<S: MemorySource>(&mut self, region: Region, source: &S) {
        let (start, size) = (region.start, region.size());
        self.deallocate_record(region.chunk(), source);
        // SAFETY: the region came from this source with this size, and its record is gone.
        unsafe { source.release_region(start, size) };
    }

    /// Takes back the chunk of a record.
    fn deallocate_record<S: MemorySource>(&mut self, chunk: NonNull<u8>, source: &S) {
        let address = chunk.addr().get();
        let run = self
            .holdings
            .runs
            .find(address)
            .and_then(|block| run_around(block, address));
        let Some(run) = run else {
            debug_assert!(false, "records live in the heap");
            return;
        };
        let number = ClassIndex::RECORDS
            .class()
            .chunk_around(address - run.address());
        match self.lists[ClassIndex::RECORDS.get()].deallocate(run, number) {
            Ok(false) => {}
            Ok(true) => self.emptied(run, source),
            Err(_) => debug_assert!(false, "a record is freed once"),
        }
    }
}
