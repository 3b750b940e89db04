//! Whom to ask for memory before a request is answered with null.
//!
//! Owns a short list of functions. They are called without the lock, because they free memory of this heap, and not from
//! within one another.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::error::Error;
use core::fmt;

/// The most functions that a heap asks: 8.
pub const MOST_SHRINKERS: usize = 8;

/// Gives back memory that can be spared, for a request of the given layout, and returns whether it did.
///
/// It is called with the heap's lock not held, by whoever asked for memory, so it must not wait for a lock that such a one
/// may hold: try, and return `false`. What it allocates itself is answered without asking again. It must not unwind.
pub type Shrinker = fn(Layout) -> bool;

/// A heap asks [`MOST_SHRINKERS`] functions already.
///
/// # Examples
///
/// ```
/// use stack_alloc::{Allocator, MOST_SHRINKERS, NoMemory, TooManyShrinkers};
///
/// let heap = Allocator::<NoMemory>::new(NoMemory);
/// for _ in 0..MOST_SHRINKERS {
///     heap.add_shrinker(|_| false).unwrap();
/// }
/// assert_eq!(heap.add_shrinker(|_| false), Err(TooManyShrinkers));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyShrinkers;

impl fmt::Display for TooManyShrinkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a heap asks at most {MOST_SHRINKERS} shrinkers")
    }
}

impl Error for TooManyShrinkers {}

/// The functions of one heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shrinkers {
    /// In the order in which they are asked.
    functions: [Option<Shrinker>; MOST_SHRINKERS],
    /// Somebody is asking them.
    are_busy: bool,
}

impl Shrinkers {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        Self {
            functions: [None; MOST_SHRINKERS],
            are_busy: false,
        }
    }

    /// Adds a function, to be asked last.
    ///
    /// # Errors
    ///
    /// [`TooManyShrinkers`] when there is no place left.
    pub(crate) fn add(&mut self, shrinker: Shrinker) -> Result<(), TooManyShrinkers> {
        let place = self
            .functions
            .iter_mut()
            .find(|place| place.is_none())
            .ok_or(TooManyShrinkers)?;
        *place = Some(shrinker);
        Ok(())
    }

    /// Returns the functions to ask, and notes that they are being asked. `None` when there are none, or they are being
    /// asked already.
    pub(crate) fn begin(&mut self) -> Option<impl Iterator<Item = Shrinker> + use<>> {
        if self.are_busy || self.functions[0].is_none() {
            return None;
        }
        self.are_busy = true;
        Some(self.functions.into_iter().flatten())
    }

    /// Notes that they were asked.
    pub(crate) fn end(&mut self) {
        self.are_busy = false;
    }
}
