//! The last list of the chain: blocks, and the runs of pages in them.
//!
//! Owns every block that the heap holds. Hands out runs of 1 to 63 pages and takes them back. Refuses to know what
//! runs are used for, and where blocks come from.
//!
//! Blocks hang in 64 lists by the length of their longest run of free pages, and one word says which lists have
//! members, so best fit is two counts of trailing zeros: the first list that is long enough, and the place in its
//! first block. A block's list is found anew whenever its pages change, in about twelve word operations.
//!
//! A block is *idle* when nothing of the user's is in it. Idle blocks are counted here, because the chain gives them
//! back to the source beyond [`KEPT_BLOCKS`]. *Reserved* blocks are held back for emergencies: they hang in no list, so
//! nothing is served from them until they are put into service.
//!
//! Cost: constant, but for aligned runs, which may look at up to [`ALIGNED_TRIES`] blocks.

use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::chain_kind::{ChainKind, KEPT_BLOCKS};
use crate::directory::{Cursor, Directory};
use crate::list::List;
use crate::run::{Run, RunKind};
use crate::size_class::ClassIndex;
use crate::units::{PAGE_SIZE, PAGES_PER_BLOCK, page_in_block};

/// The most blocks that can be held back for emergencies: 8, which is 2 MiB. See
/// [`Allocator::set_reserve`](crate::Allocator::set_reserve).
pub const LARGEST_RESERVE: usize = 8;

/// Most blocks looked at for a run with an alignment above a page, before a new block is asked for.
const ALIGNED_TRIES: usize = 64;

/// Every block of a heap.
#[derive(Debug)]
pub(crate) struct PageRuns {
    /// Blocks by the length of their longest run of free pages.
    lists: [List<Block>; PAGES_PER_BLOCK],
    /// The lists that have members.
    occupied: Bitmap,
    /// Every block by its address.
    directory: Directory,
    /// Blocks with nothing of the user's in them. One more than are kept, for the one about to go.
    idle: [Option<Block>; KEPT_BLOCKS + 1],
    /// The places of `idle` with a block.
    idle_places: Bitmap,
    /// Says how many places there are.
    kind: ChainKind,
    /// Blocks held back, whole ones only.
    reserved: [Option<Block>; LARGEST_RESERVE],
    /// How many there are of these.
    reserved_count: usize,
    /// Number of blocks and parts, reserved ones too.
    count: usize,
    /// Their pages, headers too.
    pages: usize,
    /// Free pages in those that are not reserved.
    free_pages: usize,
}

impl PageRuns {
    /// Creates the empty set of a chain of `kind`.
    pub(crate) const fn new(kind: ChainKind) -> Self {
        Self {
            lists: [const { List::new() }; PAGES_PER_BLOCK],
            occupied: Bitmap::EMPTY,
            directory: Directory::new(),
            idle: [None; KEPT_BLOCKS + 1],
            idle_places: Bitmap::EMPTY,
            kind,
            reserved: [None; LARGEST_RESERVE],
            reserved_count: 0,
            count: 0,
            pages: 0,
            free_pages: 0,
        }
    }

    /// Returns how many blocks and parts there are, reserved ones too.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Returns how many pages they have, headers too.
    pub(crate) const fn pages(&self) -> usize {
        self.pages
    }

    /// Returns how many pages are free, in blocks that are not reserved.
    pub(crate) const fn free_pages(&self) -> usize {
        self.free_pages
    }

    /// Returns the length in pages of the longest run that could be had.
    pub(crate) fn longest(&self) -> usize {
        self.occupied.height().saturating_sub(1)
    }

    /// Returns the block in whose window `address` lies, if the heap holds one. Reads nothing at `address`.
    ///
    /// Of a part, the window is more than what is there: [`Block::has_page`] tells.
    pub(crate) fn find(&self, address: usize) -> Option<Block> {
        self.directory.find(address)
    }

    /// Returns the block that has the page which `address` lies in, if the heap holds one.
    pub(crate) fn find_with_page(&self, address: usize) -> Option<Block> {
        let block = self.find(address)?;
        block.has_page(page_in_block(address)).then_some(block)
    }

