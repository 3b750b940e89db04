//! The short way in and out of the chain: chunks that a stack has at hand.
//!
//! Owns nothing; it is the part of [`crate::factory_chain`] that most requests need. It touches a list, a stack's descriptor
//! and, on the way back, a place of the directory, and calls nothing. What is not at hand (a list that has run dry, runs and
//! regions, what is wrong) is left as it was, for the long way to look at.
//!
//! Cost: constant, about 60 instructions on the way out and 85 on the way back (`make icount WORKLOADS=lifo-256`).

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::factory_chain::FactoryChain;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::run::{Memory, Run, Taken};
use crate::size_class::{ClassIndex, Placement, class_of, placement};

/// Bytes of an object that moves which `realloc` copies while it holds the lock: letting go of the lock and taking it again
/// costs more than to copy four cache lines.
pub(crate) const MOST_COPIED_UNDER_LOCK: usize = 256;

/// What became of a chunk that was given back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TakenBack {
    /// It is free, and nothing is left to do.
    Done,
    /// It is free, and was the last one taken of this stack: see [`FactoryChain::emptied`].
    Emptied(Run),
    /// Nothing: what was given back is no chunk, or not rightly given back.
    NotAtHand,
}

/// What became of a chunk that shall have another size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resized {
    /// It has it, and this is the heap's own pointer to it.
    InPlace(NonNull<u8>),
    /// Its contents are to be copied, and it is to be given back then.
    ToBeMoved {
        /// Where to.
        new: NonNull<u8>,
        /// The stack of the old chunk.
        run: Run,
        /// The old chunk's number.
        chunk: usize,
    },
    /// Nothing: it is no chunk, or none of the new size is at hand.
    NotAtHand,
}

impl FactoryChain {
    /// Hands out memory for `layout`: a chunk at hand, or whatever else there is.
    #[inline]
    pub(crate) fn allocate_quickly<S: MemorySource>(
        &mut self,
        layout: Layout,
        source: &S,
    ) -> Option<Memory> {
        self.chunk_for(layout)
            .or_else(|| self.allocate(layout, source))
    }

    /// Takes back what was handed out for `layout`: a chunk at hand, or whatever else it is.
    ///
    /// # Errors
    ///
    /// As of [`deallocate`](Self::deallocate).
    #[inline]
    pub(crate) fn deallocate_quickly<S: MemorySource>(
        &mut self,
        address: usize,
        layout: Layout,
        source: &S,
    ) -> Result<(), Misuse> {
        let taken_back = class_of(layout).map_or(TakenBack::NotAtHand, |class| {
            self.deallocate_at_hand(address, class, layout.size())
        });
        match taken_back {
            TakenBack::Done => {}
            TakenBack::Emptied(run) => self.emptied(run, source),
            TakenBack::NotAtHand => return self.deallocate(address, layout, source),
        }
        Ok(())
    }

    /// Hands out a chunk for `layout` if a stack has one.
    #[inline]
    pub(crate) fn chunk_for(&mut self, layout: Layout) -> Option<Memory> {
        let class = class_of(layout)?;
        let taken = self.allocate_at_hand(class, layout.size())?;
        if taken.is_first {
            self.woken(class, taken.run);
        }
        Some(taken.chunk)
    }

    /// Hands out a chunk of `class` for `size` bytes if a stack has one: the usual case, and the short way.
    #[inline(always)]
    pub(crate) fn allocate_at_hand(&mut self, class: ClassIndex, size: usize) -> Option<Taken> {
        let taken = self.lists[class.get()].allocate(class.class().chunk_size())?;
        self.totals.count_requested(size);
        Some(taken)
    }

    /// Takes back a chunk of `class` that was handed out for `size` bytes: the usual case, and the short way.
    #[inline(always)]
    pub(crate) fn deallocate_at_hand(
        &mut self,
        address: usize,
        class: ClassIndex,
        size: usize,
    ) -> TakenBack {
        let Some((run, chunk)) = self.chunk_at_hand(address, class) else {
            return TakenBack::NotAtHand;
        };
        self.take_back(class, size, run, chunk)
    }

    /// Takes back a chunk of `class` that was handed out for `size` bytes and was found at hand.
    #[inline(always)]
    pub(crate) fn take_back(
        &mut self,
        class: ClassIndex,
        size: usize,
        run: Run,
        chunk: usize,
    ) -> TakenBack {
        let Ok(is_empty) = self.lists[class.get()].deallocate(run, chunk) else {
            return TakenBack::NotAtHand;
        };
        self.totals.uncount_requested(size);
        if is_empty {
            TakenBack::Emptied(run)
        } else {
            TakenBack::Done
        }
    }

    /// Makes chunk `chunk` of `run`, of `class`, handed out for `size` bytes and found at hand, one for `new_size` bytes: where it stands if
    /// that is the class that serves these too, else with another chunk. The usual case, and the short way.
    #[inline(always)]
    pub(crate) fn resize_at_hand(
        &mut self,
        (run, chunk): (Run, usize),
        (class, size): (ClassIndex, usize),
        (new_class, new_size): (ClassIndex, usize),
    ) -> Resized {
        if run.stacks.is_free(chunk) {
            return Resized::NotAtHand;
        }
        if new_class == class {
            self.totals.uncount_requested(size);
            self.totals.count_requested(new_size);
            return Resized::InPlace(run.chunk(chunk, class.class().chunk_size()));
        }
        match self.take_chunk(new_class) {
            Some(memory) => {
                self.totals.count_requested(new_size);
                Resized::ToBeMoved {
                    new: memory.start,
                    run,
                    chunk,
                }
            }
            None => Resized::NotAtHand,
        }
    }

    /// Finds the chunk of `class` that begins at `address`, taken or free, unless more is to be looked at.
    #[inline(always)]
    pub(crate) fn chunk_at_hand(&self, address: usize, class: ClassIndex) -> Option<(Run, usize)> {
        if self.holdings.quarantine.is_on() {
            return None;
        }
        self.holdings.runs.find_chunk_at_hand(address, class)
    }

    /// Lets a live run of pages that was handed out for `old` serve for `new`, if that takes as many pages: what happens most
    /// when an object grows little by little. `None`, with nothing changed, when it is something else.
    pub(crate) fn keep_run(
        &mut self,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let (Placement::Run { pages, align }, Placement::Run { pages: as_many, .. }) =
            (placement(old), placement(new))
        else {
            return None;
        };
        if pages != as_many {
            return None;
        }
        let run = self.holdings.runs.find_whole(address, pages, align)?;
        self.totals.uncount_requested(old.size());
        self.totals.count_requested(new.size());
        Some(run.start())
    }
}
