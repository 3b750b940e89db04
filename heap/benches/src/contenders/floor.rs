//! The floor: see [`Floor`].

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::floor::Floor;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "floor",
    about: "free lists by size class, without checks: nothing is split, merged or given back",
    is_over_arena: true,
    make,
};

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    Box::new(Called(unsafe { Floor::new(memory) }))
}
