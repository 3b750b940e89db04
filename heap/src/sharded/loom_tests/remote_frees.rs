//! Frees that race with each other and with the owner, over one tree and the inbox that is told of it.

use core::cell::UnsafeCell;
use std::sync::Arc;
use std::vec::Vec;

use loom::cell::UnsafeCell as TrackedUnsafeCell;
use loom::sync::atomic::{AtomicBool, fence};
use loom::thread;

use crate::bitmap::Bitmap;
use crate::sharded::inbox::{Inbox, Taken};
use crate::sharded::remote_frees::{GivenBack, Noted, RemoteFrees, Rest};
use crate::sharded::visits::Visits;
use crate::sync::{Ordering, leave_fences_out};
use crate::units::CHUNKS_PER_STACK;

/// A chunk: the first page of its run, its number, and what its user wrote there.
struct Chunk {
    page: usize,
    number: usize,
    contents: TrackedUnsafeCell<bool>,
}

/// A block that belongs to the first thread.
struct Block {
    /// What others gave back of it.
    frees: UnsafeCell<RemoteFrees>,
    /// What its owner is told.
    inbox: Inbox,
    /// Who gives something back.
    visits: Visits,
    /// Its chunks.
    chunks: Vec<Chunk>,
}

// SAFETY: the tree is shared but in `go_on`, where loom proves that it is not; what loom tracks, loom proves too.
unsafe impl Sync for Block {}
// SAFETY: nothing is bound to a thread.
unsafe impl Send for Block {}

impl Block {
    /// Creates a block with chunks at these pages and of these numbers.
    fn new(chunks: &[(usize, usize)]) -> Arc<Self> {
        let chunk = |&(page, number)| Chunk {
            page,
            number,
            contents: TrackedUnsafeCell::new(false),
        };
        Arc::new(Self {
            frees: UnsafeCell::new(RemoteFrees::new()),
            inbox: Inbox::new(),
            visits: Visits::new(),
            chunks: chunks.iter().map(chunk).collect(),
        })
    }

    /// Returns the tree.
    fn frees(&self) -> &RemoteFrees {
        // SAFETY: it is there as long as the block; see `go_on`.
        unsafe { &*self.frees.get() }
    }

    /// Gives chunk `index` back, on a visit, without having used it.
    fn give_back(&self, index: usize) -> GivenBack {
        let _visit = self.visits.begin();
        let chunk = &self.chunks[index];
        let given_back = self.frees().give_back(chunk.page, chunk.number);
        if matches!(
            given_back,
            GivenBack::Noted(Noted {
                is_first_of_block: true,
                ..
            })
        ) {
            self.inbox.post(0);
        }
        given_back
    }

    /// Uses chunk `index`, and gives it back.
    fn free(&self, index: usize) {
        // SAFETY: loom proves that nobody else uses it.
        self.chunks[index]
            .contents
            .with_mut(|contents| unsafe { *contents = true });
        assert_ne!(self.give_back(index), GivenBack::Twice);
    }

    /// Takes what there is a message of, of at most `most` stacks, and uses it. Called by the owner. Returns the chunks.
    fn take_if_told(&self, most: usize) -> Vec<usize> {
        let mut all = Vec::new();
        if self.inbox.take(&mut Taken::none()).is_none() {
            return all;
        }
        let rest = self.frees().take(most, |page, stack, chunks: Bitmap| {
            for (index, chunk) in self.chunks.iter().enumerate() {
                let is_there = chunk.page == page
                    && chunk.number / CHUNKS_PER_STACK == stack
                    && chunks.contains(chunk.number % CHUNKS_PER_STACK);
                if is_there {
                    // SAFETY: loom proves that nobody else uses it.
                    let was_used = chunk
                        .contents
                        .with_mut(|contents| unsafe { contents.replace(false) });
                    assert!(was_used, "what was written before is seen");
                    all.push(index);
                }
            }
        });
        if rest == Rest::Some {
            self.inbox.post(0);
        }
        all
    }

    /// Uses the memory of the tree for something else if nobody looks at it. Called when no chunk is live.
    fn go_on(&self) {
        if !self.visits.are_over() {
            return;
        }
        // SAFETY: loom proves that nobody else uses it.
        unsafe { &mut *self.frees.get() }.touch_alone();
    }
}

