//! Pages of the operating system's, mapped and unmapped.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use stack_alloc::PAGE_SIZE;

/// Maps `size` bytes, wherever the system likes; they are 0.
pub(crate) fn map(size: usize) -> Option<*mut u8> {
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
pub(crate) unsafe fn unmap(start: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(start.cast::<c_void>(), size) };
    }
}

/// Maps `size` bytes aligned to `align`: maps more, and unmaps what lies before and behind.
pub(crate) fn map_aligned(size: usize, align: usize) -> Option<NonNull<u8>> {
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
