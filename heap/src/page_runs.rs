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
//! back to the source beyond [`KEPT_BLOCKS`].
//!
//! Cost: constant, but for aligned runs, which may look at up to [`ALIGNED_TRIES`] blocks.

use core::cell::Cell;

use crate::bitmap::Bitmap;
use crate::block::{Block, Run, RunKind, block_key};
use crate::list::List;
use crate::trie::Trie;
use crate::units::{BLOCK_SIZE, PAGES_PER_BLOCK, block_base, page_in_block};

/// Idle blocks that the heap keeps rather than give them back at once: 4, which is 1 MiB.
///
/// Without a few in hand, a loop that allocates and frees at the edge of a block would take one from the source and
/// give it back each time round. [`Allocator::trim`](crate::Allocator::trim) gives back these too.
pub const KEPT_BLOCKS: usize = 4;

/// Most blocks looked at for a run with an alignment above a page, before a new block is asked for.
const ALIGNED_TRIES: usize = 64;

/// Places in the table of blocks found lately: enough for 64 MiB of neighbouring blocks.
const REMEMBERED: usize = 256;

/// Every block of a heap.
#[derive(Debug)]
pub(crate) struct PageRuns {
    /// Blocks by the length of their longest run of free pages.
    lists: [List<Block>; PAGES_PER_BLOCK],
    /// The lists that have members.
    occupied: Bitmap,
    /// Every block by its address.
    directory: Trie<Block>,
    /// Blocks found lately, by the low bits of their number, so that few frees have to search the directory.
    remembered: [Cell<Option<Block>>; REMEMBERED],
    /// Blocks with nothing of the user's in them. One more than are kept, for the one about to go.
    idle: [Option<Block>; KEPT_BLOCKS + 1],
    /// Number of blocks.
    count: usize,
}

impl PageRuns {
    /// Creates an empty set.
    pub(crate) const fn new() -> Self {
        Self {
            lists: [const { List::new() }; PAGES_PER_BLOCK],
            occupied: Bitmap::EMPTY,
            directory: Trie::new(),
            remembered: [const { Cell::new(None) }; REMEMBERED],
            idle: [None; KEPT_BLOCKS + 1],
            count: 0,
        }
    }

    /// Returns how many blocks there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Returns the length in pages of the longest run that could be had.
    pub(crate) fn longest(&self) -> usize {
        self.occupied.highest_up_to(PAGES_PER_BLOCK).unwrap_or(0)
    }

    /// Returns the block that `address` lies in, if the heap holds it. Reads nothing at `address`.
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Option<Block> {
        let place = &self.remembered[address / BLOCK_SIZE % REMEMBERED];
        if let Some(block) = place.get() {
            if block.address() == block_base(address) {
                return Some(block);
            }
        }
        let block = self.search(address)?;
        place.set(Some(block));
        Some(block)
    }

    /// Returns the block that `address` lies in, without the table of those found lately.
    pub(crate) fn search(&self, address: usize) -> Option<Block> {
        self.directory.find(block_key(address))
    }

    /// Adds a new block, idle, all of its pages free. There is room for one more idle block.
    pub(crate) fn add(&mut self, block: Block) {
        self.directory.insert(block);
        self.hang(block);
        self.count += 1;
        self.add_idle(block);
    }

    /// Takes out an idle block all of whose pages are free.
    pub(crate) fn remove(&mut self, block: Block) {
        debug_assert!(
            block.leads.get().is_empty() && block.live_pages.get() == 0,
            "only an empty block goes"
        );
        self.unhang(block);
        self.directory.remove(block);
        self.count -= 1;
        self.remove_idle(block);
        let place = &self.remembered[block.address() / BLOCK_SIZE % REMEMBERED];
        if place.get() == Some(block) {
            place.set(None);
        }
    }

    /// Opens a run of `pages` pages (1..=63) that begins at a multiple of `align` pages.
    ///
    /// The run holds nothing of the user's yet: see [`mark_live`](Self::mark_live).
    pub(crate) fn open(
        &mut self,
        pages: usize,
        align: usize,
        kind: RunKind,
        chunks: usize,
    ) -> Option<Run> {
        let (block, first) = if align == 1 {
            self.find_run(pages)
        } else {
            self.find_aligned_run(pages, align)
        }?;
        let run = block.open_run(first, pages, kind, chunks);
        self.rehang(block);
        Some(run)
    }

    /// Closes `run`, which holds nothing of the user's.
    pub(crate) fn close(&mut self, run: Run) {
        let block = run.block();
        run.close();
        self.rehang(block);
    }

