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
//! latest     │ A    │ none │ B    │   │ F    │   a block
//! count      │ 1    │ 0    │ 1    │   │ 3    │   blocks with this place
//! searched   │ no   │ no   │ no   │   │ yes  │   whether they are in the tree: D, E, F
//!            └──────┴──────┴──────┴─ ─┴──────┘
//! ```
//!
//! Refuses to know what is in blocks.
//!
//! Cost: constant; with shared places the steps along the tree, about the logarithm of the number of blocks in it.
#![forbid(unsafe_code)]

use core::cell::Cell;

use crate::block::{Block, block_key};
use crate::trie::{Trie, TrieNode};
use crate::units::{BLOCK_SIZE, block_base};

/// Places: enough for 512 MiB of neighbouring blocks.
const PLACES: usize = 2048;

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
    /// By the low bits of a block's number: the one that was found last.
    latest: [Cell<Option<Block>>; PLACES],
    /// By the same: how many there are.
    crowds: [Crowd; PLACES],
    /// Blocks that share a place.
    tree: Trie<Block>,
}

/// Places that [`Directory::look`] looks at in one go.
const PLACES_A_LOOK: usize = 64;

/// How far a walk over all blocks has come. The order is that of places, which is that of addresses between two multiples of
/// 512 MiB, and among blocks that share a place that of keys. A block has one place in it as long as it stays, so whatever comes
/// and goes meanwhile, one that stays is seen once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Blocks of places before this one were seen.
    place: usize,
    /// So were those of this place with smaller keys.
    key: u64,
}

impl Cursor {
    /// Returns the cursor of a walk that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self { place: 0, key: 0 }
    }

    /// Returns whether all blocks were seen.
    pub(crate) const fn is_at_end(self) -> bool {
        self.place == PLACES
    }

    /// Goes on behind `block`, of this place.
    fn pass(&mut self, block: Block) {
        match block.key().checked_add(1) {
            Some(key) => self.key = key,
            None => self.pass_place(),
        }
    }

    /// Goes on with the next place.
    fn pass_place(&mut self) {
        *self = Self {
            place: self.place + 1,
            key: 0,
        };
    }
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
            latest: [const { Cell::new(None) }; PLACES],
            crowds: [Crowd {
                count: 0,
                is_searched: false,
            }; PLACES],
            tree: Trie::new(),
        }
    }

    /// Returns the block in whose window `address` lies, if it is the latest one of its place.
    #[inline(always)]
    pub(crate) fn find_at_hand(&self, address: usize) -> Option<Block> {
        let block = self.latest[place_of(address)].get()?;
        (block.address() == block_base(address)).then_some(block)
    }

    /// Returns the block in whose window `address` lies, if there is one.
    pub(crate) fn find(&self, address: usize) -> Option<Block> {
        if let Some(block) = self.find_at_hand(address) {
            return Some(block);
        }
        if !self.crowds[place_of(address)].is_searched {
            return None;
        }
        let block = self.tree.find(block_key(address))?;
        self.note_latest(block);
        Some(block)
    }

    /// Looks for the next block of a walk at the next 64 places, and moves the cursor on. `None` says that there is none at
    /// these; there may be others yet, unless the cursor is at its end.
    pub(crate) fn look(&self, cursor: &mut Cursor) -> Option<Block> {
        for _ in 0..PLACES_A_LOOK {
            if cursor.is_at_end() {
                break;
            }
            if let Some(block) = self.next_of_place(*cursor) {
                cursor.pass(block);
                return Some(block);
            }
            cursor.pass_place();
        }
        None
    }

    /// Returns the next block of the cursor's place.
    fn next_of_place(&self, Cursor { place, key }: Cursor) -> Option<Block> {
        if !self.crowds[place].is_searched {
            return self.latest[place].get().filter(|block| block.key() >= key);
        }
        // Keys begin with the bits of the place, so those of one place are neighbours.
        let first = block_key(place * BLOCK_SIZE);
        let block = self.tree.find_at_or_above(key.max(first))?;
        (place_of(block.address()) == place).then_some(block)
    }

    /// Takes in `block`, into whose window no other one falls.
    pub(crate) fn insert(&mut self, block: Block) {
        let place = place_of(block.address());
        let Crowd { count, is_searched } = self.crowds[place];
        if count > 0 {
            if !is_searched {
                // A place that is not searched has its only block as the latest.
                if let Some(only) = self.latest[place].get() {
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
        if self.latest[place].get() == Some(block) {
            self.latest[place].set(None);
        }
    }

    /// Notes `block` as the latest one of its place.
    fn note_latest(&self, block: Block) {
        self.latest[place_of(block.address())].set(Some(block));
    }
}
