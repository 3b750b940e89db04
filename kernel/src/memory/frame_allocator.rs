//! The owner of physical memory: which frames are free, and who gets them.
//!
//! Pure bookkeeping: it never touches the frames it hands out, so the host tests it. It knows neither the heap nor where
//! frames are mapped. Its own words live in memory that the caller sets aside for it ([`FrameAllocator::words_for`]),
//! never in the heap: the heap stands on this.
//!
//! ```text
//! frame      0 1 2 …           63 │ 64 …                │          a word of 64 frames is a block of 256 KiB,
//! free       0 1 1 0 …          1 │ 1 1 1 1 …         1 │ …        aligned like one
//! managed    0 1 1 1 …          1 │ 1 1 1 1 …         1 │ …        0: a hole, the firmware's, the kernel's
//!            └── partial word ──┘   └─── whole word ───┘
//! ```
//!
//! Two [`BitTree`]s say which words are *partial* (some frames free) and which are *whole* (all 64 free). Single frames come
//! out of partial words while there are any, so whole blocks stay whole. A [`RunTree`] above the whole ones knows which of them
//! are neighbours.
//!
//! | operation | cost |
//! |---|---|
//! | a frame, some frames of one word, and back | constant: one word, and at most four words a tree |
//! | a block, and back | the same, and a node a level of the run tree: 12 for 4 GiB, at most 18 |
//! | a region of `n` frames | a bounded search: see [`search`](FrameAllocator::allocate_region); taking and giving back walk over `n / 64` words, and update the trees for each 64 of those |
//! | [`counts`](FrameAllocator::counts) | constant |
//! | the longest run | a [walk](FrameAllocator::walk) in steps, for the lock to be let go between: one step a partial word, one for 64 whole ones |
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Range;

pub use self::search::RUNS_LOOKED_AT;
pub use self::statistics::{FrameCounts, FrameStatistics, RunWalk};
use super::bit_tree::{BitTree, LARGEST_CAPACITY};
use super::frame::{Frame, FrameRange};
use super::frame_set::FrameSet;
use super::run_tree::RunTree;

mod search;
mod statistics;

/// Frames of a word, and of a heap block.
pub const FRAMES_PER_BLOCK: u64 = 64;

/// The number behind the largest frame number that can be managed: 4 TiB of physical memory.
pub const LARGEST_END: u64 = LARGEST_CAPACITY as u64 * FRAMES_PER_BLOCK;

/// A word none of whose frames is taken.
const WHOLE: u64 = u64::MAX;

/// Why frames were not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

impl fmt::Display for OutOfFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no free frames of that shape")
    }
}

impl core::error::Error for OutOfFrames {}

/// Why frames were not taken back (or not taken over). Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// This frame is free already.
    AlreadyFree(Frame),
    /// This frame was never this allocator's to give: a hole, the firmware's, or the kernel's own.
    NotManaged(Frame),
    /// This frame lies behind the last one of the machine.
    OutOfRange(Frame),
    /// A block starts at a multiple of 64 frames; this frame is none.
    NotABlock(Frame),
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyFree(frame) => write!(f, "{frame} is free already"),
            Self::NotManaged(frame) => write!(f, "{frame} is not managed by the frame allocator"),
            Self::OutOfRange(frame) => write!(f, "{frame} lies behind the end of memory"),
            Self::NotABlock(frame) => write!(f, "{frame} is not the start of a block"),
        }
    }
}

impl core::error::Error for FreeError {}

/// Owns physical frames; see the module.
///
/// # Invariants
/// - A bit of `free` is set only where the same bit of `managed` is set.
/// - `whole` holds exactly the words of `free` that are all ones; `partial` those that are neither that nor zero.
/// - `runs` is the tree of `whole`.
/// - `counts.total` and `.free` count the bits of `managed` and `free`; `.whole_blocks` the members of `whole`;
///   `.blocks_in_a_row` is what `runs` says.
#[derive(Debug)]
pub struct FrameAllocator<'a> {
    /// One bit a frame: nobody has it.
    free: &'a mut [u64],
    /// One bit a frame: it is ours to give.
    managed: &'a mut [u64],
    /// Words with some free frames.
    partial: BitTree<'a>,
    /// Words with all frames free.
    whole: BitTree<'a>,
    /// Which of those are neighbours.
    runs: RunTree<'a>,
    /// The counts, kept up to date.
    counts: FrameCounts,
}

