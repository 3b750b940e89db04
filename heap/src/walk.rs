//! Walks over all live objects, and over all blocks, one step at a time, so that the lock need not be held between steps.
//!
//! Owns where a walk is; what is there, [`crate::locate`] and [`crate::directory`] say. A step finds something, or it finds
//! out that there is nothing at some places: so however far apart blocks lie, a step has a fixed cost.
#![forbid(unsafe_code)]

use crate::block_snapshot::BlockSnapshot;
use crate::directory::Cursor;
use crate::locate::Lookup;
use crate::place::Object;

/// What a step of a walk comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<T> {
    /// The next one.
    Found(T),
    /// Nothing yet: take another step.
    NotYet,
    /// There are no more.
    End,
}

/// Where a walk over live objects is: which of them it has not seen yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walk {
    /// Those of the block around the address, from there on; of the blocks behind the cursor; and all regions.
    InBlock(usize, Cursor),
    /// Those of the blocks behind the cursor, and all regions.
    Blocks(Cursor),
    /// Regions from this address on.
    Regions(usize),
}

impl Walk {
    /// Returns a walk that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self::Blocks(Cursor::new())
    }

    /// Returns a walk that has seen all but the regions.
    pub(crate) const fn of_regions() -> Self {
        Self::Regions(0)
    }

    /// Takes one step towards the next live object. Cost: constant.
    pub(crate) fn step(&mut self, lookup: Lookup<'_>) -> Step<Object> {
        match *self {
            Self::InBlock(from, cursor) => match lookup.next_in_block_around(from) {
                Some(object) => {
                    *self = Self::InBlock(object.address + 1, cursor);
                    Step::Found(object)
                }
                None => {
                    *self = Self::Blocks(cursor);
                    Step::NotYet
                }
            },
            Self::Blocks(mut cursor) => {
                *self = match lookup.look(&mut cursor) {
                    Some(block) => Self::InBlock(block.address(), cursor),
                    None if cursor.is_at_end() => Self::Regions(0),
                    None => Self::Blocks(cursor),
                };
                Step::NotYet
            }
            Self::Regions(from) => match lookup.next_in_regions(from) {
                Some(object) => {
                    *self = Self::Regions(object.address + 1);
                    Step::Found(object)
                }
                None => Step::End,
            },
        }
    }
}

/// Where a walk over blocks is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockWalk(Cursor);

impl BlockWalk {
    /// Returns a walk that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self(Cursor::new())
    }

    /// Takes one step towards the next block. Cost: constant.
    pub(crate) fn step(&mut self, lookup: Lookup<'_>) -> Step<BlockSnapshot> {
        match lookup.look(&mut self.0) {
            Some(block) => Step::Found(lookup.snapshot(block)),
            None if self.0.is_at_end() => Step::End,
            None => Step::NotYet,
        }
    }
}

/// Takes steps until one is found, or there are no more.
pub(crate) fn next<T>(mut step: impl FnMut() -> Step<T>) -> Option<T> {
    loop {
        match step() {
            Step::Found(found) => return Some(found),
            Step::NotYet => {}
            Step::End => return None,
        }
    }
}
