//! The heaps that can be measured.

use core::alloc::GlobalAlloc;

use lock_api::RawMutex;
use stack_alloc::Allocator;

use super::run::BenchError;
use crate::memory::heap_source::FrameSource;

/// A kind of heap that can be measured.
pub trait Contestant {
    /// Makes a heap whose lock is of kind `R`, lets `body` use it and free everything again, checks it and gives its memory
    /// back.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`] where there is no memory for the heap, another one where `body` left it broken; and those
    /// of `body`.
    fn with_fresh<R: RawMutex>(
        &self,
        body: &mut dyn FnMut(&dyn GlobalAlloc) -> Result<(), BenchError>,
    ) -> Result<(), BenchError>;
}

/// A heap like the kernel's own, with memory from where that has it.
#[derive(Clone, Copy, Debug)]
pub struct KernelHeap;

impl Contestant for KernelHeap {
    fn with_fresh<R: RawMutex>(
        &self,
        body: &mut dyn FnMut(&dyn GlobalAlloc) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let heap = Allocator::<_, R>::new(FrameSource);
        let result = body(&heap);
        heap.check()?;
        heap.trim();
        let held = heap.statistics().bytes_held;
        if held > 0 {
            return Err(BenchError::LeftOver(held));
        }
        result
    }
}
