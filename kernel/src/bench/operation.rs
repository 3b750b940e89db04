//! What the bench measures: the three things that a program asks of a heap. Pure.
#![forbid(unsafe_code)]

/// An operation of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An allocation.
    Allocate,
    /// A free.
    Free,
    /// A reallocation, with the copy where there is one.
    Reallocate,
}

impl Operation {
    /// All of them, by index.
    pub const ALL: [Self; 3] = [Self::Allocate, Self::Free, Self::Reallocate];

    /// Returns the name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allocate => "alloc",
            Self::Free => "free",
            Self::Reallocate => "realloc",
        }
    }
}
