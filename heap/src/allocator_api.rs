//! The heap as a [`core::alloc::Allocator`], for collections that name their allocator. Needs a nightly Rust and the
//! feature `allocator_api`.
//!
//! Owns nothing: each call is one of [`crate::global_allocator`]'s. What has no size takes no memory.

use core::alloc::{AllocError, Allocator as AllocatorTrait, Layout};
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use lock_api::RawMutex;

use crate::global_allocator::Allocator;
use crate::memory_source::MemorySource;

impl<S: MemorySource, R: RawMutex> Allocator<S, R> {
    /// Allocates, or hands out a dangling pointer for what has no size.
    fn allocate_sized(&self, layout: Layout, zeroed: bool) -> Result<NonNull<[u8]>, AllocError> {
        let start = if layout.size() == 0 {
            dangling(layout)
        } else if zeroed {
            self.allocate_zeroed_memory(layout).ok_or(AllocError)?
        } else {
            self.allocate(layout).ok_or(AllocError)?.start
        };
        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    /// Changes a live object's layout, where it stands if that can be, with what is kept of its contents.
    ///
    /// # Safety
    ///
    /// `object` is live with layout `old` and is given up by the caller.
    unsafe fn change(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let kept = old.size().min(new.size());
        if old.align() == new.align() && old.size() > 0 && new.size() > 0 {
            let resized = self.resize(object.as_ptr(), old, new).ok_or(AllocError)?;
            if let Some(object) = resized {
                if zeroed {
                    // SAFETY: the object has `new.size()` bytes now, and what is kept is at most as much.
                    let rest = unsafe { object.add(kept) };
                    // SAFETY: so many bytes of the object are behind what is kept.
                    unsafe { rest.write_bytes(0, new.size() - kept) };
                }
                return Ok(NonNull::slice_from_raw_parts(object, new.size()));
            }
        }
        let moved = self.allocate_sized(new, zeroed)?;
        // SAFETY: the caller's object has `old.size()` bytes, the new one `new.size()`; they are apart.
        unsafe { object.copy_to_nonoverlapping(moved.cast(), kept) };
        if old.size() > 0 {
            self.deallocate(object.as_ptr(), old);
        }
        Ok(moved)
    }
}

// SAFETY: memory handed out is valid and exclusive until it is given back, as for `GlobalAlloc`. It is the source's, so it
// stays where it is when the heap is moved, and a heap that is dropped gives nothing back.
unsafe impl<S: MemorySource, R: RawMutex> AllocatorTrait for Allocator<S, R> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_sized(layout, false)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_sized(layout, true)
    }

    unsafe fn deallocate(&self, object: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            Self::deallocate(self, object.as_ptr(), layout);
        }
    }

    unsafe fn grow(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { self.change(object, old, new, false) }
    }

    unsafe fn grow_zeroed(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { self.change(object, old, new, true) }
    }

    unsafe fn shrink(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { self.change(object, old, new, false) }
    }
}

/// Returns a pointer to nothing, aligned as `layout` says.
fn dangling(layout: Layout) -> NonNull<u8> {
    // An alignment is not 0.
    let address = NonZeroUsize::new(layout.align()).unwrap_or(NonZeroUsize::MIN);
    NonNull::dangling().map_addr(|_| address)
}
