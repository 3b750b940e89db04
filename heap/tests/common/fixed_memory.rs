//! Memory to give to a source of fixed memory.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;

use stack_alloc::{BLOCK_SIZE, NoSuchEnd, PAGE_SIZE, Region, Regions, TooSmall};

use super::layout;

/// What the memory is full of before it is used.
const UNTOUCHED: u8 = 0xA5;

/// Memory of the host, aligned to four blocks, that knows what was never written to.
#[derive(Debug)]
pub(crate) struct FixedMemory {
    /// The first byte.
    start: NonNull<u8>,
    /// What the host was asked for.
    layout: Layout,
}

impl FixedMemory {
    /// Takes `size` bytes and fills them.
    pub(crate) fn new(size: usize) -> Self {
        let layout = layout(size, 4 * BLOCK_SIZE);
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { System.alloc(layout) }).expect("there is memory");
        // SAFETY: it was just handed out.
        unsafe { start.write_bytes(UNTOUCHED, size) };
        Self { start, layout }
    }

    /// Returns the bytes there are.
    pub(crate) const fn size(&self) -> usize {
        self.layout.size()
    }

    /// Returns the address of the byte at `offset`.
    pub(crate) fn address(&self, offset: usize) -> usize {
        self.start.addr().get() + offset
    }

    /// Returns the byte at `offset`.
    #[track_caller]
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.layout.size());
        // SAFETY: inside, as just checked.
        unsafe { self.start.add(offset) }
    }

    /// Gives `size` bytes at `offset` to `source`.
    #[track_caller]
    pub(crate) fn add_to(
        &self,
        source: &Regions,
        offset: usize,
        size: usize,
    ) -> Result<(), TooSmall> {
        assert!(offset + size <= self.layout.size());
        // SAFETY: inside, and each test gives its bytes away once and drops the memory last.
        unsafe { source.add(self.at(offset), size) }
    }

    /// Gives the `by` bytes at `offset` to the range of `source` that ends there.
    #[track_caller]
    pub(crate) fn extend(
        &self,
        source: &Regions,
        offset: usize,
        by: usize,
    ) -> Result<(), NoSuchEnd> {
        assert!(offset + by <= self.layout.size());
        // SAFETY: inside, and each test gives its bytes away once and drops the memory last. Every range was added with a
        // pointer to the whole arena.
        unsafe { source.extend(self.address(offset), by) }
    }

    /// Returns a source over `size` bytes at `offset`.
    #[track_caller]
    pub(crate) fn source(&self, offset: usize, size: usize) -> Regions {
        let source = Regions::new();
        self.add_to(&source, offset, size).expect("large enough");
        source
    }

    /// Returns a source with the same memory that takes it at the first request.
    #[track_caller]
    pub(crate) fn region(&self, offset: usize, size: usize) -> Region {
        assert!(offset + size <= self.layout.size());
        // SAFETY: inside, and each test gives its bytes away once and drops the memory last.
        unsafe { Region::new(self.at(offset), size) }
    }

    /// Returns whether the page at `offset` is as it was when the memory was made.
    pub(crate) fn is_untouched(&self, offset: usize) -> bool {
        // SAFETY: inside, since offsets are those of pages of the memory, and nobody writes meanwhile.
        let page = unsafe { self.at(offset).cast::<[u8; PAGE_SIZE]>().as_ref() };
        *page == [UNTOUCHED; PAGE_SIZE]
    }
}

impl Drop for FixedMemory {
    fn drop(&mut self) {
        // SAFETY: it came from there with this layout.
        unsafe { System.dealloc(self.start.as_ptr(), self.layout) };
    }
}
