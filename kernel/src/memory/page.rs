//! Pages of virtual memory, as numbers that cannot be mistaken for addresses or frames.
#![forbid(unsafe_code)]

use super::frame::FRAME_SIZE;

/// The size of a page in bytes: a frame's.
pub const PAGE_SIZE: u64 = FRAME_SIZE;

/// One page of virtual memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page(u64);

impl Page {
    /// Returns the page that `address` lies in.
    #[must_use]
    pub const fn containing_address(address: u64) -> Self {
        Self(address / PAGE_SIZE)
    }

    /// Returns the address of the page's first byte.
    #[must_use]
    pub const fn start_address(self) -> u64 {
        self.0 * PAGE_SIZE
    }

    /// Returns the number of the page; page 0 starts at address 0.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the page so many pages behind this one.
    #[must_use]
    pub const fn plus(self, pages: u64) -> Self {
        Self(self.0 + pages)
    }
}

/// Neighbouring pages: from `first` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    /// The first page of the range.
    pub first: Page,
    /// The page behind the last one.
    pub end: Page,
}

impl PageRange {
    /// Returns the range of `pages` pages from `first` on.
    #[must_use]
    pub const fn new(first: Page, pages: u64) -> Self {
        Self {
            first,
            end: first.plus(pages),
        }
    }

    /// Returns how many pages there are.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.0.saturating_sub(self.first.0)
    }

    /// Returns whether there is no page in the range.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Splits the range where numbers are multiples of `length`.
    pub fn pieces(self, length: u64) -> impl Iterator<Item = Self> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            let first = next;
            next = self.end.min(Page((first.0 / length + 1) * length));
            (first < self.end).then_some(Self { first, end: next })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn ranges_split_at_multiples() {
        let range = PageRange::new(Page(500), 600);
        let pieces: Vec<_> = range
            .pieces(512)
            .map(|piece| (piece.first.0, piece.len()))
            .collect();
        assert_eq!(pieces, [(500, 12), (512, 512), (1024, 76)]);
        assert_eq!(PageRange::new(Page(7), 0).pieces(512).count(), 0);
    }
}
