//! What the frame allocator has, counted and for a reader.

use core::fmt;

use super::{FRAMES_PER_BLOCK, FrameAllocator};
use crate::bytes::Bytes;
use crate::counted::Counted;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::run_tree::longest_run_of_ones;

/// What the frame allocator has, as far as it is always known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames it was given to manage.
    pub total: u64,
    /// Frames that nobody has.
    pub free: u64,
    /// Blocks (64 frames, aligned to as much) all of whose frames are free.
    pub whole_blocks: u64,
    /// The most of those that are neighbours.
    pub blocks_in_a_row: u64,
}

impl FrameCounts {
    /// Returns how many frames somebody has.
    #[must_use]
    pub const fn used(self) -> u64 {
        self.total - self.free
    }
}

/// What the frame allocator has, and the longest run; in frames where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStatistics {
    /// Frames it was given to manage.
    pub total: u64,
    /// Frames that nobody has.
    pub free: u64,
    /// The longest run of neighbouring free frames.
    pub largest_run: u64,
    /// Blocks (64 frames, aligned to as much) all of whose frames are free.
    pub whole_blocks: u64,
}

impl fmt::Display for FrameStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = usize::try_from(self.largest_run * FRAME_SIZE).unwrap_or(usize::MAX);
        write!(
            f,
            "Free frames: the largest run has {}; {} of {} KiB can be had.",
            Bytes(largest),
            Counted(self.whole_blocks, "whole block"),
            FRAMES_PER_BLOCK * FRAME_SIZE / 1024
        )
    }
}

/// A walk over the free frames that looks for the longest run, and can stop and go on.
///
/// What changes between two steps is seen or not, as it comes: the result is a picture of a moving thing then.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunWalk {
    /// The word that comes next.
    next: usize,
    /// How many frames just below that word are free and neighbours.
    open: u64,
    /// The longest run so far.
    longest: u64,
}

impl RunWalk {
    /// Returns the length of the longest run seen.
    #[must_use]
    pub const fn longest(&self) -> u64 {
        self.longest
    }
}

impl FrameAllocator<'_> {
    /// Counts everything, and walks to the end for the longest run.
    #[must_use]
    pub fn statistics(&self) -> FrameStatistics {
        let mut walk = RunWalk::default();
        while !self.walk(&mut walk, usize::MAX) {}
        self.statistics_after(&walk)
    }

    /// Counts everything; the longest run is the one that `walk` saw.
    #[must_use]
    pub fn statistics_after(&self, walk: &RunWalk) -> FrameStatistics {
        let FrameCounts {
            total,
            free,
            whole_blocks,
            ..
        } = self.counts;
        FrameStatistics {
            total,
            free,
            largest_run: walk.longest.min(free),
            whole_blocks,
        }
    }

    /// Walks at most `steps` steps on; returns whether the end is reached. A step is a partial word, or up to 64 whole ones.
    pub fn walk(&self, walk: &mut RunWalk, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(word) = self.next_word_with_room(walk.next) else {
                return true;
            };
            if word != walk.next {
                walk.open = 0;
            }
            if self.whole.contains(word) {
                walk.next = self.whole.next_absent(word, word + 1);
                walk.open += (walk.next - word) as u64 * FRAMES_PER_BLOCK;
                walk.longest = walk.longest.max(walk.open);
            } else {
                let bits = self.free[word];
                walk.longest = walk
                    .longest
                    .max(walk.open + u64::from(bits.trailing_ones()))
                    .max(longest_run_of_ones(bits));
                walk.open = u64::from(bits.leading_ones());
                walk.next = word + 1;
            }
        }
        false
    }
}
