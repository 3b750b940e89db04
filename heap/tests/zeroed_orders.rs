//! What is known to be zero after chunks came back in every order: a chunk that was ever handed out is cleared, and one that was
//! not, in memory that the source calls zero, is not.

mod common;

use std::collections::BTreeSet;

use common::arena::{Arena, ArenaHeap, Contents, MARK, Rules, assert_arena_empty};
use common::{Numbers, give_back, layout};
use core::alloc::GlobalAlloc;
use stack_alloc::{Allocator, PAGE_SIZE};

/// A heap whose memory is marked and called zero, and what was handed out of it.
struct Watched {
    heap: ArenaHeap,
    size: usize,
    /// Addresses of chunks that were handed out, since the heap had all of its memory anew.
    used: BTreeSet<usize>,
    /// What is live.
    live: Vec<*mut u8>,
}

impl Watched {
    /// Creates one for chunks of `size` bytes.
    fn new(size: usize) -> Self {
        let rules = Rules {
            contents: Contents::FalseZeros,
            ..Rules::ALL
        };
        Self {
            heap: Allocator::new(Arena::full(1, rules)),
            size,
            used: BTreeSet::new(),
            live: Vec::new(),
        }
    }

    /// Takes a chunk, cleared, asserts that it is clear if it was used before, and fills it. Returns whether it was never used,
    /// and whether it was cleared.
    #[track_caller]
    fn take(&mut self) -> (bool, bool) {
        // SAFETY: the layout is not empty.
        let pointer = unsafe { self.heap.alloc_zeroed(layout(self.size, 8)) };
        assert!(!pointer.is_null());
        // SAFETY: live, and written by the source or by the heap.
        let bytes = unsafe { core::slice::from_raw_parts(pointer, self.size) };
        let is_all = |expected| bytes.iter().all(|byte| *byte == expected);
        let is_cleared = is_all(0);
        let is_fresh = self.used.insert(pointer.addr());
        assert!(is_cleared || is_all(MARK), "{} bytes, mixed", self.size);
        assert!(is_cleared || is_fresh, "{} bytes, used before", self.size);
        self.note(pointer);
        (is_fresh, is_cleared)
    }

    /// Does what [`take`](Self::take) does in a heap none of whose stacks was ever closed: there, what was never used is not
    /// cleared.
    #[track_caller]
    fn take_exactly(&mut self) {
        let (is_fresh, is_cleared) = self.take();
        assert_ne!(
            is_fresh, is_cleared,
            "{} bytes, fresh and cleared",
            self.size
        );
    }

    /// Takes a chunk with whatever is in it.
    fn take_any(&mut self) {
        let pointer = common::allocate(&self.heap, layout(self.size, 8));
        assert!(!pointer.is_null());
        self.used.insert(pointer.addr());
        self.note(pointer);
    }

    /// Fills what was taken with something else than zeros and marks.
    fn note(&mut self, pointer: *mut u8) {
        // SAFETY: live, and of that many bytes.
        unsafe { pointer.write_bytes(0x55, self.size) };
        self.live.push(pointer);
    }

    /// Gives the `number`-th live chunk back.
    fn give(&mut self, number: usize) {
        let pointer = self.live.remove(number);
        give_back(&self.heap, pointer, layout(self.size, 8));
    }

    /// Gives all back, and asserts that the heap is empty.
    fn end(mut self) {
        while !self.live.is_empty() {
            self.give(0);
        }
        assert_arena_empty(&self.heap);
    }
}

/// Does what the digits of `program` say, each below `choices`: 0 and 1 take a chunk, cleared or not; the others give one back.
fn run(size: usize, mut program: usize, choices: usize, steps: usize) {
    let mut watched = Watched::new(size);
    for _ in 0..steps {
        match program % choices {
            0 => watched.take_exactly(),
            1 => watched.take_any(),
            number if number - 2 < watched.live.len() => watched.give(number - 2),
            _ => break,
        }
        program /= choices;
    }
    // Whatever came before, four more are what they should be.
    (0..4).for_each(|_| watched.take_exactly());
    watched.end();
}

#[test]
fn every_short_program_of_takes_and_gives() {
    const CHOICES: usize = 5;
    let steps = if cfg!(miri) { 3 } else { 5 };
    for program in 0..CHOICES.pow(steps) {
        run(64, program, CHOICES, steps as usize);
    }
}

#[test]
fn every_order_of_giving_back_with_takes_between() {
    const CHUNKS: usize = 5;
    let orders = (1..=CHUNKS).product::<usize>();
    // Of the larger ones, a stack has few, so that stacks come and go.
    for size in [16, 48, 256, 1000, 5120, 16_384] {
        for order in (0..orders).step_by(if cfg!(miri) { 41 } else { 1 }) {
            // After how many of the chunks have come back one is taken, which stays as the last one.
            for taken_after in 0..CHUNKS {
                let mut watched = Watched::new(size);
                let take = |watched: &mut Watched| {
                    if size <= 256 {
                        watched.take_exactly();
                    } else {
                        watched.take();
                    }
                };
                (0..CHUNKS).for_each(|_| take(&mut watched));
                let mut rest = order;
                for given in 0..CHUNKS {
                    let left = CHUNKS - given;
                    watched.give(rest % left);
                    rest /= left;
                    if given == taken_after {
                        take(&mut watched);
                    }
                }
                (0..CHUNKS + 2).for_each(|_| take(&mut watched));
                watched.end();
            }
        }
    }
}

#[test]
fn chunks_on_both_sides_of_a_word() {
    // 256 chunks of 16 bytes are four words of a page; 85 of 48 are two, the second one not full.
    for (size, whole) in [(16, 256), (48, 85)] {
        for top in [1, 63, 64, 65, 66, whole - 1, whole] {
            if top > whole {
                continue;
            }
            for given in [0, 1, 62, 63, 64, 65, top - 1] {
                if given >= top {
                    continue;
                }
                let mut watched = Watched::new(size);
                (0..top).for_each(|_| watched.take_exactly());
                watched.give(given);
                watched.take_exactly();
                watched.give(top - 1);
                (0..3).for_each(|_| watched.take_exactly());
                watched.end();
            }
        }
    }
}

#[test]
fn random_programs_in_stacks_of_every_size() {
    for size in [16, 32, 48, 80, 256, 448, 1024, 2048, 4096, 10_240] {
        let mut numbers = Numbers::new(size as u64);
        let mut watched = Watched::new(size);
        let mut counts = [0, 0];
        let most = (40 * PAGE_SIZE / size).min(600);
        for step in 0..if cfg!(miri) { 60 } else { 4000 } {
            let grows = step / 200 % 2 == 0;
            let has_room = watched.live.len() < most;
            match numbers.below(5) {
                0 | 1 if has_room => counts[usize::from(watched.take().1)] += 1,
                2 if has_room && grows => watched.take_any(),
                _ if !watched.live.is_empty() => {
                    let number = numbers.below(watched.live.len());
                    watched.give(number);
                }
                _ => {}
            }
        }
        let [marked, cleared] = counts;
        assert!(marked > 0 && cleared > 0, "{size}: {counts:?}");
        watched.end();
    }
}
