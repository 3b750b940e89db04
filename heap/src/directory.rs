//! Which blocks there are, by address.
//!
//! Owns a table with a place for each block number modulo [`PLACES`], and a search tree for blocks that share one. As long
//! as a place has one block, as all have in a heap of up to 512 MiB in a row, that is all there is to it: a block comes, is
//! found and goes in a few instructions, and an address that is nobody's is known as such. Blocks that share a place are in
//! the tree, and the place remembers the one that was found last.
//!
//! ```text
//! number       …00    …01    …10    …11
//!            ┌──────┬──────┬──────┬─ ─┬──────┐
//! latest     │ A    │ none │ B    │   │ F    │   a block, with a copy of its leads
//! count      │ 1    │ 0    │ 1    │   │ 3    │   blocks with this place
//! searched   │ no   │ no   │ no   │   │ yes  │   whether they are in the tree: D, E, F
//!            └──────┴──────┴──────┴─ ─┴──────┘
//! ```
//!
//! The copy of the leads is there so that a free goes on to its run's descriptor without a look at the block's own: one cache
//! line less. (Headers stand 256 KiB apart, so that all of them compete for the same few places of a cache.) Refuses to know
//! what is in blocks.
//!
//! Cost: constant; with shared places the steps along the tree, about the logarithm of the number of blocks in it.
#![forbid(unsafe_code)]

use core::cell::Cell;

use crate::bitmap::Bitmap;
use crate::block::{Block, block_key};
use crate::trie::Trie;
use crate::units::{BLOCK_SIZE, block_base};

/// Places: enough for 512 MiB of neighbouring blocks.
const PLACES: usize = 2048;

/// The block of a place that was found last.
///
/// # Invariants
///
/// - `block` is one that is there: `remove` clears it.
/// - `leads` are the block's: `note_latest` copies them, and whoever changes them, which is
///   [`PageRuns`](crate::page_runs::PageRuns) alone, calls `update` at once.
#[derive(Debug)]
struct Latest {
    /// The block.
    block: Cell<Option<Block>>,
    /// Its leads.
    leads: Cell<Bitmap>,
}

/// How many blocks have a place.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// Their number. Where it has been more than can be counted, it is never 0 again.
    count: u8,
    /// Whether they are in the tree.
    is_searched: bool,
}

/// Every block of a heap.
#[derive(Debug)]
pub(crate) struct Directory {
    /// By the low bits of a block's number: the latest one.
    latest: [Latest; PLACES],
    /// By the same: how many there are.
    crowds: [Crowd; PLACES],
    /// Blocks that share a place.
    tree: Trie<Block>,
}

/// Returns the place of the block that `address` lies in.
#[inline(always)]
const fn place_of(address: usize) -> usize {
    address / BLOCK_SIZE % PLACES
}

impl Directory {
    /// Creates an empty directory.
    pub(crate) const fn new() -> Self {
        Self {
            latest: [const {
                Latest {
                    block: Cell::new(None),
                    leads: Cell::new(Bitmap::EMPTY),
                }
            }; PLACES],
            crowds: [Crowd {
                count: 0,
                is_searched: false,
            }; PLACES],
            tree: Trie::new(),
        }
    }

    /// Returns the block in whose window `address` lies, and its leads, if it is the latest one of its place.
    #[inline(always)]
    pub(crate) fn find_at_hand(&self, address: usize) -> Option<(Block, Bitmap)> {
        let latest = &self.latest[place_of(address)];
        let (block, leads) = (latest.block.get()?, latest.leads.get());
        (block.address() == block_base(address)).then_some((block, leads))
    }

    /// Returns the block in whose window `address` lies, if there is one.
    pub(crate) fn find(&self, address: usize) -> Option<Block> {
        if let Some((block, _)) = self.find_at_hand(address) {
            return Some(block);
        }
        if !self.crowds[place_of(address)].is_searched {
            return None;
        }
        let block = self.tree.find(block_key(address))?;
        self.note_latest(block);
        Some(block)
    }

    /// Takes in `block`, into whose window no other one falls.
    pub(crate) fn insert(&mut self, block: Block) {
        let place = place_of(block.address());
        let Crowd { count, is_searched } = self.crowds[place];
        if count > 0 {
            if !is_searched {
                // A place that is not searched has its only block as the latest.
                if let Some(only) = self.latest[place].block.get() {
                    self.tree.insert(only);
                }
            }
            self.tree.insert(block);
        }
        self.crowds[place] = Crowd {
            count: count.saturating_add(1),
            is_searched: count > 0,
        };
        self.note_latest(block);
    }

    /// Takes out `block`.
    pub(crate) fn remove(&mut self, block: Block) {
        let place = place_of(block.address());
        let crowd = &mut self.crowds[place];
        if crowd.is_searched {
            self.tree.remove(block);
        }
        if crowd.count < u8::MAX {
            crowd.count -= 1;
        }
        // The last one of a place may stay in the tree; when it is gone, so is the need to search.
        crowd.is_searched &= crowd.count > 0;
        if self.latest[place].block.get() == Some(block) {
            self.latest[place].block.set(None);
        }
    }

    /// Notes that the leads of `block` have changed.
    #[inline]
    pub(crate) fn update(&self, block: Block) {
        let latest = &self.latest[place_of(block.address())];
        if latest.block.get() == Some(block) {
            latest.leads.set(block.leads());
        }
    }

    /// Notes `block` as the latest one of its place.
    fn note_latest(&self, block: Block) {
        let latest = &self.latest[place_of(block.address())];
        latest.block.set(Some(block));
        latest.leads.set(block.leads());
    }

    /// Returns whether `block`, which is there, is found, and what is noted of it is true.
    pub(crate) fn is_sound(&self, block: Block) -> bool {
        let is_true = |(found, leads)| found == block && leads == block.leads();
        self.find(block.address()) == Some(block)
            && self.find_at_hand(block.address()).is_some_and(is_true)
    }
}