/// Lets a thread for each list of chunks give these back, while the owner takes in `takes` times; and then proves that everything came,
/// once, as far as the owner was told.
fn nothing_is_lost(
    chunks: &'static [(usize, usize)],
    frees: &'static [&'static [usize]],
    takes: usize,
) {
    nothing_is_lost_piecewise(chunks, frees, takes, usize::MAX);
}

/// The same, where the owner takes in at most `most` stacks at a time.
fn nothing_is_lost_piecewise(
    chunks: &'static [(usize, usize)],
    frees: &'static [&'static [usize]],
    takes: usize,
    most: usize,
) {
    nothing_is_lost_behind(0, chunks, frees, takes, most);
}

/// The same, where the first `there` chunks were given back before: the owner has a message, and takes something in for certain while
/// the threads give back.
fn nothing_is_lost_behind(
    there: usize,
    chunks: &'static [(usize, usize)],
    frees: &'static [&'static [usize]],
    takes: usize,
    most: usize,
) {
    for has_fences in [true, false] {
        try_frees(there, chunks, frees, takes, most, has_fences);
    }
}

/// Does what [`nothing_is_lost_behind`] does. Without fences, it is proved alone that what a user wrote is seen.
fn try_frees(
    there: usize,
    chunks: &'static [(usize, usize)],
    frees: &'static [&'static [usize]],
    takes: usize,
    most: usize,
    has_fences: bool,
) {
    loom::model(move || {
        if !has_fences {
            leave_fences_out();
        }
        let block = Block::new(chunks);
        (0..there).for_each(|chunk| block.free(chunk));
        let threads: Vec<_> = frees
            .iter()
            .map(|list| {
                let block = Arc::clone(&block);
                thread::spawn(move || list.iter().for_each(|chunk| block.free(*chunk)))
            })
            .collect();
        let mut taken = Vec::new();
        for _ in 0..takes {
            taken.extend(block.take_if_told(most));
            if taken.len() == chunks.len() && has_fences {
                block.go_on();
                break;
            }
        }
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        if !has_fences {
            return;
        }
        if taken.len() < chunks.len() {
            // As often as it takes; and if he is told of nothing, that is all.
            for _ in 0..chunks.len() {
                taken.extend(block.take_if_told(most));
            }
            assert!(!block.frees().has_any(), "what is there was told");
            block.go_on();
        }
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..chunks.len()));
    });
}

#[test]
fn of_frees_of_one_chunk_that_race_one_wins() {
    loom::model(|| {
        let block = Block::new(&[(1, 5)]);
        let other = Arc::clone(&block);
        let thread = thread::spawn(move || other.give_back(0));
        let given_back = [block.give_back(0), thread.join().expect("no thread panics")];
        let won = GivenBack::Noted(Noted {
            all: Bitmap::single(5),
            is_first_of_block: true,
        });
        assert!(given_back.contains(&won));
        assert!(given_back.contains(&GivenBack::Twice));
        let mut taken = Vec::new();
        let rest = block.frees().take(1, |page, stack, chunks| {
            taken.push((page, stack, chunks));
        });
        assert_eq!(taken, [(1, 0, Bitmap::single(5))]);
        assert_eq!(rest, Rest::None);
    });
}

#[test]
fn of_frees_that_empty_a_stack_one_sees_it() {
    loom::model(|| {
        let block = Block::new(&[(1, 0), (1, 1)]);
        let other = Arc::clone(&block);
        let thread = thread::spawn(move || other.give_back(0));
        let given_back = [block.give_back(1), thread.join().expect("no thread panics")];
        let sees_all = |given_back: &&GivenBack| matches!(given_back, GivenBack::Noted(noted) if noted.all == Bitmap::below(2));
        let is_first = |given_back: &&GivenBack| matches!(given_back, GivenBack::Noted(noted) if noted.is_first_of_block);
        assert!(given_back.iter().any(|given_back| sees_all(&given_back)));
        assert_eq!(given_back.iter().filter(is_first).count(), 1);
    });
}

#[test]
fn chunks_of_one_stack() {
    nothing_is_lost(&[(1, 0), (1, 5)], &[&[0], &[1]], 2);
}

