//! The lock around those that come without one, or with another.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use spin::Mutex;

/// A heap without a lock.
///
/// # Safety
///
/// That of [`GlobalAlloc`], with the methods' contracts.
pub(super) unsafe trait Unlocked: Send {
    /// Whether [`reallocate`](Self::reallocate) is there.
    const REALLOCATES: bool;

    /// As [`GlobalAlloc::alloc`].
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8;

    /// As [`GlobalAlloc::dealloc`].
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn deallocate(&mut self, pointer: *mut u8, layout: Layout);

    /// As [`GlobalAlloc::realloc`]. Only with [`REALLOCATES`](Self::REALLOCATES).
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn reallocate(&mut self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let _ = (pointer, layout, new_size);
        ptr::null_mut()
    }
}

/// A heap behind a spin lock.
pub(super) struct Spinning<U>(Mutex<U>);

impl<U> Spinning<U> {
    /// Puts the lock around.
    pub(super) fn new(heap: U) -> Self {
        Self(Mutex::new(heap))
    }
}

// SAFETY: that of the heap inside, which one at a time enters.
unsafe impl<U: Unlocked> GlobalAlloc for Spinning<U> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock().allocate(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock().deallocate(pointer, layout) };
    }

    /// By the heap's own way, or, without one, by [`GlobalAlloc`]'s: which moves always, and copies without the lock.
    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if U::REALLOCATES {
            // SAFETY: the caller's promise.
            return unsafe { self.0.lock().reallocate(pointer, layout, new_size) };
        }
        // SAFETY: the caller's promise.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller's promise: the new size is not 0.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            let kept = layout.size().min(new_size);
            // SAFETY: both are live, have these bytes, and are two.
            unsafe { moved.copy_from_nonoverlapping(pointer, kept) };
            // SAFETY: the caller's promise.
            unsafe { self.dealloc(pointer, layout) };
        }
        moved
    }
}
