//! The heaps that are compared, by name.
//!
//! Each gets the same memory, and the lock that a kernel would put around it: a spin lock. `floor` and `ours` are always
//! there, the others with the features `peers` and `native_peers`.

mod ours;

use crate::arena::Memory;
use crate::floor::Floor;
use crate::heap::{Called, Heap};

/// Makes a heap.
///
/// # Safety
///
/// As long as the heap is used, nobody else uses the memory.
pub type Make = unsafe fn(Memory) -> Box<dyn Heap>;

/// A heap that is compared.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// What it is called in tables and options.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether it uses the memory that it is given, and nothing else. Those of a process map their own.
    pub is_over_arena: bool,
    /// Makes one.
    pub make: Make,
}

/// Returns all of them.
#[must_use]
pub fn all() -> Vec<Contender> {
    vec![
        ours::CONTENDER,
        Contender {
            name: "floor",
            about: "bare free lists by size class: no checks, nothing given back",
            is_over_arena: true,
            make: floor,
        },
    ]
}

/// Makes a [`Floor`].
///
/// # Safety
///
/// As for [`Make`].
unsafe fn floor(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    Box::new(Called(unsafe { Floor::new(memory) }))
}
