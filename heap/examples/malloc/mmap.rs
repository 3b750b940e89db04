//! Memory from the operating system.

use core::ptr::NonNull;

use stack_alloc::{BLOCK_SIZE, MemorySource};

use crate::mapping::{map_aligned, unmap};

/// A source over anonymous `mmap`.
#[derive(Debug)]
pub(crate) struct Mmap;

// SAFETY: mapped memory is valid and this source's alone until it is unmapped; it has the size and alignment asked for. New
// mappings are 0. A region is resized by the system, where it stands. Nothing unwinds.
unsafe impl MemorySource for Mmap {
    fn get_block(&self) -> Option<NonNull<u8>> {
        map_aligned(BLOCK_SIZE, BLOCK_SIZE)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise: it came from `get_block`.
        unsafe { unmap(block.as_ptr(), BLOCK_SIZE) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        map_aligned(size, align)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise: it came from `get_region`, and has that size.
        unsafe { unmap(region.as_ptr(), size) };
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        // SAFETY: the caller's promise is that the region is mapped, and that what may be cut off is nobody's. Without
        // `MREMAP_MAYMOVE` the region stays, and nothing else is touched.
        let start = unsafe { libc::mremap(region.as_ptr().cast(), size, new_size, 0) };
        start != libc::MAP_FAILED
    }

    fn is_zeroed(&self, _: NonNull<u8>) -> bool {
        true
    }
}
