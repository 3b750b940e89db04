//! What a task under stress does: steps of a random stream until it is time to stop.

use alloc::vec::Vec;
use core::alloc::Layout;

use super::exchange;
use super::object::Object;
use super::tally::{self, What};
use crate::interrupts::raise_software_interrupt;
use crate::random::Random;
use crate::tasks;

/// The most objects that a task has at a time.
const MOST_OBJECTS: usize = 400;

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
}

impl Worker {
    /// Makes a worker that has nothing yet. `None` where there is no memory for it.
    pub(super) fn new(seed: u64, budget: usize) -> Option<Self> {
        let mut objects = Vec::new();
        objects.try_reserve_exact(MOST_OBJECTS).ok()?;
        Some(Self {
            random: random_from(seed),
            objects,
            budget,
            bytes: 0,
        })
    }

    /// Works until it is over, then frees everything.
    pub(super) fn run(mut self) {
        while !tally::is_over() {
            self.step();
            tally::count(What::Step);
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
                tally::count(What::Allocation);
                self.keep(object);
            }
            None => count_null(),
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
            tally::count(What::Resize);
        } else if fits {
            count_null();
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
        layout_of(self.size(), shift)
    }
}

/// Returns the layout of an object of `size` bytes, at a multiple of 2 to the power of `shift`.
pub(super) fn layout_of(size: usize, shift: usize) -> Layout {
    Layout::from_size_align(size, 1 << shift).unwrap_or(Layout::new::<u64>())
}

/// Makes the random stream of a seed; those of neighbouring seeds have nothing in common.
pub(super) const fn random_from(seed: u64) -> Random {
    Random::from_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
}

/// Counts an answer with null.
fn count_null() {
    tally::count(What::Null);
}