impl<'a> FrameAllocator<'a> {
    /// Returns how many words of bookkeeping the frames below number `end` need.
    ///
    /// # Panics
    ///
    /// If `end` is above [`LARGEST_END`].
    #[must_use]
    pub fn words_for(end: u64) -> usize {
        let blocks = blocks_for(end);
        let run_words = RunTree::words_for(whole_words(blocks));
        2 * blocks + 2 * BitTree::words_for(blocks) + run_words
    }

    /// Makes an allocator that manages nothing yet, able to manage the frames below number `end`, with its books in
    /// `memory`.
    ///
    /// # Panics
    ///
    /// If `end` is above [`LARGEST_END`], or `memory` is shorter than [`words_for`](Self::words_for) `end`.
    #[must_use]
    pub fn new(end: u64, memory: &'a mut [u64]) -> Self {
        let blocks = blocks_for(end);
        let (free, rest) = memory.split_at_mut(blocks);
        let (managed, rest) = rest.split_at_mut(blocks);
        free.fill(0);
        managed.fill(0);
        let (partial, rest) = BitTree::new(blocks, rest);
        let (whole, rest) = BitTree::new(blocks, rest);
        let (runs, _) = RunTree::new(whole_words(blocks), rest);
        Self {
            free,
            managed,
            partial,
            whole,
            runs,
            counts: FrameCounts::default(),
        }
    }

    /// Takes over frames, free from now on.
    ///
    /// # Errors
    ///
    /// [`FreeError::AlreadyFree`] with a frame it has already (free or handed out), [`FreeError::OutOfRange`] with one it has no books for;
    /// nothing is taken over then.
    pub fn add(&mut self, range: FrameRange) -> Result<(), FreeError> {
        for (word, mask) in word_masks(range) {
            match self.managed.get(word) {
                None => return Err(FreeError::OutOfRange(first_frame(word, mask))),
                Some(managed) if managed & mask != 0 => {
                    return Err(FreeError::AlreadyFree(first_frame(word, managed & mask)));
                }
                Some(_) => {}
            }
        }
        for (word, mask) in word_masks(range) {
            self.managed[word] |= mask;
        }
        self.counts.total += range.len();
        self.change_all(range, true);
        Ok(())
    }

    /// Hands out one frame; from a broken block where there is one.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if no frame is free.
    pub fn allocate_frame(&mut self) -> Result<Frame, OutOfFrames> {
        let partial = self.partial.first_member();
        let word = partial
            .or_else(|| self.whole.first_member())
            .ok_or(OutOfFrames)?;
        let lowest = self.free[word] & self.free[word].wrapping_neg();
        self.change(word, self.free[word] & !lowest);
        Ok(first_frame(word, lowest))
    }

    /// Hands out up to `most` frames of one word, and at least one: a whole block where so many are wanted and there is one,
    /// else frames of a broken block where there is one. Repeated until enough are there, it takes any number of frames in a
    /// few steps for each block that they are scattered over.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if no frame is free, or `most` is 0.
    pub fn allocate_some(&mut self, most: u64) -> Result<FrameSet, OutOfFrames> {
        let whole = || self.whole.first_member();
        let word = match most {
            0 => None,
            1..FRAMES_PER_BLOCK => self.partial.first_member().or_else(whole),
            FRAMES_PER_BLOCK.. => whole().or_else(|| self.partial.first_member()),
        };
        let word = word.ok_or(OutOfFrames)?;
        let bits = lowest_ones(self.free[word], most);
        self.change(word, self.free[word] & !bits);
        Ok(FrameSet::from_bits(word as u64, bits))
    }

    /// Hands out a block: 64 neighbouring frames, the first one's number a multiple of 64.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if no block is whole.
    pub fn allocate_block(&mut self) -> Result<Frame, OutOfFrames> {
        let word = self.whole.first_member().ok_or(OutOfFrames)?;
        self.change(word, 0);
        Ok(first_frame(word, WHOLE))
    }

    /// Hands out exactly the frames of `range`: those behind a region that is to grow where it stands. Cost: one word for
    /// each 64 frames.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`] if one of them is not free, with nothing changed.
    pub fn allocate_range(&mut self, range: FrameRange) -> Result<(), OutOfFrames> {
        let is_free = |(word, mask): (usize, u64)| {
            let free = self.free.get(word);
            free.is_some_and(|free| free & mask == mask)
        };
        let [head, middle, tail] = split(range);
        let words = self.free.get(words_of(middle)).ok_or(OutOfFrames)?;
        let is_whole = words.iter().all(|&word| word == WHOLE);
        if !is_whole || ![head, tail].into_iter().flat_map(word_masks).all(is_free) {
            return Err(OutOfFrames);
        }
        self.change_all(range, false);
        Ok(())
    }

