//! The blocks that frees found lately, by address: so that few frees have to search for theirs.
//!
//! Owns a table with one place for each block number modulo [`PLACES`]. Beside a block's handle stands a copy of its leads,
//! so that a free goes on to its run's descriptor without a look at the block's own: one cache line less. (Headers stand
//! 256 KiB apart, so that all of them compete for the same few places of a cache.) Refuses to know what is in blocks, and
//! how one is found that is not here.
//!
//! Cost: constant, a few instructions.
#![forbid(unsafe_code)]

use core::cell::Cell;

use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::units::{BLOCK_SIZE, block_base};

/// Places: enough for 512 MiB of neighbouring blocks, in 32 KiB.
const PLACES: usize = 2048;

/// What is remembered of a block.
#[derive(Debug)]
struct Recent {
    /// The block.
    block: Cell<Option<Block>>,
    /// Its leads.
    leads: Cell<Bitmap>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct RecentBlocks {
    /// By the low bits of the block's number.
    places: [Recent; PLACES],
}

impl RecentBlocks {
    /// Creates an empty table.
    pub(crate) const fn new() -> Self {
        Self {
            places: [const {
                Recent {
                    block: Cell::new(None),
                    leads: Cell::new(Bitmap::EMPTY),
                }
            }; PLACES],
        }
    }

    /// Returns the place of the block that `address` lies in.
    #[inline(always)]
    const fn place(&self, address: usize) -> &Recent {
        &self.places[address / BLOCK_SIZE % PLACES]
    }

    /// Returns the block in whose window `address` lies, and its leads, if it was found lately.
    #[inline(always)]
    pub(crate) fn find(&self, address: usize) -> Option<(Block, Bitmap)> {
        let place = self.place(address);
        let (block, leads) = (place.block.get()?, place.leads.get());
        (block.address() == block_base(address)).then_some((block, leads))
    }

    /// Remembers `block`.
    pub(crate) fn remember(&self, block: Block) {
        let place = self.place(block.address());
        place.block.set(Some(block));
        place.leads.set(block.leads());
    }

    /// Notes that the leads of `block` have changed.
    #[inline]
    pub(crate) fn update(&self, block: Block) {
        let place = self.place(block.address());
        if place.block.get() == Some(block) {
            place.leads.set(block.leads());
        }
    }

    /// Forgets `block`, which is about to go.
    pub(crate) fn forget(&self, block: Block) {
        let place = self.place(block.address());
        if place.block.get() == Some(block) {
            place.block.set(None);
        }
    }

    /// Returns whether what is remembered of `block`, if anything is, is true.
    pub(crate) fn is_sound(&self, block: Block) -> bool {
        let found = self.find(block.address());
        found.is_none_or(|(found, leads)| found == block && leads == block.leads())
    }
}
