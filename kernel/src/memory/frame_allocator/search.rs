//! The search for neighbouring frames, bounded: it is made with interrupts masked.

use super::{FRAMES_PER_BLOCK, FrameAllocator, OutOfFrames, word_of};
use crate::memory::frame::FrameRange;

/// How many runs of free frames a search looks at.
///
/// It looks at so many of the lowest ones, frame by frame; each look costs a few words of the bit trees, and one more for each
/// 16 MiB that the region itself is long (and aligned to). Where none of them fits, the tree of runs knows in one descent
/// which whole blocks do, wherever they are.
pub const RUNS_LOOKED_AT: usize = 32;

/// What is searched.
#[derive(Clone, Copy)]
struct Wanted {
    /// How many frames.
    frames: u64,
    /// What the first one's number is a multiple of.
    align_frames: u64,
}

impl FrameAllocator<'_> {
    /// Hands out `frames` neighbouring frames, the first one's number a multiple of `align_frames`: the lowest that fit among
    /// the [`RUNS_LOOKED_AT`] lowest runs of free frames (for 127 frames or more, only runs with a whole block in them count), or
    /// else the lowest run of whole blocks that is long enough however it lies.
    ///
    /// So it succeeds where there are [`blocks_in_a_row`](super::FrameCounts::blocks_in_a_row) enough for the frames, and for the
    /// alignment less one block.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if there is neither, if `frames` is 0, or if `align_frames` is not a power of two.
    pub fn allocate_region(
        &mut self,
        frames: u64,
        align_frames: u64,
    ) -> Result<FrameRange, OutOfFrames> {
        if frames == 0 || frames > self.counts.free || !align_frames.is_power_of_two() {
            return Err(OutOfFrames);
        }
        let wanted = Wanted {
            frames,
            align_frames,
        };
        let found = self.look(wanted).or_else(|| self.find_blocks(wanted));
        let region = found.ok_or(OutOfFrames)?;
        self.change_all(region, false);
        Ok(region)
    }

    /// Looks at the lowest runs.
    fn look(&self, wanted: Wanted) -> Option<FrameRange> {
        let end_of_memory = self.free.len() as u64 * FRAMES_PER_BLOCK;
        let mut next = 0;
        for _ in 0..RUNS_LOOKED_AT {
            let first = self.next_run(next, wanted)?;
            let aligned = first.checked_next_multiple_of(wanted.align_frames)?;
            if aligned >= end_of_memory {
                return None;
            }
            // Both are below a few times `LARGEST_END`.
            let end = aligned + wanted.frames;
            next = self.run_end(first, end);
            if next >= end {
                return Some(FrameRange::from_numbers(aligned, end));
            }
        }
        None
    }

    /// Finds the lowest run of whole blocks that has what is wanted wherever it begins.
    fn find_blocks(&self, wanted: Wanted) -> Option<FrameRange> {
        let for_alignment = wanted.align_frames.div_ceil(FRAMES_PER_BLOCK) - 1;
        let blocks = wanted.frames.div_ceil(FRAMES_PER_BLOCK) + for_alignment;
        let first = self.runs.find(self.whole.words(), blocks)? * FRAMES_PER_BLOCK;
        let aligned = first.checked_next_multiple_of(wanted.align_frames)?;
        Some(FrameRange::from_numbers(aligned, aligned + wanted.frames))
    }

    /// Returns the first frame of the next run at or behind the frame of number `from`, as far as runs serve what is wanted.
    fn next_run(&self, from: u64, wanted: Wanted) -> Option<u64> {
        let word = word_of(from);
        // A run of 127 frames has a whole block in it, wherever it starts.
        if wanted.frames >= 2 * FRAMES_PER_BLOCK - 1 {
            let from_word = word_of(from.next_multiple_of(FRAMES_PER_BLOCK));
            let whole = self.whole.next_member(from_word)?;
            let before = whole
                .checked_sub(1)
                .map_or(0, |word| self.free[word].leading_ones());
            return Some(whole as u64 * FRAMES_PER_BLOCK - u64::from(before));
        }
        let rest = self.free.get(word)? & (u64::MAX << (from % FRAMES_PER_BLOCK));
        let (word, bits) = if rest == 0 {
            let next = self.next_word_with_room(word + 1)?;
            (next, self.free[next])
        } else {
            (word, rest)
        };
        Some(word as u64 * FRAMES_PER_BLOCK + u64::from(bits.trailing_zeros()))
    }

    /// Returns the number of the frame behind the run that has frame number `first`; where that is not below `limit`, any
    /// number from `limit` up to it.
    fn run_end(&self, first: u64, limit: u64) -> u64 {
        let (word, bit) = (word_of(first), first % FRAMES_PER_BLOCK);
        let ones = (self.free[word] >> bit).trailing_ones();
        let end = first + u64::from(ones);
        if !end.is_multiple_of(FRAMES_PER_BLOCK) || end >= limit {
            return end;
        }
        let limit_word = word_of(limit);
        let behind = self
            .whole
            .next_absent(word + 1, limit_word)
            .min(self.free.len());
        let ones = self.free.get(behind).map_or(0, |bits| bits.trailing_ones());
        behind as u64 * FRAMES_PER_BLOCK + u64::from(ones)
    }

    /// Returns the first word from `from` on with a free frame.
    pub(super) fn next_word_with_room(&self, from: usize) -> Option<usize> {
        match (self.partial.next_member(from), self.whole.next_member(from)) {
            (Some(partial), Some(whole)) => Some(partial.min(whole)),
            (partial, whole) => partial.or(whole),
        }
    }
}
