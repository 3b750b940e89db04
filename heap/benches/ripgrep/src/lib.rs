//! The heap that a build of ripgrep gets, chosen by this package's features.
//!
//! boot/bench-ripgrep.sh writes `heap()` where ripgrep's own `main.rs` has jemalloc. What differs between the builds is this
//! alone.

#[cfg(feature = "stack_alloc")]
mod mapped;
#[cfg(feature = "stack_alloc")]
// What the example that is a `malloc` has too.
#[path = "../../../examples/malloc/mapping.rs"]
mod mapping;

/// What was chosen.
#[cfg(feature = "stack_alloc")]
mod choice {
    /// Our heap, with all its checks and its own lock, over memory from the operating system.
    pub type Heap = stack_alloc::Allocator<crate::mapped::Mapped>;

    /// Returns the heap, which holds no memory yet.
    #[must_use]
    pub const fn heap() -> Heap {
        Heap::new(crate::mapped::Mapped::new())
    }
}

/// What was chosen.
#[cfg(all(feature = "jemalloc", not(feature = "stack_alloc")))]
mod choice {
    /// Jemalloc, as ripgrep itself takes it where the system's heap is slow.
    pub type Heap = tikv_jemallocator::Jemalloc;

    /// Returns the heap.
    #[must_use]
    pub const fn heap() -> Heap {
        tikv_jemallocator::Jemalloc
    }
}

/// What was chosen.
#[cfg(not(any(feature = "jemalloc", feature = "stack_alloc")))]
mod choice {
    /// The system's heap, which ripgrep takes by default.
    pub type Heap = std::alloc::System;

    /// Returns the heap.
    #[must_use]
    pub const fn heap() -> Heap {
        std::alloc::System
    }
}

pub use choice::{Heap, heap};