    /// Takes one frame back.
    ///
    /// # Errors
    ///
    /// A [`FreeError`] that says what is wrong with it; nothing has changed then.
    pub fn free_frame(&mut self, frame: Frame) -> Result<(), FreeError> {
        self.free_neighbours(frame, 1)
    }

    /// Takes a block back.
    ///
    /// # Errors
    ///
    /// A [`FreeError`] that names the first frame with something wrong; nothing has changed then.
    pub fn free_block(&mut self, first: Frame) -> Result<(), FreeError> {
        if !first.number().is_multiple_of(FRAMES_PER_BLOCK) {
            return Err(FreeError::NotABlock(first));
        }
        self.free_neighbours(first, FRAMES_PER_BLOCK)
    }

    /// Takes `frames` neighbouring frames back.
    fn free_neighbours(&mut self, first: Frame, frames: u64) -> Result<(), FreeError> {
        let end = first.number().checked_add(frames);
        let end = end.ok_or(FreeError::OutOfRange(first))?;
        self.free_region(FrameRange::from_numbers(first.number(), end))
    }

    /// Takes neighbouring frames back.
    ///
    /// # Errors
    ///
    /// A [`FreeError`] that names the first frame with something wrong; nothing has changed then.
    pub fn free_region(&mut self, range: FrameRange) -> Result<(), FreeError> {
        let [head, middle, tail] = split(range);
        // The short way over whole words finds out that all is well; the long way, what is wrong.
        let parts = if self.are_taken(words_of(middle)) {
            [head, tail]
        } else {
            [range, tail]
        };
        for (word, mask) in parts.into_iter().flat_map(word_masks) {
            self.check_taken(word, mask)?;
        }
        self.change_all(range, true);
        Ok(())
    }

    /// Takes some frames of one block back.
    ///
    /// # Errors
    ///
    /// A [`FreeError`] that names the first frame with something wrong; nothing has changed then.
    pub fn free_some(&mut self, set: FrameSet) -> Result<(), FreeError> {
        let (word, bits) = (
            usize::try_from(set.block()).unwrap_or(usize::MAX),
            set.bits(),
        );
        if bits == 0 {
            return Ok(());
        }
        self.check_taken(word, bits)?;
        self.change(word, self.free[word] | bits);
        Ok(())
    }

    /// Returns whether somebody has all frames of these words from here.
    fn are_taken(&self, words: Range<usize>) -> bool {
        let all = |bits: &[u64], value| bits.iter().all(|&word| word == value);
        let (free, managed) = (self.free.get(words.clone()), self.managed.get(words));
        free.is_some_and(|free| all(free, 0)) && managed.is_some_and(|managed| all(managed, WHOLE))
    }

    /// Checks that somebody has each frame of a word that is in `mask` from here.
    fn check_taken(&self, word: usize, mask: u64) -> Result<(), FreeError> {
        let Some(&managed) = self.managed.get(word) else {
            return Err(FreeError::OutOfRange(first_frame(word, mask)));
        };
        let (foreign, doubly_freed) = (mask & !managed, mask & self.free[word]);
        match (foreign, doubly_freed) {
            (0, 0) => Ok(()),
            (0, bits) => Err(FreeError::AlreadyFree(first_frame(word, bits))),
            (bits, _) => Err(FreeError::NotManaged(first_frame(word, bits))),
        }
    }

    /// Returns the counts of what there is.
    #[must_use]
    pub const fn counts(&self) -> FrameCounts {
        self.counts
    }

    /// Returns whether `frame` is one of ours and free.
    #[must_use]
    pub fn is_free(&self, frame: Frame) -> bool {
        let word = usize::try_from(frame.number() / FRAMES_PER_BLOCK)
            .ok()
            .and_then(|word| self.free.get(word));
        word.is_some_and(|word| word >> (frame.number() % FRAMES_PER_BLOCK) & 1 == 1)
    }

    /// Makes frames free, or taken, that all are the other.
    fn change_all(&mut self, range: FrameRange, are_free: bool) {
        let [head, middle, tail] = split(range);
        for (word, mask) in [head, tail].into_iter().flat_map(word_masks) {
            let bits = self.free[word];
            self.change(word, if are_free { bits | mask } else { bits & !mask });
        }
        self.change_whole(words_of(middle), are_free);
    }