    /// Returns the stack, of the list `class`, and the number of the chunk that begins at `address`, be it taken or free, if
    /// its block is at hand.
    #[inline(always)]
    pub(crate) fn find_chunk_at_hand(
        &self,
        address: usize,
        class: ClassIndex,
    ) -> Option<(Run, usize)> {
        let block = self.directory.find_at_hand(address)?;
        let (run, _) = block.run_before(page_in_block(address))?;
        if run.kind() != RunKind::Stacks(class) {
            return None;
        }
        let chunk = class.class().chunk_at(address - run.address())?;
        (chunk < run.capacity()).then_some((run, chunk))
    }

    /// Does what [`find_chunk_at_hand`](Self::find_chunk_at_hand) does, whether the block is at hand or not.
    pub(crate) fn find_chunk(&self, address: usize, class: ClassIndex) -> Option<(Run, usize)> {
        self.find(address)?;
        self.find_chunk_at_hand(address, class)
    }

    /// Returns whether a block has a byte of the first or the last 256 KiB of the `size` bytes (at least 1) at `address`.
    pub(crate) fn overlap(&self, address: usize, size: usize) -> bool {
        let end = address.saturating_add(size - 1);
        let overlaps = |block: Block| {
            let start = block.memory().addr().get();
            start <= end && address < start + block.pages() * PAGE_SIZE
        };
        [address, end]
            .into_iter()
            .filter_map(|address| self.find(address))
            .any(overlaps)
    }

    /// Returns the run of `pages` pages aligned to `align` pages that begins at `address` and is one allocation.
    #[inline]
    pub(crate) fn find_whole(&self, address: usize, pages: usize, align: usize) -> Option<Run> {
        let block = self.find(address)?;
        let (run, pages_before) = block.run_before(page_in_block(address))?;
        let is_it = run.kind() == RunKind::Whole
            && pages_before == 0
            && run.pages() == pages
            && address % (align * PAGE_SIZE) == 0;
        is_it.then_some(run)
    }

    /// Adds a new block, idle, all of its pages free, into whose window no other one falls. There is room for one more
    /// idle block.
    pub(crate) fn add(&mut self, block: Block) {
        self.enter(block);
        self.put_into_service(block);
    }

    /// Adds a new, whole block and holds it back. There is room for it in the reserve.
    pub(crate) fn add_reserved(&mut self, block: Block) {
        self.enter(block);
        self.reserve(block);
    }

    /// Notes that a new block is there.
    fn enter(&mut self, block: Block) {
        self.directory.insert(block);
        self.count += 1;
        self.pages += block.pages();
    }

    /// Notes that a block goes.
    fn leave(&mut self, block: Block) {
        self.directory.remove(block);
        self.count -= 1;
        self.pages -= block.pages();
    }

    /// Lets an idle block, all of its pages free, serve.
    fn put_into_service(&mut self, block: Block) {
        self.hang(block);
        self.free_pages += block.free.get().len();
        self.add_idle(block);
    }

    /// Lets an idle block, all of its pages free, serve no longer.
    fn take_out_of_service(&mut self, block: Block) {
        debug_assert!(
            block.has_no_runs() && block.is_idle(),
            "only an empty block goes"
        );
        self.unhang(block);
        self.free_pages -= block.free.get().len();
        self.remove_idle(block);
    }

    /// Notes `block`, which serves no longer, as reserved.
    fn reserve(&mut self, block: Block) {
        let place = self.reserved.iter_mut().find(|place| place.is_none());
        debug_assert!(place.is_some(), "the chain knows how large the reserve is");
        if let Some(place) = place {
            *place = Some(block);
            self.reserved_count += 1;
        }
    }

    /// Holds `block` back, an idle, whole one, all of whose pages are free. There is room for it in the reserve.
    pub(crate) fn hold_back(&mut self, block: Block) {
        self.take_out_of_service(block);
        self.reserve(block);
    }

