//! Walks over all live objects, and over all blocks, one step at a time, so that the lock need not be held between steps.
//!
//! Owns where the walk is; finding the next object or block is [`crate::locate`]'s.
#![forbid(unsafe_code)]

use crate::block_snapshot::BlockSnapshot;
use crate::locate::Lookup;
use crate::place::Object;
use crate::units::BLOCK_SIZE;

/// Where a walk is: which objects it has not seen yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walk {
    /// Those in blocks from this address on, and all regions.
    Blocks(usize),
    /// Regions from this address on.
    Regions(usize),
    /// None.
    Done,
}

impl Walk {
    /// Returns a walk that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self::Blocks(0)
    }

    /// Returns a walk that has seen all but the regions.
    pub(crate) const fn of_regions() -> Self {
        Self::Regions(0)
    }

    /// Takes one step: returns the next live object. Cost: that of the search in [`Lookup`].
    pub(crate) fn step(&mut self, lookup: Lookup<'_>) -> Option<Object> {
        if let Self::Blocks(from) = *self {
            let object = lookup.next_in_blocks(from);
            *self = match object {
                Some(object) => Self::Blocks(object.address + 1),
                None => Self::Regions(0),
            };
            if object.is_some() {
                return object;
            }
        }
        let Self::Regions(from) = *self else {
            return None;
        };
        let object = lookup.next_in_regions(from);
        *self = match object {
            Some(object) => Self::Regions(object.address + 1),
            None => Self::Done,
        };
        object
    }
}

/// Where a walk over blocks is: the address from which on it has not seen any. `None` when there can be no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockWalk(Option<usize>);

impl BlockWalk {
    /// Returns a walk that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self(Some(0))
    }

    /// Takes one step: returns the next block. Cost: that of the search in [`Lookup`].
    pub(crate) fn step(&mut self, lookup: Lookup<'_>) -> Option<BlockSnapshot> {
        let block = lookup.next_block(self.0?);
        self.0 = block.and_then(|block| block.address.checked_add(BLOCK_SIZE));
        block
    }
}
