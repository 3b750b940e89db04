//! A heap as the benchmarks see it: one behind a pointer, whichever it is.
//!
//! A program calls the allocator through one function that is not inlined, `__rust_alloc`, with size and alignment in two
//! registers. [`Called`] does that to every heap alike: each has its own four entries, everything below which the compiler
//! may inline as it likes, and its own copy of the loops that call them.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;

use crate::latency::clock::Clock;
use crate::operation::Operation;
use crate::replay::{Objects, OutOfMemory, replay};

/// What the benchmarks do with a heap.
///
/// That it can be called through a pointer too has a reason of its own: what can be is compiled for every layout there is,
/// and not for those alone that the compiler has seen in the benchmarks.
pub trait Heap: GlobalAlloc + Sync {
    /// Does `operations`, the next ones of the stream that `objects` was made for.
    ///
    /// # Errors
    ///
    /// The first that there was no memory for. Nothing behind it was done.
    ///
    /// # Safety
    ///
    /// As for [`Objects::step`].
    unsafe fn replay(
        &self,
        operations: &[Operation],
        objects: &mut Objects,
    ) -> Result<(), OutOfMemory>;

    /// Does the same, and lowers each of `ticks`, one for an operation, to what that operation took.
    ///
    /// # Errors
    ///
    /// As for [`replay`](Self::replay).
    ///
    /// # Safety
    ///
    /// As for [`Objects::step`].
    unsafe fn replay_and_time(
        &self,
        operations: &[Operation],
        objects: &mut Objects,
        ticks: &mut [u32],
        clock: Clock,
    ) -> Result<(), OutOfMemory>;
}

/// A heap that is called as programs call theirs.
pub struct Called<H>(pub H);

// SAFETY: that of the heap inside.
unsafe impl<H: GlobalAlloc> GlobalAlloc for Called<H> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) };
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

impl<H: GlobalAlloc + Sync> Heap for Called<H> {
    #[inline(never)]
    unsafe fn replay(
        &self,
        operations: &[Operation],
        objects: &mut Objects,
    ) -> Result<(), OutOfMemory> {
        // SAFETY: the caller's promise.
        unsafe { replay(self, operations, objects) }
    }

    #[inline(never)]
    unsafe fn replay_and_time(
        &self,
        operations: &[Operation],
        objects: &mut Objects,
        ticks: &mut [u32],
        clock: Clock,
    ) -> Result<(), OutOfMemory> {
        for (number, (operation, least)) in operations.iter().zip(ticks).enumerate() {
            // SAFETY: the caller's promise.
            let (is_done, ticks) = unsafe { objects.timed_step(self, *operation, clock) };
            if !is_done {
                return Err(OutOfMemory { operation: number });
            }
            *least = ticks.min(*least);
        }
        Ok(())
    }
}

impl<H> fmt::Debug for Called<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Called").finish_non_exhaustive()
    }
}