    /// Makes all frames of neighbouring words free, or taken, that all are the other. With [`change`](Self::change) the only place
    /// that brings trees and counts up to date.
    fn change_whole(&mut self, words: Range<usize>, are_free: bool) {
        if words.is_empty() {
            return;
        }
        self.free[words.clone()].fill(if are_free { WHOLE } else { 0 });
        let blocks = words.len() as u64;
        let counts = &mut self.counts;
        if are_free {
            counts.free += blocks * FRAMES_PER_BLOCK;
            counts.whole_blocks += blocks;
        } else {
            counts.free -= blocks * FRAMES_PER_BLOCK;
            counts.whole_blocks -= blocks;
        }
        // None of them was partial, or is.
        self.whole.set_all(words.clone(), are_free);
        self.update_runs(words);
    }

    /// Gives a word of `free` its new value, with some ones more or with some less, and brings trees and counts up to date.
    fn change(&mut self, word: usize, new: u64) {
        let old = core::mem::replace(&mut self.free[word], new);
        let changed = u64::from((new ^ old).count_ones());
        if new > old {
            self.counts.free += changed;
        } else {
            self.counts.free -= changed;
        }
        self.partial.set(word, new != WHOLE && new != 0);
        if (old == WHOLE) != (new == WHOLE) {
            self.counts.whole_blocks =
                self.counts.whole_blocks + u64::from(new == WHOLE) - u64::from(old == WHOLE);
            self.whole.set(word, new == WHOLE);
            self.update_runs(word..word + 1);
        }
    }

    /// Brings `runs` up to date with `whole`, where these blocks have changed.
    fn update_runs(&mut self, blocks: Range<usize>) {
        let words = blocks.start / 64..blocks.end.div_ceil(64);
        self.runs.update(self.whole.words(), words);
        self.counts.blocks_in_a_row = self.runs.longest();
    }
}

/// Returns how many words of a tree have one bit for each of so many blocks.
const fn whole_words(blocks: usize) -> usize {
    blocks.div_ceil(64)
}

/// Splits a range into whole words and what lies before and behind them, each less than a word.
fn split(range: FrameRange) -> [FrameRange; 3] {
    let (first, end) = (range.first.number(), range.end.number());
    let head_end =
        (first.checked_next_multiple_of(FRAMES_PER_BLOCK)).map_or(end, |head| head.min(end));
    let middle_end = head_end.max(end / FRAMES_PER_BLOCK * FRAMES_PER_BLOCK);
    [(first, head_end), (head_end, middle_end), (middle_end, end)]
        .map(|(first, end)| FrameRange::from_numbers(first, end))
}

/// Returns the numbers of the words of whole words' frames.
fn words_of(range: FrameRange) -> Range<usize> {
    word_of(range.first.number())..word_of(range.end.number())
}

/// Returns how many words the frames below number `end` take.
fn blocks_for(end: u64) -> usize {
    assert!(
        end <= LARGEST_END,
        "more physical memory than the frame allocator can manage"
    );
    word_of(end.next_multiple_of(FRAMES_PER_BLOCK))
}

/// Returns the word that has the bit of frame number `frame`; for one that no slice can have, a word that none has.
fn word_of(frame: u64) -> usize {
    usize::try_from(frame / FRAMES_PER_BLOCK).unwrap_or(usize::MAX)
}

/// Returns the frame of the lowest set bit of `mask` in `word`.
fn first_frame(word: usize, mask: u64) -> Frame {
    Frame::from_number(word as u64 * FRAMES_PER_BLOCK + u64::from(mask.trailing_zeros()))
}

/// Returns the `most` lowest ones of `bits`, or all of them if they are no more.
fn lowest_ones(bits: u64, most: u64) -> u64 {
    let (mut rest, mut left) = (bits, most);
    if left >= FRAMES_PER_BLOCK || left >= u64::from(bits.count_ones()) {
        return bits;
    }
    while left > 0 {
        rest &= rest - 1;
        left -= 1;
    }
    bits & !rest
}

/// Splits a range into words, with a mask of the frames in each.
fn word_masks(range: FrameRange) -> impl Iterator<Item = (usize, u64)> {
    let (mut next, end) = (range.first.number(), range.end.number());
    core::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let first_bit = next % FRAMES_PER_BLOCK;
        let bits = (FRAMES_PER_BLOCK - first_bit).min(end - next);
        let mask = (u64::MAX >> (FRAMES_PER_BLOCK - bits)) << first_bit;
        let word = word_of(next);
        next += bits;
        Some((word, mask))
    })
}

#[cfg(test)]
mod tests;