    /// Makes `run`, which is live, `pages` long, if the pages behind it allow that.
    pub(crate) fn resize(&mut self, run: Run, pages: usize) -> bool {
        let block = run.block();
        let before = run.pages();
        if !run.resize(pages) {
            return false;
        }
        block
            .live_pages
            .set(block.live_pages.get() - before + pages);
        self.rehang(block);
        true
    }

    /// Notes that `run` holds something of the user's from now on.
    pub(crate) fn mark_live(&mut self, run: Run) {
        let block = run.block();
        if block.live_pages.get() == 0 {
            self.remove_idle(block);
        }
        block.live_pages.set(block.live_pages.get() + run.pages());
    }

    /// Notes that `run` holds nothing of the user's any more.
    pub(crate) fn mark_empty(&mut self, run: Run) {
        let block = run.block();
        block.live_pages.set(block.live_pages.get() - run.pages());
        if block.live_pages.get() == 0 {
            self.add_idle(block);
        }
    }

    /// Returns whether `block` is idle and there are more of the kind than are kept.
    pub(crate) fn is_surplus(&self, block: Block) -> bool {
        block.live_pages.get() == 0 && self.idle.iter().all(Option::is_some)
    }

    /// Returns the idle blocks.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Block> + use<> {
        self.idle.into_iter().flatten()
    }

    /// Returns every block with the number of its list. Cost: the number of blocks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Block)> + '_ {
        self.lists
            .iter()
            .enumerate()
            .flat_map(|(number, list)| list.iter().map(move |block| (number, block)))
    }

    /// Returns whether the lists, their word and their links agree. Cost: the number of blocks.
    pub(crate) fn lists_are_sound(&self) -> bool {
        self.lists.iter().enumerate().all(|(number, list)| {
            self.occupied.contains(number) != list.is_empty() && list.is_linked_both_ways()
        })
    }

    /// Finds a run of `pages` pages in the block that fits best.
    fn find_run(&self, pages: usize) -> Option<(Block, usize)> {
        let list = self.occupied.lowest_from(pages)?;
        let block = self.lists[list].first()?;
        Some((block, block.free.get().find_run(pages, 1)?))
    }

    /// Finds a run of `pages` pages that begins at a multiple of `align` pages.
    ///
    /// A run that is longer by `align - 1` always has a fitting place; shorter ones may, so the best fits are tried.
    fn find_aligned_run(&self, pages: usize, align: usize) -> Option<(Block, usize)> {
        let fitting = |block: Block| Some((block, block.free.get().find_run(pages, align)?));
        (pages..PAGES_PER_BLOCK)
            .filter(|list| self.occupied.contains(*list))
            .flat_map(|list| self.lists[list].iter())
            .take(ALIGNED_TRIES)
            .find_map(fitting)
            .or_else(|| {
                let list = self.occupied.lowest_from(pages + align - 1)?;
                fitting(self.lists[list].first()?)
            })
    }

    /// Puts `block` into the list of its longest run.
    fn hang(&mut self, block: Block) {
        let list = block.free.get().longest_run();
        block.longest.set(list);
        self.lists[list].push(block);
        self.occupied = self.occupied.with(Bitmap::range(list, 1));
    }

    /// Takes `block` out of its list.
    fn unhang(&mut self, block: Block) {
        let list = block.longest.get();
        self.lists[list].remove(block);
        if self.lists[list].is_empty() {
            self.occupied = self.occupied.without(Bitmap::range(list, 1));
        }
    }

    /// Moves `block`, whose pages changed, to the list where it belongs now.
    fn rehang(&mut self, block: Block) {
        if block.free.get().longest_run() != block.longest.get() {
            self.unhang(block);
            self.hang(block);
        }
    }

    /// Notes `block` as idle.
    fn add_idle(&mut self, block: Block) {
        let place = self.idle.iter_mut().find(|place| place.is_none());
        debug_assert!(
            place.is_some(),
            "the chain retires a surplus block before the next one falls idle"
        );
        if let Some(place) = place {
            *place = Some(block);
        }
    }

    /// Notes `block` as not idle any more.
    fn remove_idle(&mut self, block: Block) {
        for place in &mut self.idle {
            if *place == Some(block) {
                *place = None;
            }
        }
    }
}

/// Returns the run that `address`, which lies in `block`, belongs to.
#[inline]
pub(crate) fn run_around(block: Block, address: usize) -> Option<Run> {
    block.run_around(page_in_block(address))
}
