//! The same streams of operations through this heap and through `linked_list_allocator`, byte by byte.
//!
//! Both get the same amount of memory: the oracle as one arena, this heap through its source. What succeeds must hold
//! the same bytes in both from then on. The two may differ in what fails, because both lose memory in their own way:
//! the oracle to holes between objects, this heap to headers, to rounding, and to pages that another size has. So the
//! rule is:
//!
//! - a request that fails here and succeeds in the oracle is a fault if the source still has the size and alignment
//!   asked for and two blocks more, for then nothing stands in the way; or if it would not even make half of the
//!   memory asked for (a heap of four blocks with objects of 36 sizes comes to about two thirds);
//! - a request that fails in the oracle alone is none;
//! - a request that one of the two has failed leaves the object dead in both, so that the same is live again.

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use core::alloc::{GlobalAlloc, Layout};

use common::{
    Heap, Numbers, allocate, assert_empty, assert_sound, give_back, heap, layout, reallocate,
};
use oracle::Oracle;
use stack_alloc::BLOCK_SIZE;

/// An object that lives in both heaps.
struct Twins {
    ours: *mut u8,
    theirs: *mut u8,
    layout: Layout,
}

impl Twins {
    /// Returns the bytes of both.
    fn bytes(&self) -> (&[u8], &[u8]) {
        let len = self.layout.size();
        // SAFETY: the object is live, and all of its bytes were written.
        let ours = unsafe { core::slice::from_raw_parts(self.ours, len) };
        // SAFETY: the same.
        let theirs = unsafe { core::slice::from_raw_parts(self.theirs, len) };
        (ours, theirs)
    }

    #[track_caller]
    fn assert_alike(&self) {
        let (ours, theirs) = self.bytes();
        assert!(ours == theirs, "contents differ: {:?}", self.layout);
    }

    /// Writes random bytes from `from` to the end.
    fn scribble(&mut self, from: usize, numbers: &mut Numbers) {
        let noise: Vec<u8> = (from..self.layout.size())
            .map(|_| u8::try_from(numbers.below(256)).expect("small"))
            .collect();
        for pointer in [self.ours, self.theirs] {
            let to = pointer.wrapping_add(from);
            // SAFETY: the object is live and ends where the noise does.
            unsafe { to.copy_from_nonoverlapping(noise.as_ptr(), noise.len()) };
        }
    }
}

/// What a stream is made of.
#[derive(Clone, Copy)]
struct Mix {
    /// Bytes of memory that both have.
    memory: usize,
    /// Sizes go up to `2 << size_log`.
    size_log: u32,
    /// Alignments go up to `1 << align_log`.
    align_log: usize,
    /// How many objects the stream keeps alive, about.
    live: usize,
    steps: usize,
}

struct Pair {
    ours: Heap,
    theirs: Oracle,
    live: Vec<Twins>,
    /// Requests that failed in ours, and in theirs.
    failed: [usize; 2],
}

impl Pair {
    /// Asserts that a request which failed here alone had a reason to.
    #[track_caller]
    fn assert_excused(&self, layout: Layout) {
        let plenty = layout.size() + layout.align() + 2 * BLOCK_SIZE;
        let left = self.ours.source().left();
        assert!(left < plenty, "{layout:?} failed with {left} bytes left");
        let requested = self.ours.statistics().bytes_requested + layout.size();
        assert!(
            requested >= self.theirs.size() / 2,
            "{layout:?} failed with only {requested} bytes asked for"
        );
    }

    /// Counts failures, and applies the rule.
    #[track_caller]
    fn judge(&mut self, layout: Layout, ours: *mut u8, theirs: *mut u8) {
        self.failed[0] += usize::from(ours.is_null());
        self.failed[1] += usize::from(theirs.is_null());
        if ours.is_null() && !theirs.is_null() {
            self.assert_excused(layout);
        }
    }

    fn allocate(&mut self, layout: Layout, zeroed: bool, numbers: &mut Numbers) {
        let (ours, theirs) = if zeroed {
            // SAFETY: the layout is not empty.
            let ours = unsafe { self.ours.alloc_zeroed(layout) };
            // SAFETY: the same.
            (ours, unsafe { self.theirs.alloc_zeroed(layout) })
        } else {
            (allocate(&self.ours, layout), allocate(&self.theirs, layout))
        };
        self.judge(layout, ours, theirs);
        if ours.is_null() || theirs.is_null() {
            self.drop_half(ours, layout, theirs, layout);
            return;
        }
        assert_eq!(ours.addr() % layout.align(), 0);
        let mut twins = Twins {
            ours,
            theirs,
            layout,
        };
        if zeroed {
            twins.assert_alike();
        }
        twins.scribble(0, numbers);
        self.live.push(twins);
    }

