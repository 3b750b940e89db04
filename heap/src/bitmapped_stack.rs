//! Layer 1: a stack of 64 chunks of one size, as a bitmap of those that are free.
//!
//! Owns which of its chunks are taken. Refuses to know where the chunks are, how large they are, what other stacks
//! there are, and who holds the lock: it is one word, and all of it is safe code.
//!
//! ```text
//! chunk    0   1   2   3   4   5       63
//!        ┌───┬───┬───┬───┬───┬───┬─ ─┬───┐
//! free   │ 0 │ 0 │ 1 │ 1 │ 0 │ 1 │   │ 1 │     0 = taken, low address left
//!        └───┴───┴───┴───┴───┴───┴─ ─┴───┘
//!                              └── height = 5: one past the highest taken chunk
//! ```
//!
//! A chunk taken is always the lowest free one, so holes fill before the stack grows, and the height, which
//! follows from the word, stays low by itself. Testing and changing a bit are one step: a second free of the same
//! chunk finds the bit set and is refused.
//!
//! A [`StackGroup`] is what one run of pages carries: as many stacks as its chunks need, one to four.
//!
//! Cost: constant; a group looks at one to four words.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::published::PublishedBitmap;
use crate::size_class::STACKS_PER_RUN;
use crate::units::CHUNKS_PER_STACK;

/// A chunk that was to be taken back is free already, or was never part of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// Up to 64 chunks of one size.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct BitmappedStack {
    /// The free chunks. A stack of fewer than 64 has its missing chunks as taken forever.
    free: PublishedBitmap,
}

impl BitmappedStack {
    /// Creates a stack of `chunks` (at most 64) free chunks.
    pub(crate) const fn new(chunks: usize) -> Self {
        Self {
            free: PublishedBitmap::new(Bitmap::below(chunks)),
        }
    }

    /// Takes the lowest free chunk.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<usize> {
        let free = self.free.get();
        let chunk = free.lowest()?;
        self.free.set(free.without_lowest());
        Some(chunk)
    }

    /// Takes `chunk` (0..=63) back.
    ///
    /// # Errors
    ///
    /// [`NotTaken`], with nothing changed, when it is free already.
    #[inline]
    pub(crate) fn put(&self, chunk: usize) -> Result<(), NotTaken> {
        let free = self.free.get();
        let with_chunk = free.with(Bitmap::single(chunk));
        if with_chunk == free {
            return Err(NotTaken);
        }
        self.free.set(with_chunk);
        Ok(())
    }

    /// Takes `chunks` back, all of which are taken.
    pub(crate) fn put_all(&self, chunks: Bitmap) {
        self.free.set(self.free.get().with(chunks));
    }

    /// Returns the free chunks.
    pub(crate) fn free(&self) -> Bitmap {
        self.free.get()
    }

    /// Returns one past the highest taken chunk of a stack of `chunks` chunks, or 0.
    pub(crate) fn height(&self, chunks: usize) -> usize {
        Bitmap::below(chunks).without(self.free.get()).height()
    }
}

/// The stacks that share one run of pages and count their chunks through.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct StackGroup {
    /// Chunk `n` of the group is chunk `n % 64` of stack `n / 64`.
    stacks: [BitmappedStack; STACKS_PER_RUN],
}

impl StackGroup {
    /// Creates a group of `chunks` (at most 256) free chunks.
    pub(crate) fn new(chunks: usize) -> Self {
        debug_assert!(
            chunks <= STACKS_PER_RUN * CHUNKS_PER_STACK,
            "a group has four words"
        );
        let mut group = Self::default();
        let mut rest = chunks;
        for stack in &mut group.stacks {
            *stack = BitmappedStack::new(rest);
            if rest <= CHUNKS_PER_STACK {
                break;
            }
            rest -= CHUNKS_PER_STACK;
        }
        group
    }

    /// Returns the free chunks of stack `number`.
    #[inline]
    pub(crate) fn free(&self, number: usize) -> Bitmap {
        self.stacks[number].free()
    }

    /// Takes the lowest free chunk of the group.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<usize> {
        for (number, stack) in self.stacks.iter().enumerate() {
            if let Some(chunk) = stack.take() {
                return Some(number * CHUNKS_PER_STACK + chunk);
            }
        }
        None
    }

    /// Takes `chunk`, one of the group's, back.
    ///
    /// # Errors
    ///
    /// [`NotTaken`], with nothing changed, when it is free already.
    #[inline]
    pub(crate) fn put(&self, chunk: usize) -> Result<(), NotTaken> {
        self.stack_of(chunk).put(chunk % CHUNKS_PER_STACK)
    }

    /// Takes `chunks` of stack `number` back, all of which are taken.
    pub(crate) fn put_all(&self, number: usize, chunks: Bitmap) {
        self.stacks[number].put_all(chunks);
    }

    /// Returns whether `chunk`, one of the group's, is free.
    #[inline]
    pub(crate) fn is_free(&self, chunk: usize) -> bool {
        self.stack_of(chunk)
            .free()
            .contains(chunk % CHUNKS_PER_STACK)
    }

    /// Returns the stack of `chunk`, one of the group's.
    #[inline]
    const fn stack_of(&self, chunk: usize) -> &BitmappedStack {
        debug_assert!(
            chunk < STACKS_PER_RUN * CHUNKS_PER_STACK,
            "a chunk of the group"
        );
        &self.stacks[chunk / CHUNKS_PER_STACK % STACKS_PER_RUN]
    }

    /// Returns the lowest taken chunk that is at least `from`, in a group of `chunks` chunks.
    pub(crate) fn next_taken(&self, from: usize, chunks: usize) -> Option<usize> {
        self.stacks
            .iter()
            .enumerate()
            .skip(from / CHUNKS_PER_STACK)
            .find_map(|(number, stack)| {
                let below = number * CHUNKS_PER_STACK;
                let there = Bitmap::below(chunks.saturating_sub(below));
                let taken = there.without(stack.free());
                Some(below + taken.lowest_from(from.saturating_sub(below))?)
            })
    }

    /// Returns how many of the chunks `from..end`, all of the group's, are taken.
    pub(crate) fn taken_between(&self, from: usize, end: usize) -> usize {
        self.stacks
            .iter()
            .enumerate()
            .map(|(number, stack)| {
                let below = number * CHUNKS_PER_STACK;
                let before_end = Bitmap::below(end.saturating_sub(below));
                let there = before_end.without(Bitmap::below(from.saturating_sub(below)));
                there.without(stack.free()).len()
            })
            .sum()
    }

    /// Returns how many chunks are free.
    pub(crate) fn free_chunks(&self) -> usize {
        self.stacks.iter().map(|stack| stack.free().len()).sum()
    }

    /// Returns one past the highest taken chunk of a group of `chunks` chunks, or 0.
    pub(crate) fn height(&self, chunks: usize) -> usize {
        let of_stack = |number: usize| {
            let below = number * CHUNKS_PER_STACK;
            match self.stacks[number].height(chunks.saturating_sub(below)) {
                0 => 0,
                height => below + height,
            }
        };
        (0..STACKS_PER_RUN).map(of_stack).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
