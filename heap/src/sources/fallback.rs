//! Two sources as one.

use core::ptr::NonNull;

use crate::memory_source::{MemorySource, Owns};

/// A source that asks one source, and where that says "no", another.
///
/// What comes back goes to the first if it [owns](Owns::owns) the address, to the second otherwise. Fallbacks nest: the
/// first may be one, if both of its sources know their own memory, and the second may be one in any case.
///
/// Cost: that of the sources, and of asking the first whether it owns an address.
///
/// # Examples
///
/// A heap that lives on a little memory of its own, and on the host's when that is used up:
///
/// ```
/// # use std::alloc::{GlobalAlloc, Layout, System};
/// # use std::ptr::NonNull;
/// use stack_alloc::{Allocator, BLOCK_SIZE, Fallback, MemorySource, Region};
/// # struct Host;
/// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
/// # unsafe impl MemorySource for Host {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { System.alloc(block()) }) }
/// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { System.dealloc(b.as_ptr(), block()) } }
/// # }
///
/// let own = Region::from_static(Box::leak(Box::new_uninit_slice(2 * BLOCK_SIZE)));
/// let heap = Allocator::<Fallback<Region, Host>>::new(Fallback::new(own, Host));
///
/// let layout = Layout::from_size_align(200 * 1024, 8).unwrap();
/// for _ in 0..10 {
///     assert!(!unsafe { heap.alloc(layout) }.is_null());
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fallback<A, B> {
    /// The source that is asked first.
    first: A,
    /// The source that is asked after a "no".
    second: B,
}

impl<A, B> Fallback<A, B> {
    /// Creates a source that asks `first`, then `second`.
    pub const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }

    /// Returns the source that is asked first.
    pub const fn first(&self) -> &A {
        &self.first
    }

    /// Returns the source that is asked second.
    pub const fn second(&self) -> &B {
        &self.second
    }
}

impl<A: Owns, B: MemorySource> Fallback<A, B> {
    /// Returns whether `memory`, which came from one of the two, came from the first.
    fn is_firsts(&self, memory: NonNull<u8>) -> bool {
        self.first.owns(memory.addr().get())
    }
}

// SAFETY: whatever is handed out comes from one of the sources, which keep all of these promises, and the same source
// answers every question about it: `owns` tells them apart.
unsafe impl<A: Owns, B: MemorySource> MemorySource for Fallback<A, B> {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.first.get_block().or_else(|| self.second.get_block())
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        if self.is_firsts(block) {
            // SAFETY: the caller's promise; the block came from the first source, which owns it.
            unsafe { self.first.release_block(block) };
        } else {
            // SAFETY: the caller's promise; the block came from the second source, as the first does not own it.
            unsafe { self.second.release_block(block) };
        }
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        self.first
            .get_part(least, is_usable)
            .or_else(|| self.second.get_part(least, is_usable))
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        if self.is_firsts(part.cast()) {
            // SAFETY: the caller's promise; the part came from the first source, which owns it.
            unsafe { self.first.release_part(part) };
        } else {
            // SAFETY: the caller's promise; the part came from the second source, as the first does not own it.
            unsafe { self.second.release_part(part) };
        }
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        self.first
            .get_region(size, align)
            .or_else(|| self.second.get_region(size, align))
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        if self.is_firsts(region) {
            // SAFETY: the caller's promise; the region came from the first source, which owns it.
            unsafe { self.first.release_region(region, size) };
        } else {
            // SAFETY: the caller's promise; the region came from the second source, as the first does not own it.
            unsafe { self.second.release_region(region, size) };
        }
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        if self.is_firsts(region) {
            // SAFETY: the caller's promise; the region came from the first source, which owns it.
            unsafe { self.first.resize_region(region, size, new_size) }
        } else {
            // SAFETY: the caller's promise; the region came from the second source, as the first does not own it.
            unsafe { self.second.resize_region(region, size, new_size) }
        }
    }

    fn is_zeroed(&self, memory: NonNull<u8>) -> bool {
        if self.is_firsts(memory) {
            self.first.is_zeroed(memory)
        } else {
            self.second.is_zeroed(memory)
        }
    }

    fn largest_region(&self) -> usize {
        self.first
            .largest_region()
            .max(self.second.largest_region())
    }
}

// SAFETY: what was handed out is one of the sources' and owned by it; another source's memory is owned by neither.
unsafe impl<A: Owns, B: Owns> Owns for Fallback<A, B> {
    fn owns(&self, address: usize) -> bool {
        self.first.owns(address) || self.second.owns(address)
    }
}
