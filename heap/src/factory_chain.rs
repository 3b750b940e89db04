//! Layer 3: which list serves a layout, and what happens when it runs dry.
//!
//! Owns the lists of all sizes, the blocks and the regions, and moves memory between them: a list that runs dry gets a
//! new stack at its head, made of a run of pages; when no block has such a run, the source is asked for one more block.
//! The way back is the same. Refuses to know locks, CPUs, and what the source is.
//!
//! ```text
//! Layout ──▶ size_class ──┬─▶ list of 16-byte chunks ─┐
//!                         ├─▶ list of 32-byte chunks ─┤ refill ▲ │ release
//!                         ├─▶ …                       ┼────────┘ ▼
//!                         ├─▶ runs of 1–63 pages ◀────┘ ──▶ blocks ──▶ MemorySource::get_block
//!                         └─▶ regions ────────────────────────────────▶ MemorySource::get_region
//! ```
//!
//! Nothing recurses, and no loop is longer than the number of classes (36) or of pages in a block (63), whatever is
//! live. Cost: constant, except that a region takes the steps of [`crate::regions`], and whatever the source takes.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::block::{Block, Run, RunKind, StackKind};
use crate::locate::Located;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::page_runs::{PageRuns, run_around};
use crate::regions::{Region, Regions};
use crate::size_class::{CLASSES, ClassIndex, LARGEST_CHUNK, Placement, placement};
use crate::sized_allocator::{Returned, SizedAllocator, Taken};
use crate::units::{BLOCK_SIZE, PAGE_SIZE};

/// Layers 1 to 3: everything that the lock guards.
#[derive(Debug)]
pub(crate) struct FactoryChain {
    /// The lists, by class.
    pub(crate) classes: [SizedAllocator; CLASSES],
    /// The list of the heap's own records.
    pub(crate) records: SizedAllocator,
    /// Blocks and the runs in them.
    pub(crate) runs: PageRuns,
    /// What is larger than a block.
    pub(crate) regions: Regions,
    /// What is counted.
    pub(crate) totals: Totals,
}

/// What the chain counts beyond what its lists do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Bytes asked for in what is live.
    pub(crate) requested: usize,
    /// The most that `requested` has ever been.
    pub(crate) requested_peak: usize,
    /// The most bytes ever held from the source.
    pub(crate) held_peak: usize,
    /// Pages in runs that are allocations.
    pub(crate) whole_pages: usize,
    /// Runs ever handed out.
    pub(crate) whole_allocations: u64,
    /// Runs ever taken back.
    pub(crate) whole_frees: u64,
    /// Regions ever handed out.
    pub(crate) region_allocations: u64,
    /// Regions ever taken back.
    pub(crate) region_frees: u64,
    /// Requests answered with "no".
    pub(crate) failures: u64,
}

// SAFETY: the chain's pointers lead to memory that the source gave to this heap and to nobody else, so it may be entered
// from any thread, one at a time: none of it is bound to a thread.
unsafe impl Send for FactoryChain {}

impl FactoryChain {
    /// Creates a chain that holds no memory.
    pub(crate) const fn new() -> Self {
        Self {
            classes: [const { SizedAllocator::new() }; CLASSES],
            records: SizedAllocator::new(),
            runs: PageRuns::new(),
            regions: Regions::new(),
            totals: Totals {
                requested: 0,
                requested_peak: 0,
                held_peak: 0,
                whole_pages: 0,
                whole_allocations: 0,
                whole_frees: 0,
                region_allocations: 0,
                region_frees: 0,
                failures: 0,
            },
        }
    }

    /// Hands out memory for `layout`. `None` when neither the heap nor the source has it; nothing live has changed then,
    /// but spare stacks and idle blocks may have gone back.
    #[inline]
    pub(crate) fn allocate<S: MemorySource>(
        &mut self,
        layout: Layout,
        source: &S,
    ) -> Option<NonNull<u8>> {
        let memory = match placement(layout) {
            Placement::Chunk(class) => self.allocate_chunk(StackKind::Class(class), source),
            Placement::Run { pages, align } => self.allocate_run(pages, align, source),
            Placement::Region { size, align } => self.allocate_region(size, align, source),
            Placement::Refused => None,
        };
        if memory.is_some() {
            self.count_requested(layout.size());
        } else {
            self.totals.failures += 1;
        }
        memory
    }

