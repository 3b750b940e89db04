//! What a task under stress does: steps of a random stream until it is time to stop.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::exchange;
use super::object::Object;
use crate::interrupts::raise_software_interrupt;
use crate::random::Random;
use crate::tasks;

/// The most objects that a task has at a time.
const MOST_OBJECTS: usize = 400;

/// What all tasks have done, added up.
#[derive(Debug)]
pub(super) struct Tally {
    /// Steps.
    pub(super) steps: AtomicU64,
    /// Objects allocated.
    pub(super) allocations: AtomicU64,
    /// Objects resized.
    pub(super) resizes: AtomicU64,
    /// Requests answered with null.
    pub(super) nulls: AtomicU64,
    /// It is time to stop.
    pub(super) is_over: AtomicBool,
}

impl Tally {
    /// Nothing was done yet.
    pub(super) const fn new() -> Self {
        Self {
            steps: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            resizes: AtomicU64::new(0),
            nulls: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Forgets what was done.
    pub(super) fn reset(&self) {
        for counter in [&self.steps, &self.allocations, &self.resizes, &self.nulls] {
            counter.store(0, Ordering::Relaxed);
        }
        self.is_over.store(false, Ordering::Relaxed);
    }
}

/// A task under stress.
pub(super) struct Worker {
    /// Its stream.
    random: Random,
    /// Its objects.
    objects: Vec<Object>,
    /// The most bytes that they may have together.
    budget: usize,
    /// Bytes that they have.
    bytes: usize,
    /// Where it counts.
    tally: &'static Tally,
}

impl Worker {
    /// Makes a worker that has nothing yet. `None` where there is no memory for it.
    pub(super) fn new(seed: u64, budget: usize, tally: &'static Tally) -> Option<Self> {
        let mut objects = Vec::new();
        objects.try_reserve_exact(MOST_OBJECTS).ok()?;
        Some(Self {
            random: Random::from_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            objects,
            budget,
            bytes: 0,
            tally,
        })
    }

    /// Works until it is over, then frees everything.
    pub(super) fn run(mut self) {
        while !self.tally.is_over.load(Ordering::Relaxed) {
            self.step();
            self.tally.steps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does one step.
    fn step(&mut self) {
        match self.random.below(64) {
            0..=27 => self.allocate(),
            28..=33 => self.resize(),
            34..=59 => self.free(),
            60..=61 => self.exchange(),
            62 => raise_software_interrupt(),
            _ => tasks::yield_now(),
        }
    }

    /// Allocates an object, if there is room in the budget.
    fn allocate(&mut self) {
        let layout = self.layout();
        if self.objects.len() == MOST_OBJECTS || self.bytes + layout.size() > self.budget {
            return self.free();
        }
        let fill = self.random.next_number().to_le_bytes()[2];
        let object = if self.random.below(4) == 0 {
            Object::zeroed(layout, fill)
        } else {
            Object::new(layout, fill)
        };
        match object {
            Some(object) => {
                self.tally.allocations.fetch_add(1, Ordering::Relaxed);
                self.keep(object);
            }
            None => self.count_null(),
        }
    }

    /// Resizes an object.
    fn resize(&mut self) {
        let size = self.size();
        let Some(mut object) = self.pick() else {
            return;
        };
        let fits = self.bytes + size <= self.budget;
        if fits && object.resize(size) {
            self.tally.resizes.fetch_add(1, Ordering::Relaxed);
        } else if fits {
            self.count_null();
        }
        self.keep(object);
    }

    /// Frees an object.
    fn free(&mut self) {
        drop(self.pick());
    }

    /// Leaves an object for others, and keeps what they have left.
    fn exchange(&mut self) {
        let (own, place) = (self.pick(), self.random.below(usize::MAX));
        if let Some(other) = exchange::swap(place, own) {
            other.look("when another one has got it");
            self.keep(other);
        }
    }

    /// Puts an object among those of the task.
    fn keep(&mut self, object: Object) {
        self.bytes += object.size();
        if self.objects.len() < MOST_OBJECTS {
            self.objects.push(object);
        } else {
            self.bytes -= object.size();
        }
    }

    /// Takes an object out, if there is one.
    fn pick(&mut self) -> Option<Object> {
        if self.objects.is_empty() {
            return None;
        }
        let object = self
            .objects
            .swap_remove(self.random.below(self.objects.len()));
        self.bytes -= object.size();
        Some(object)
    }

    /// Counts an answer with null.
    fn count_null(&self) {
        self.tally.nulls.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a size: mostly small, at times some pages, rarely a region's.
    fn size(&mut self) -> usize {
        match self.random.below(128) {
            0 => self.random.log_distributed(18, 21),
            1..=6 => self.random.log_distributed(12, 18),
            _ => self.random.log_distributed(0, 12),
        }
    }

    /// Returns a layout: alignments are mostly small, at times up to four pages.
    fn layout(&mut self) -> Layout {
        let shift = match self.random.below(32) {
            0 => self.random.below(15),
            _ => self.random.below(5),
        };
        let size = self.size();
        Layout::from_size_align(size, 1 << shift).unwrap_or(Layout::new::<u64>())
    }
}