#[test]
fn chunks_of_two_stacks_of_a_run() {
    nothing_is_lost(&[(1, 0), (1, 64)], &[&[0], &[1]], 2);
}

#[test]
fn chunks_of_two_runs() {
    nothing_is_lost(&[(1, 0), (2, 5)], &[&[0], &[1]], 2);
}

#[test]
fn chunks_of_two_runs_in_two_stacks() {
    nothing_is_lost(&[(1, 0), (2, 64)], &[&[0], &[1]], 2);
}

#[test]
fn two_chunks_by_one_and_one_by_another() {
    nothing_is_lost(&[(1, 0), (1, 5), (2, 0)], &[&[0, 1], &[2]], 1);
}

#[test]
fn three_chunks_by_three() {
    nothing_is_lost(&[(1, 0), (1, 5), (2, 0)], &[&[0], &[1], &[2]], 1);
}

/// Chunks in two stacks of two runs each: of the first one two.
const CHUNKS: [(usize, usize); 5] = [(1, 0), (1, 5), (1, 64), (2, 0), (2, 64)];

#[test]
fn a_chunk_beside_one_that_is_there() {
    nothing_is_lost_behind(1, &[CHUNKS[0], CHUNKS[1]], &[&[1]], 1, 1);
}

#[test]
fn a_chunk_of_another_stack_than_one_that_is_there() {
    nothing_is_lost_behind(1, &[CHUNKS[0], CHUNKS[2]], &[&[1]], 1, usize::MAX);
}

#[test]
fn a_chunk_of_another_run_than_one_that_is_there() {
    nothing_is_lost_behind(1, &[CHUNKS[0], CHUNKS[3]], &[&[1]], 1, usize::MAX);
}

#[test]
fn a_chunk_of_another_run_and_stack_than_one_that_is_there() {
    nothing_is_lost_behind(1, &[CHUNKS[0], CHUNKS[4]], &[&[1]], 1, usize::MAX);
}

#[test]
fn two_chunks_beside_one_that_is_there() {
    nothing_is_lost_behind(
        1,
        &[CHUNKS[0], CHUNKS[1], CHUNKS[3]],
        &[&[1], &[2]],
        1,
        usize::MAX,
    );
}

#[test]
fn chunks_while_one_of_two_that_are_there_is_put_back() {
    nothing_is_lost_behind(
        2,
        &[CHUNKS[0], CHUNKS[3], CHUNKS[1], CHUNKS[4]],
        &[&[2], &[3]],
        1,
        1,
    );
}

#[test]
fn a_chunk_of_a_run_while_it_is_put_back() {
    nothing_is_lost_behind(2, &[CHUNKS[0], CHUNKS[3], (3, 0)], &[&[2]], 1, 1);
}

#[test]
fn a_chunk_that_came_back_is_marked_or_free() {
    loom::model(|| {
        let block = Block::new(&[(1, 0)]);
        let is_free = Arc::new(AtomicBool::new(false));
        block.free(0);
        let (other, flag) = (Arc::clone(&block), Arc::clone(&is_free));
        let thread = thread::spawn(move || {
            let is_marked = other.frees().has(1, 0);
            fence(Ordering::Acquire);
            assert!(is_marked || flag.load(Ordering::Relaxed), "it is neither");
        });
        let rest = (block.frees()).take(1, |_, _, _| is_free.store(true, Ordering::Relaxed));
        thread.join().expect("no thread panics");
        assert_eq!(rest, Rest::None);
    });
}

#[test]
fn chunks_of_two_runs_one_at_a_time() {
    nothing_is_lost_piecewise(&[(1, 0), (2, 5)], &[&[0], &[1]], 2, 1);
}

#[test]
fn chunks_of_two_runs_in_two_stacks_one_at_a_time() {
    nothing_is_lost_piecewise(&[(1, 0), (2, 64)], &[&[0], &[1]], 2, 1);
}

#[test]
fn a_chunk_that_comes_while_another_is_put_back() {
    nothing_is_lost_piecewise(&[(1, 0), (2, 0), (3, 0)], &[&[0, 1], &[2]], 3, 1);
}
