//! The two heaps, each with a region of its own: what a kernel would call `LockedHeap`.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use kernel::bench::contestant::Contestant;
use kernel::bench::run::BenchError;
use linked_list_allocator::Heap;
use lock_api::{Mutex, RawMutex};
use stack_alloc::LockedHeap;

use crate::region::{FrameRegion, REGION_BYTES};

/// Ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackAlloc;

impl Contestant for StackAlloc {
    fn with_fresh<R: RawMutex>(
        &self,
        body: &mut dyn FnMut(&dyn GlobalAlloc) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let region = FrameRegion::new()?;
        // SAFETY: the region's memory is valid and nobody else's, and outlives the heap.
        let heap = unsafe { LockedHeap::<R>::new(region.start(), REGION_BYTES) };
        let result = body(&heap);
        heap.check()?;
        let live = heap.statistics().bytes_requested;
        if live > 0 {
            return Err(BenchError::LeftOver(live));
        }
        result
    }
}

/// The other one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkedList;

impl Contestant for LinkedList {
    fn with_fresh<R: RawMutex>(
        &self,
        body: &mut dyn FnMut(&dyn GlobalAlloc) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let region = FrameRegion::new()?;
        // SAFETY: the region's memory is valid and nobody else's, and outlives the heap.
        let heap = unsafe { Heap::new(region.start(), REGION_BYTES) };
        let heap = LockedList::<R>(Mutex::new(heap));
        let result = body(&heap);
        let live = heap.0.lock().used();
        if live > 0 {
            return Err(BenchError::LeftOver(live));
        }
        result
    }
}

/// `linked_list_allocator`'s heap behind a lock of kind `R`. Its own `LockedHeap` is the same with a spin lock.
struct LockedList<R>(Mutex<R, Heap>);

// SAFETY: the heap hands out memory that is valid, exclusive and as its layout says; `realloc` and `alloc_zeroed` are the
// trait's own.
unsafe impl<R: RawMutex> GlobalAlloc for LockedList<R> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let allocated = self.0.lock().allocate_first_fit(layout);
        allocated.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(start) = NonNull::new(pointer) {
            // SAFETY: the caller's promise.
            unsafe { self.0.lock().deallocate(start, layout) };
        }
    }
}