    /// Takes back what was handed out for `layout`.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    #[inline]
    pub(crate) fn deallocate<S: MemorySource>(
        &mut self,
        address: usize,
        layout: Layout,
        source: &S,
    ) -> Result<(), Misuse> {
        match self.locate(address, layout)? {
            Located::Chunk { run, class, chunk } => {
                match self.classes[class.get()].deallocate(run, chunk) {
                    Ok(Returned::StillUsed) => {}
                    Ok(returned) => self.stack_emptied(run, returned, source),
                    Err(_) => return Err(self.describe(address, layout)),
                }
            }
            Located::Whole(run) => self.deallocate_run(run, source),
            Located::Region(region) => self.deallocate_region(region, source),
        }
        self.uncount_requested(layout.size());
        Ok(())
    }

    /// Makes a live object fit `new_size` bytes where it stands. `false` when it has to move.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    pub(crate) fn resize(
        &mut self,
        address: usize,
        layout: Layout,
        new_size: usize,
    ) -> Result<bool, Misuse> {
        let located = self.locate(address, layout)?;
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return Ok(false);
        };
        let fits = match (located, placement(new_layout)) {
            (Located::Chunk { run, chunk, .. }, _) if run.stacks.is_free(chunk) => {
                return Err(self.describe(address, layout));
            }
            (Located::Chunk { class, .. }, Placement::Chunk(new_class)) => class == new_class,
            (Located::Whole(run), Placement::Run { pages, .. }) => self.resize_run(run, pages),
            (Located::Region(region), Placement::Region { size, .. }) => region.size == size,
            (Located::Region(region), Placement::Run { pages, .. }) => {
                region.size == pages * PAGE_SIZE
            }
            _ => false,
        };
        if fits {
            self.uncount_requested(layout.size());
            self.count_requested(new_size);
        }
        Ok(fits)
    }

    /// Gives one idle block back to the source. `false` when there is none.
    pub(crate) fn trim_one<S: MemorySource>(&mut self, source: &S) -> bool {
        self.release_spares();
        let idle = self.runs.idle().next();
        if let Some(block) = idle {
            self.retire(block, source);
        }
        idle.is_some()
    }

    /// Returns the bytes held from the source.
    pub(crate) const fn held(&self) -> usize {
        self.runs.count() * BLOCK_SIZE + self.regions.bytes()
    }

    /// Returns the size of the largest request, with an alignment of at most 16 bytes, that is certain to succeed now.
    pub(crate) fn largest_available<S: MemorySource>(&self, source: &S) -> usize {
        let in_runs = self.runs.longest() * PAGE_SIZE;
        let room = |class: &ClassIndex| self.classes[class.get()].has_room();
        let in_stacks = ClassIndex::all()
            .filter(room)
            .last()
            .map_or(0, |class| class.class().chunk_size as usize);
        // A region needs a record. Where that needs a new block, two blocks' worth of the same memory is sure to hold an
        // aligned one.
        let record_at_hand = self.records.has_room() || in_runs > 0;
        let for_record = if record_at_hand { 0 } else { 2 * BLOCK_SIZE };
        let in_regions = match source.largest_region().saturating_sub(for_record) {
            // So little is a chunk's size, and no chunk comes as a region.
            ..=LARGEST_CHUNK => 0,
            size => size,
        };
        in_runs.max(in_stacks).max(in_regions)
    }

    /// Adds to the bytes asked for.
    #[inline]
    fn count_requested(&mut self, size: usize) {
        self.totals.requested += size;
        self.totals.requested_peak = self.totals.requested_peak.max(self.totals.requested);
    }

    /// Takes from the bytes asked for. Sizes that get the same chunk are told apart by nobody, so what comes back may
    /// be more than what was asked for.
    #[inline]
    fn uncount_requested(&mut self, size: usize) {
        self.totals.requested = self.totals.requested.saturating_sub(size);
    }

    /// Notes a new peak of what is held.
    fn count_held(&mut self) {
        self.totals.held_peak = self.totals.held_peak.max(self.held());
    }

    /// Returns the list that stacks of `kind` hang in.
    #[inline]
    fn list(&mut self, kind: StackKind) -> &mut SizedAllocator {
        match kind {
            StackKind::Class(class) => &mut self.classes[class.get()],
            StackKind::Records => &mut self.records,
        }
    }

    /// Hands out a chunk of `class`.
    #[inline]
    fn allocate_chunk<S: MemorySource>(
        &mut self,
        kind: StackKind,
        source: &S,
    ) -> Option<NonNull<u8>> {
        let chunk_size = kind.class().chunk_size as usize;
        let taken = match self.list(kind).allocate(chunk_size) {
            Some(taken) => taken,
            None => self.refill_and_allocate(kind, source)?,
        };
        if let Some(run) = taken.woken {
            self.runs.mark_live(run);
        }
        Some(taken.chunk)
    }

    /// Gives the list of `kind` a new stack and takes its first chunk.
    #[cold]
    fn refill_and_allocate<S: MemorySource>(
        &mut self,
        kind: StackKind,
        source: &S,
    ) -> Option<Taken> {
        let run = self.open_stack(kind, source)?;
        let list = self.list(kind);
        list.refill(run);
        list.allocate(kind.class().chunk_size as usize)
    }

    /// Opens a run for a stack: of the class's own length, or, when memory is short, of the longest there is.
    fn open_stack<S: MemorySource>(&mut self, kind: StackKind, source: &S) -> Option<Run> {
        let class = kind.class();
        let full = usize::from(class.pages);
        let use_of_pages = RunKind::Stacks(kind);
        if let Some(run) = self.open(full, 1, use_of_pages, class.chunks_in(full), source) {
            return Some(run);
        }
        let pages = self.runs.longest();
        if pages < class.fewest_pages() {
            return None;
        }
        self.runs
            .open(pages, 1, use_of_pages, class.chunks_in(pages))
    }

    /// Opens a run, with a new block or what spare stacks hold if need be.
    fn open<S: MemorySource>(
        &mut self,
        pages: usize,
        align: usize,
        kind: RunKind,
        chunks: usize,
        source: &S,
    ) -> Option<Run> {
        if let Some(run) = self.runs.open(pages, align, kind, chunks) {
            return Some(run);
        }
        if !self.add_block(source) && !self.release_spares() {
            return None;
        }
        self.runs.open(pages, align, kind, chunks)
    }

    /// Asks the source for one more block.
    fn add_block<S: MemorySource>(&mut self, source: &S) -> bool {
        let Some(memory) = source.get_block() else {
            return false;
        };
        let address = memory.addr().get();
        let held = self.runs.find(address).is_some() || self.regions.overlap(address, BLOCK_SIZE);
        if address % BLOCK_SIZE != 0 || held {
            return false;
        }
        // SAFETY: the source promises a block of valid memory that is the heap's until it is released; its alignment
        // was checked. `retire` uses no handle of it after releasing it.
        let block = unsafe { Block::install(memory) };
        self.runs.add(block);
        self.count_held();
        true
    }

    /// Gives the pages of all spare stacks back to their blocks. `false` when there were none.
    fn release_spares(&mut self) -> bool {
        let mut any = false;
        for list in self.classes.iter_mut().chain([&mut self.records]) {
            if let Some(run) = list.spare() {
                list.release(run);
                self.runs.close(run);
                any = true;
            }
        }
        any
    }

    /// Follows up on a stack that lost its last chunk.
    #[cold]
    fn stack_emptied<S: MemorySource>(&mut self, run: Run, returned: Returned, source: &S) {
        let block = run.block();
        self.runs.mark_empty(run);
        if returned == Returned::Released {
            self.runs.close(run);
        }
        self.retire_surplus(block, source);
    }

    /// Follows up on `block` falling idle, perhaps one too many: then one goes back to the source, rather one that spare
    /// stacks divide than one that is all of a piece and fits the next large run.
    fn retire_surplus<S: MemorySource>(&mut self, block: Block, source: &S) {
        if self.runs.is_surplus(block) {
            let divided = self.runs.idle().find(|idle| !idle.leads.get().is_empty());
            self.retire(divided.unwrap_or(block), source);
        }
    }

    /// Gives the idle `block` back to the source, spare stacks and all.
    fn retire<S: MemorySource>(&mut self, block: Block, source: &S) {
        for run in block.runs() {
            debug_assert!(
                run.kind != RunKind::Whole,
                "an idle block holds nothing but spare stacks"
            );
            if let RunKind::Stacks(kind) = run.kind {
                self.list(kind).release(run);
            }
            self.runs.close(run);
        }
        self.runs.remove(block);
        // SAFETY: the block came from this source, its runs are closed and it hangs in no list any more, so that
        // no handle of it is left but this one.
        unsafe { source.release_block(block.start()) };
    }

    /// Hands out a run of pages as one allocation.
    fn allocate_run<S: MemorySource>(
        &mut self,
        pages: usize,
        align: usize,
        source: &S,
    ) -> Option<NonNull<u8>> {
        let Some(run) = self.open(pages, align, RunKind::Whole, 0, source) else {
            // The source may have no whole block left, but as many pages in a row.
            return self.allocate_region(pages * PAGE_SIZE, align * PAGE_SIZE, source);
        };
        self.runs.mark_live(run);
        self.totals.whole_pages += pages;
        self.totals.whole_allocations += 1;
        Some(run.start())
    }

    /// Takes back a run that is one allocation.
    fn deallocate_run<S: MemorySource>(&mut self, run: Run, source: &S) {
        let block = run.block();
        self.totals.whole_pages -= run.pages();
        self.totals.whole_frees += 1;
        self.runs.mark_empty(run);
        self.runs.close(run);
        self.retire_surplus(block, source);
    }

    /// Makes a run that is one allocation `pages` long, if the pages behind it allow that.
    fn resize_run(&mut self, run: Run, pages: usize) -> bool {
        let before = run.pages();
        let fits = self.runs.resize(run, pages);
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
    ) -> Option<NonNull<u8>> {
        let start = self.get_region(size, align, source)?;
        let Some(chunk) = self.allocate_chunk(StackKind::Records, source) else {
            // SAFETY: the region was just handed out with this size, and nobody knows of it.
            unsafe { source.release_region(start, size) };
            return None;
        };
        // SAFETY: `chunk` was just handed out for this record, and goes back only after the region has left the set.
        let region = unsafe { Region::install(chunk, start, size) };
        self.regions.add(region);
        self.totals.region_allocations += 1;
        self.count_held();
        Some(start)
    }

    /// Asks the source for a region; after a "no" once more, with all idle memory given back to it.
    fn get_region<S: MemorySource>(
        &mut self,
        size: usize,
        align: usize,
        source: &S,
    ) -> Option<NonNull<u8>> {
        let region = source.get_region(size, align).or_else(|| {
            while self.trim_one(source) {}
            source.get_region(size, align)
        })?;
        let address = region.addr().get();
        let in_block = |address| self.runs.find(address).is_some();
        let held = self.regions.overlap(address, size)
            || in_block(address)
            || in_block(address.saturating_add(size - 1));
        if address % align == 0 && !held {
            Some(region)
        } else {
            None
        }
    }

    /// Takes back a region.
    fn deallocate_region<S: MemorySource>(&mut self, region: Region, source: &S) {
        self.regions.remove(region);
        self.totals.region_frees += 1;
        let (start, size) = (region.start, region.size);
        self.deallocate_record(region.chunk(), source);
        // SAFETY: the region came from this source with this size, and its record is gone.
        unsafe { source.release_region(start, size) };
    }

    /// Takes back the chunk of a record.
    fn deallocate_record<S: MemorySource>(&mut self, chunk: NonNull<u8>, source: &S) {
        let address = chunk.addr().get();
        let run = self
            .runs
            .find(address)
            .and_then(|block| run_around(block, address));
        let Some(run) = run else {
            debug_assert!(false, "records live in the heap");
            return;
        };
        let number = ClassIndex::OF_RECORDS
            .class()
            .chunk_around(address - run.start().addr().get());
        match self.records.deallocate(run, number) {
            Ok(Returned::StillUsed) => {}
            Ok(returned) => self.stack_emptied(run, returned, source),
            Err(_) => debug_assert!(false, "a record is freed once"),
        }
    }
}
