//! Layer 2: a linked list of stacks of one chunk size.
//!
//! Owns which stacks of its size have room: a stack that fills leaves the list, and comes back to its head with its
//! first free chunk. Refuses to know other sizes, and where the memory of stacks comes from and goes to.
//!
//! ```text
//! with_room ──▶ stack ◀──▶ stack ◀──▶ stack       full stacks hang nowhere: a free finds them by address
//!               (head: chunks are taken here)
//! ```
//!
//! A stack that loses its last chunk is handed up, so that its pages can go back, with one exception: the only stack
//! of the list stays as its *spare*. Otherwise a program that allocates and frees one object over and over would make
//! and unmake a stack each time. There is never more than one empty stack in a list.
//!
//! Cost: constant.

use crate::bitmap::Bitmap;
use crate::bitmapped_stack::NotTaken;
use crate::list::List;
use crate::run::{Run, RunKind, Taken};
use crate::size_class::ClassIndex;

/// All stacks of one size. A cache line long, so that no two lists share one.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct SizedAllocator {
    /// Stacks with at least one free chunk.
    with_room: List<Run>,
    /// The stack of the list without a taken chunk.
    spare: Option<Run>,
    /// What is counted.
    pub(crate) counters: Counters,
}

/// What a sized allocator counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Stacks of up to 64 chunks there are.
    pub(crate) stacks: usize,
    /// Chunks in them.
    pub(crate) capacity: usize,
    /// Chunks ever handed out.
    pub(crate) allocations: u64,
    /// Chunks ever taken back.
    pub(crate) frees: u64,
}

impl SizedAllocator {
    /// Creates an allocator without stacks.
    pub(crate) const fn new() -> Self {
        Self {
            with_room: List::new(),
            spare: None,
            counters: Counters {
                stacks: 0,
                capacity: 0,
                allocations: 0,
                frees: 0,
            },
        }
    }

    /// Takes a chunk of `chunk_size` bytes from the first stack. `None` when the list has run dry.
    ///
    /// If it is the stack's first, [`woken`](Self::woken) comes next.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, chunk_size: usize) -> Option<Taken> {
        let run = self.with_room.first()?;
        let taken = run.take_chunk(chunk_size)?;
        self.counters.allocations += 1;
        if taken.is_last {
            self.with_room.pop(run);
        }
        Some(taken)
    }

    /// Notes that the spare stack has its first chunk taken.
    #[inline]
    pub(crate) fn woken(&mut self) {
        self.spare = None;
    }

    /// Takes back chunk `chunk` of `run`, a run of this list's stacks. Returns whether it has none taken any more; then
    /// [`emptied`](Self::emptied) comes next.
    ///
    /// # Errors
    ///
    /// [`NotTaken`], with nothing changed, when the chunk is free.
    #[inline(always)]
    pub(crate) fn deallocate(&mut self, run: Run, chunk: usize) -> Result<bool, NotTaken> {
        let put_back = run.put_chunk(chunk)?;
        self.counters.frees += 1;
        if put_back.was_full {
            self.with_room.push(run);
        }
        Ok(put_back.is_empty)
    }

    /// Takes back `chunks` of stack `stack` of `run`, at least one, all of which are taken and whose frees were counted. Returns
    /// whether the run has none taken any more; then [`emptied`](Self::emptied) comes next.
    pub(crate) fn take_back_all(&mut self, run: Run, stack: usize, chunks: Bitmap) -> bool {
        let put_back = run.put_chunks(stack, chunks);
        if put_back.was_full {
            self.with_room.push(run);
        }
        put_back.is_empty
    }

    /// Takes `run`, which has chunks taken, out of the list, as it is.
    pub(crate) fn let_go(&mut self, run: Run) {
        debug_assert!(run.used() > 0, "an empty stack is released");
        if !run.is_full() {
            self.with_room.remove(run);
        }
        self.counters.stacks -= run.stack_count();
        self.counters.capacity -= run.capacity();
    }

    /// Takes in `run`, which has chunks taken, as another list has [let it go](Self::let_go).
    pub(crate) fn take_over(&mut self, run: Run) {
        if !run.is_full() {
            self.with_room.push(run);
        }
        self.counters.stacks += run.stack_count();
        self.counters.capacity += run.capacity();
    }

    /// Keeps `run`, which lost its last chunk, as the spare, or lets it go. Returns whether it went: then its pages can go
    /// back.
    #[inline]
    pub(crate) fn emptied(&mut self, run: Run) -> bool {
        if self.with_room.is_only(run) {
            self.spare = Some(run);
            return false;
        }
        self.release(run);
        true
    }

    /// Puts a new stack, empty, at the head of the list.
    pub(crate) fn refill(&mut self, run: Run) {
        self.with_room.push(run);
        self.spare = Some(run);
        self.counters.stacks += run.stack_count();
        self.counters.capacity += run.capacity();
    }

    /// Takes the empty stack `run` out of the list.
    #[inline]
    pub(crate) fn release(&mut self, run: Run) {
        debug_assert!(run.used() == 0, "only an empty stack is released");
        self.with_room.remove(run);
        if self.spare == Some(run) {
            self.spare = None;
        }
        self.counters.stacks -= run.stack_count();
        self.counters.capacity -= run.capacity();
    }

    /// Returns the stack without a taken chunk, if there is one.
    pub(crate) const fn spare(&self) -> Option<Run> {
        self.spare
    }

    /// Returns whether there is a chunk to be had without a new stack.
    pub(crate) const fn has_room(&self) -> bool {
        !self.with_room.is_empty()
    }

    /// Returns the stacks with room. Cost: their number.
    pub(crate) fn with_room(&self) -> impl Iterator<Item = Run> + use<> {
        self.with_room.iter()
    }

    /// Returns whether list, spare and stacks agree. Cost: the number of stacks with room.
    pub(crate) fn is_sound(&self, class: ClassIndex) -> bool {
        let fits = |run: Run| {
            run.kind() == RunKind::Stacks(class)
                && run.capacity() == class.class().chunks_in(run.pages())
                && run.used() + run.stacks.free_chunks() == run.capacity()
                && run.stacks.height(run.capacity()) >= run.used()
                && !run.is_full()
                && (run.used() == 0) == (self.spare == Some(run))
        };
        let spare_hangs_here = |spare| self.with_room().any(|run| run == spare);
        self.with_room.is_linked_both_ways()
            && self.with_room().all(fits)
            && self.spare.into_iter().all(spare_hangs_here)
    }
}
