//! Chunks that were given back and are not handed out again yet.
//!
//! Owns a ring of them, oldest first. While a chunk waits, a second free of it is a double free without doubt, and a write
//! into it hurts nobody: the longer chunks wait, the more such mistakes are found. Without the feature `quarantine` the
//! ring has no places and the compiler leaves all of it out.
//!
//! Cost: giving back looks at every place, 64 words. Runs and regions do not wait: they are large, and whoever frees them
//! twice is found out by their pages.
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// The most chunks that can wait at a time: 64, and none without the feature `quarantine`.
pub(crate) const CAPACITY: usize = if cfg!(feature = "quarantine") { 64 } else { 0 };

/// A chunk in quarantine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Its address.
    pub(crate) address: usize,
    /// The layout that it was given back with.
    pub(crate) layout: Layout,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Quarantine {
    /// The chunks; those that wait are `len` places from `oldest` on, round the end.
    ring: [Waiting; CAPACITY],
    /// The place of the oldest one.
    oldest: usize,
    /// How many wait.
    len: usize,
    /// How many may wait.
    limit: usize,
}

impl Quarantine {
    /// Creates a quarantine in which nothing waits.
    pub(crate) const fn new() -> Self {
        Self {
            ring: [Waiting {
                address: 0,
                layout: Layout::new::<()>(),
            }; CAPACITY],
            oldest: 0,
            len: 0,
            limit: 0,
        }
    }

    /// Sets how many chunks may wait, at most [`CAPACITY`]. What is too many is for the caller to take out.
    #[cfg(feature = "quarantine")]
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(CAPACITY);
    }

    /// Returns whether chunks wait at all.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        cfg!(feature = "quarantine") && self.limit > 0
    }

    /// Returns how many chunks wait.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        if cfg!(feature = "quarantine") {
            self.len
        } else {
            0
        }
    }

    /// Returns whether more wait than may.
    #[cfg(feature = "quarantine")]
    pub(crate) const fn is_over(&self) -> bool {
        self.len > self.limit
    }

    /// Returns whether the chunk at `address` waits.
    pub(crate) fn holds(&self, address: usize) -> bool {
        (0..self.len).any(|number| self.ring[self.place(number)].address == address)
    }

    /// Lets a chunk wait. There is room: fewer than the limit wait.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        let place = self.place(self.len);
        self.ring[place] = waiting;
        self.len += 1;
    }

    /// Takes out the chunk that waits longest.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        if self.len == 0 {
            return None;
        }
        let waiting = self.ring[self.oldest];
        self.oldest = self.place(1);
        self.len -= 1;
        Some(waiting)
    }

    /// Returns whether there is room for one more.
    pub(crate) const fn has_room(&self) -> bool {
        self.len < self.limit
    }

    /// Returns the place of the chunk that came `number` after the oldest one.
    fn place(&self, number: usize) -> usize {
        let place = self.oldest + number;
        place.checked_sub(CAPACITY).unwrap_or(place)
    }
}
