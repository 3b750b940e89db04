//! The heaps of whole processes, in C and C++: what no kernel can use, and a bar to reach for.

use mimalloc::MiMalloc;
use snmalloc_rs::SnMalloc;
use tikv_jemallocator::Jemalloc;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDERS: [Contender; 3] = [
    Contender {
        name: "mimalloc",
        about: "mimalloc, as it comes",
        is_over_arena: false,
        make: mimalloc,
    },
    Contender {
        name: "snmalloc",
        about: "snmalloc, as it comes",
        is_over_arena: false,
        make: snmalloc,
    },
    Contender {
        name: "jemalloc",
        about: "jemalloc, as it comes",
        is_over_arena: false,
        make: jemalloc,
    },
];

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
unsafe fn mimalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(MiMalloc))
}

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
unsafe fn snmalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(SnMalloc))
}

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
unsafe fn jemalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(Jemalloc))
}
