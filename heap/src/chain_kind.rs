//! The two kinds of chains, and what is different in them.
//!
//! A chain has a field of this, and no numbers: so one of many that has no memory yet is zeros all over, and a static heap of many takes
//! no room in the image of a kernel.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::sharded::record::RECORD_SIZE;
use crate::units::{LONGEST_RUN_PAGES, PAGE_SIZE};

/// Idle blocks that the heap keeps rather than give them back at once: 4, which is 1 MiB.
///
/// Without a few in hand, a loop that allocates and frees at the edge of a block would take one from the source and
/// give it back each time round. [`Allocator::trim`](crate::Allocator::trim) gives back these too.
pub const KEPT_BLOCKS: usize = 4;

/// Idle blocks that one of many chains keeps: one, 256 KiB. More than that are of use to all.
const KEPT_BY_ONE_OF_MANY: usize = 1;

/// Who else has blocks of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ChainKind {
    /// Other chains of the same heap, for which each block begins with a [record](crate::sharded::record).
    OneOfMany = 0,
    /// Nobody.
    Alone,
}

impl ChainKind {
    /// Returns places for the idle blocks that are kept, and for one about to go.
    pub(crate) const fn idle_places(self) -> Bitmap {
        match self {
            Self::OneOfMany => Bitmap::below(KEPT_BY_ONE_OF_MANY + 1),
            Self::Alone => Bitmap::below(KEPT_BLOCKS + 1),
        }
    }

    /// Returns the pages of the longest run that a block can hold.
    pub(crate) const fn longest_run(self) -> usize {
        match self {
            Self::OneOfMany => LONGEST_RUN_PAGES - RECORD_SIZE / PAGE_SIZE,
            Self::Alone => LONGEST_RUN_PAGES,
        }
    }
}
