//! The search for neighbouring frames, bounded: it is made with interrupts masked.

use super::{FRAMES_PER_BLOCK, FrameAllocator, OutOfFrames, word_of};
use crate::memory::frame::FrameRange;

/// How many runs of free frames half a search looks at.
///
/// A search looks at so many of the lowest runs, and then at as many from where the last search left off. So a machine whose
/// low memory is in pieces still finds the long runs behind them, if not at once. Each look costs a few words of the bit
/// trees, and one more for each 16 MiB that the region itself is long (and aligned to).
pub const RUNS_LOOKED_AT: usize = 32;

/// Where half a search ended.
enum Looked {
    /// At a region that fits.
    Found(FrameRange),
    /// Before the frame of this number, after as many runs as it may look at.
    LeftOff(u64),
    /// At the end of memory.
    AtTheEnd,
}

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
    /// the [`RUNS_LOOKED_AT`] lowest runs of free frames, or one of as many others. For 127 frames or more, only runs with a
    /// whole block in them count.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if the runs looked at have none, if `frames` is 0, or if `align_frames` is not a power of two.
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
        let mut looked = self.look(wanted, 0);
        if let Looked::LeftOff(number) = looked {
            looked = self.look(wanted, number.max(self.left_off));
            self.left_off = match looked {
                Looked::Found(region) => region.first.number(),
                Looked::LeftOff(number) => number,
                Looked::AtTheEnd => 0,
            };
        }
        let Looked::Found(region) = looked else {
            return Err(OutOfFrames);
        };
        self.take(region);
        Ok(region)
    }

    /// Looks at runs from the frame of number `from` on.
    fn look(&self, wanted: Wanted, from: u64) -> Looked {
        let end_of_memory = self.free.len() as u64 * FRAMES_PER_BLOCK;
        let mut next = from;
        for _ in 0..RUNS_LOOKED_AT {
            let Some(first) = self.next_run(next, wanted) else {
                return Looked::AtTheEnd;
            };
            let aligned = first.checked_next_multiple_of(wanted.align_frames);
            let Some(aligned) = aligned.filter(|&first| first < end_of_memory) else {
                return Looked::AtTheEnd;
            };
            // Both are below a few times `LARGEST_END`.
            let end = aligned + wanted.frames;
            next = self.run_end(first, end);
            if next >= end {
                return Looked::Found(FrameRange::from_numbers(aligned, end));
            }
        }
        Looked::LeftOff(next)
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
