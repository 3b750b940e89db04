//! The heaps of whole processes, in C and C++: what no kernel can use, and a bar to reach for.

use crate::contenders::Contender;
#[cfg(any(feature = "jemalloc", feature = "mimalloc", feature = "snmalloc"))]
use crate::{
    arena::Memory,
    heap::{Called, Heap},
};

/// For the list: those that were built in.
pub(super) const CONTENDERS: &[Contender] = &[
    #[cfg(feature = "mimalloc")]
    Contender {
        name: "mimalloc",
        about: "mimalloc, as it comes",
        is_over_arena: false,
        make: mimalloc,
    },
    #[cfg(feature = "snmalloc")]
    Contender {
        name: "snmalloc",
        about: "snmalloc, as it comes",
        is_over_arena: false,
        make: snmalloc,
    },
    #[cfg(feature = "jemalloc")]
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
#[cfg(feature = "mimalloc")]
unsafe fn mimalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(mimalloc::MiMalloc))
}

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
#[cfg(feature = "snmalloc")]
unsafe fn snmalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(snmalloc_rs::SnMalloc))
}

/// Returns it: there is only one.
///
/// # Safety
///
/// None is needed: the memory is not used.
#[cfg(feature = "jemalloc")]
unsafe fn jemalloc(_memory: Memory) -> Box<dyn Heap> {
    Box::new(Called(tikv_jemallocator::Jemalloc))
}
