//! What the C library has.

use std::alloc::System;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "system",
    about: "the C library's malloc, as it comes",
    is_over_arena: false,
    make,
};

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
unsafe fn make(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(System))
}
