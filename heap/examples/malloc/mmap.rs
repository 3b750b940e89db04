//! Memory from the operating system.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use stack_alloc::{BLOCK_SIZE, MemorySource, PAGE_SIZE};

/// A source over anonymous `mmap`.
#[derive(Debug)]
pub(crate) struct Mmap;

/// Maps `size` bytes, wherever the system likes; they are 0.
fn map(size: usize) -> Option<*mut u8> {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping changes nothing that is there.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    (start != libc::MAP_FAILED).then_some(start.cast())
}

/// Unmaps `size` bytes, which may be none. The system may refuse to (it counts mappings, and a hole makes one more): then
/// they stay mapped, and nobody uses them.
///
/// # Safety
///
/// The bytes were mapped by [`map`], and nobody uses them.
unsafe fn unmap(start: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(start.cast::<c_void>(), size) };
    }
}

/// Maps `size` bytes aligned to `align`: maps more, and unmaps what lies before and behind.
fn map_aligned(size: usize, align: usize) -> Option<NonNull<u8>> {
    let mapped = size.checked_add(align - PAGE_SIZE)?;
    let start = map(mapped)?;
    let before = start.addr().next_multiple_of(align) - start.addr();
    let aligned = start.wrapping_add(before);
    // SAFETY: `before` is at most `align - PAGE_SIZE`, as `start` is aligned to a page: it was mapped, and is nobody's.
    unsafe { unmap(start, before) };
    // SAFETY: the rest behind `before + size` bytes was mapped too, and is nobody's.
    unsafe { unmap(aligned.wrapping_add(size), mapped - before - size) };
    NonNull::new(aligned)
}

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