    fn reallocate(&mut self, size: usize, numbers: &mut Numbers) {
        let Some(mut twins) = numbers.pick(&mut self.live) else {
            return;
        };
        let old = twins.layout;
        let new = layout(size, old.align());
        let ours = reallocate(&self.ours, twins.ours, old, size);
        let theirs = reallocate(&self.theirs, twins.theirs, old, size);
        self.judge(new, ours, theirs);
        if ours.is_null() || theirs.is_null() {
            let (our_layout, ours) = if ours.is_null() {
                (old, twins.ours)
            } else {
                (new, ours)
            };
            let (their_layout, theirs) = if theirs.is_null() {
                (old, twins.theirs)
            } else {
                (new, theirs)
            };
            self.drop_half(ours, our_layout, theirs, their_layout);
            return;
        }
        let kept = old.size().min(size);
        twins.ours = ours;
        twins.theirs = theirs;
        twins.layout = layout(kept, old.align());
        twins.assert_alike();
        twins.layout = new;
        twins.scribble(kept, numbers);
        self.live.push(twins);
    }

    /// Frees what is there of an object.
    fn drop_half(&self, ours: *mut u8, our_layout: Layout, theirs: *mut u8, their_layout: Layout) {
        if !ours.is_null() {
            give_back(&self.ours, ours, our_layout);
        }
        if !theirs.is_null() {
            give_back(&self.theirs, theirs, their_layout);
        }
    }

    fn free(&self, twins: &Twins) {
        twins.assert_alike();
        self.drop_half(twins.ours, twins.layout, twins.theirs, twins.layout);
    }

    /// Asserts that the same is live in both, byte by byte.
    #[track_caller]
    fn assert_alike(&self) {
        assert_sound(&self.ours);
        for twins in &self.live {
            twins.assert_alike();
        }
        let statistics = self.ours.statistics();
        let requested: usize = self.live.iter().map(|twins| twins.layout.size()).sum();
        assert_eq!(statistics.live(), self.live.len() as u64);
        assert_eq!(statistics.bytes_requested, requested);
        assert!(self.theirs.used() >= requested);
    }
}

/// Runs one stream. Returns the failures in ours and theirs.
fn run(mix: Mix, seed: u64) -> [usize; 2] {
    let mut numbers = Numbers::new(seed);
    let mut pair = Pair {
        ours: heap(mix.memory),
        theirs: Oracle::new(mix.memory),
        live: Vec::new(),
        failed: [0, 0],
    };
    for step in 0..mix.steps {
        let size = numbers.size(mix.size_log);
        let align = 1 << numbers.below(mix.align_log + 1);
        let grow = pair.live.len() < mix.live / 2 + numbers.below(mix.live);
        match numbers.below(10) {
            0..=1 => pair.reallocate(size, &mut numbers),
            2 => {
                if let Some(mut twins) = numbers.pick(&mut pair.live) {
                    twins.assert_alike();
                    let from = numbers.below(twins.layout.size());
                    twins.scribble(from, &mut numbers);
                    pair.live.push(twins);
                }
            }
            3..=8 if grow => {
                let zeroed = numbers.below(4) == 0;
                pair.allocate(layout(size, align), zeroed, &mut numbers);
            }
            _ => {
                if let Some(twins) = numbers.pick(&mut pair.live) {
                    pair.free(&twins);
                }
            }
        }
        if step % 128 == 0 {
            pair.assert_alike();
        }
    }
    pair.assert_alike();
    for twins in core::mem::take(&mut pair.live) {
        pair.free(&twins);
    }
    assert_empty(&pair.ours);
    assert_eq!(pair.theirs.used(), 0);
    pair.failed
}

#[test]
fn small_objects_are_alike() {
    let mix = Mix {
        memory: 4 << 20,
        size_log: 7,
        align_log: 5,
        live: 600,
        steps: 4000,
    };
    for seed in 1..=4 {
        assert_eq!(run(mix, seed), [0, 0]);
    }
}

#[test]
fn objects_of_many_sizes_are_alike() {
    let mix = Mix {
        memory: 32 << 20,
        size_log: 15,
        align_log: 12,
        live: 200,
        steps: 1500,
    };
    for seed in 1..=3 {
        assert_eq!(run(mix, seed), [0, 0]);
    }
}

#[test]
fn large_objects_are_alike() {
    let mix = Mix {
        memory: 64 << 20,
        size_log: 18,
        align_log: 16,
        live: 40,
        steps: 300,
    };
    for seed in 1..=3 {
        assert_eq!(run(mix, seed), [0, 0]);
    }
}

#[test]
fn what_succeeds_is_alike_when_memory_is_short() {
    let mix = Mix {
        memory: 1 << 20,
        size_log: 15,
        align_log: 8,
        live: 400,
        steps: 2500,
    };
    for seed in 1..=4 {
        let [ours, _] = run(mix, seed);
        assert!(ours > 0, "memory is not short");
    }
}