    /// Puts one reserved block into service. `false` when there is none.
    pub(crate) fn use_reserve(&mut self) -> bool {
        let Some(block) = self.reserved.iter_mut().find_map(Option::take) else {
            return false;
        };
        self.reserved_count -= 1;
        self.put_into_service(block);
        true
    }

    /// Returns how many blocks are reserved.
    #[inline]
    pub(crate) const fn reserved_count(&self) -> usize {
        self.reserved_count
    }

    /// Returns the reserved blocks.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = Block> + use<> {
        self.reserved.into_iter().flatten()
    }

    /// Takes in the pages behind a part's last one, as far as page `end` of its window.
    ///
    /// # Safety
    ///
    /// What [`Block::install`] asks for holds of the part with these pages.
    pub(crate) unsafe fn extend(&mut self, block: Block, end: usize) {
        let before = block.pages();
        // SAFETY: the caller's promise.
        unsafe { block.extend(end) };
        self.pages += block.pages() - before;
        self.free_pages += block.pages() - before;
        self.rehang(block, block.free.get().longest_run());
    }

    /// Takes out an idle block all of whose pages are free.
    pub(crate) fn remove(&mut self, block: Block) {
        self.take_out_of_service(block);
        self.leave(block);
    }

    /// Takes out a block that is in use, as it is: not an idle one, and none that is held back.
    pub(crate) fn let_go(&mut self, block: Block) {
        debug_assert!(!block.is_idle(), "an idle block is given back");
        self.unhang(block);
        self.free_pages -= block.free.get().len();
        self.leave(block);
    }

    /// Takes in a block that is in use, as another heap has [let it go](Self::let_go).
    pub(crate) fn take_over(&mut self, block: Block) {
        self.enter(block);
        self.hang(block);
        self.free_pages += block.free.get().len();
    }

    /// Opens a run of `pages` pages (1..=63) that begins at a multiple of `align` pages.
    ///
    /// The run holds nothing of the user's yet: see [`mark_live`](Self::mark_live).
    pub(crate) fn open(&mut self, pages: usize, align: usize, kind: RunKind) -> Option<Run> {
        let (block, first) = if align == 1 {
            self.find_run(pages)
        } else {
            self.find_aligned_run(pages, align)
        }?;
        let run = block.open_run(first, pages, kind);
        self.free_pages -= pages;
        self.rehang(block, block.free.get().longest_run());
        Some(run)
    }

    /// Closes `run`, which holds nothing of the user's.
    pub(crate) fn close(&mut self, run: Run) {
        let block = Block::of(run);
        let first = run.first_page();
        self.free_pages += run.pages();
        block.close_run(run);
        // No other run of free pages has changed.
        let around = block.free.get().run_around(first);
        self.rehang(block, around.max(block.longest()));
    }

    /// Makes `run`, which is live, `pages` long, if the pages behind it allow that.
    pub(crate) fn resize(&mut self, run: Run, pages: usize) -> bool {
        let block = Block::of(run);
        let before = run.pages();
        if !block.resize_run(run, pages) {
            return false;
        }
        block.set_live_pages(block.live_pages() - before + pages);
        self.free_pages = self.free_pages + before - pages;
        self.rehang(block, block.free.get().longest_run());
        true
    }

    /// Notes that `run` holds something of the user's from now on.
    #[inline]
    pub(crate) fn mark_live(&mut self, run: Run) {
        let block = Block::of(run);
        if block.is_idle() {
            self.remove_idle(block);
        }
        block.set_live_pages(block.live_pages() + run.pages());
    }

    /// Notes that `run` holds nothing of the user's any more.
    #[inline]
    pub(crate) fn mark_empty(&mut self, run: Run) {
        let block = Block::of(run);
        block.set_live_pages(block.live_pages() - run.pages());
        if block.is_idle() {
            self.add_idle(block);
        }
    }

    /// Returns whether more blocks are idle than are kept.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        self.idle_places == self.kind.idle_places()
    }

    /// Returns whether a block is idle.
    pub(crate) fn has_idle(&self) -> bool {
        self.idle().next().is_some()
    }

    /// Returns the idle blocks.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Block> + use<> {
        self.idle.into_iter().flatten()
    }

    /// Returns every block in service with the number of its list. Cost: the number of blocks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Block)> + '_ {
        self.lists
            .iter()
            .enumerate()
            .flat_map(|(number, list)| list.iter().map(move |block| (number, block)))
    }

    /// Looks for the next block, in service or held back, of a walk over all of them: see [`Directory::look`].
    pub(crate) fn look(&self, cursor: &mut Cursor) -> Option<Block> {
        self.directory.look(cursor)
    }

    /// Returns whether the lists, their word and their links agree. Cost: the number of blocks.
    pub(crate) fn lists_are_sound(&self) -> bool {
        self.lists.iter().enumerate().all(|(number, list)| {
            self.occupied.contains(number) != list.is_empty() && list.is_linked_both_ways()
        })
    }

    /// Finds a run of `pages` pages in the block that fits best.
    fn find_run(&self, pages: usize) -> Option<(Block, usize)> {
        let list = pages + self.occupied.distance_from(pages)?;
        let block = self.lists[list].first()?;
        Some((block, block.free.get().find_run(pages, 1)?))
    }

    /// Finds a run of `pages` pages that begins at a multiple of `align` pages.
    ///
    /// A run that is longer by `align - 1` always has a fitting place. Where there is none, shorter ones may have one, so the
    /// best fits are tried.
    #[cold]
    fn find_aligned_run(&self, pages: usize, align: usize) -> Option<(Block, usize)> {
        let fitting = |block: Block| Some((block, block.free.get().find_run(pages, align)?));
        let list = self.occupied.lowest_from(pages + align - 1);
        if let Some(block) = list.and_then(|list| self.lists[list].first()) {
            return fitting(block);
        }
        (pages..PAGES_PER_BLOCK)
            .filter(|list| self.occupied.contains(*list))
            .flat_map(|list| self.lists[list].iter())
            .take(ALIGNED_TRIES)
            .find_map(fitting)
    }

    /// Puts `block` into the list of its longest run.
    fn hang(&mut self, block: Block) {
        let list = block.longest();
        self.lists[list].push(block);
        self.occupied = self.occupied.with(Bitmap::single(list));
    }

    /// Takes `block` out of its list.
    fn unhang(&mut self, block: Block) {
        let list = block.longest();
        self.lists[list].remove(block);
        if self.lists[list].is_empty() {
            self.occupied = self.occupied.without(Bitmap::single(list));
        }
    }

    /// Moves `block`, whose pages changed, to the list where it belongs now: that of a longest run of `longest` pages.
    fn rehang(&mut self, block: Block, longest: usize) {
        debug_assert!(
            longest == block.free.get().longest_run(),
            "the longest run of free pages"
        );
        if longest != block.longest() {
            self.unhang(block);
            block.set_longest(longest);
            self.hang(block);
        }
    }

    /// Notes `block` as idle.
    #[inline]
    fn add_idle(&mut self, block: Block) {
        let place = self.idle_places.lowest_outside();
        debug_assert!(
            self.kind.idle_places().contains(place),
            "the chain retires a surplus block before the next one falls idle"
        );
        if let Some(idle) = self.idle.get_mut(place) {
            *idle = Some(block);
            self.idle_places = self.idle_places.with_lowest_outside();
            block.set_idle_place(place);
        }
    }

    /// Notes `block` as not idle any more.
    #[inline]
    fn remove_idle(&mut self, block: Block) {
        let place = block.idle_place();
        debug_assert!(self.idle[place] == Some(block), "an idle block has a place");
        self.idle[place] = None;
        self.idle_places = self.idle_places.without(Bitmap::single(place));
    }
}

/// Returns the run that `address`, which lies in `block`, belongs to.
#[inline]
pub(crate) fn run_around(block: Block, address: usize) -> Option<Run> {
    block.run_around(page_in_block(address))
}
