//! The heaps that can be measured.

use alloc::vec::Vec;
use core::alloc::GlobalAlloc;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::RawMutex;
use stack_alloc::{CurrentCpu, ShardedAllocator};

use super::run::BenchError;
use crate::memory::heap_source::{FrameSource, ThisCpu};

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

/// A heap of the kernel's own kind: shards, the same sort of lock, and memory from where the kernel's has it.
#[derive(Clone, Copy, Debug)]
pub struct KernelHeap;

/// As many shards as CPUs are played. (Each makes the kernel's image longer, and what a BIOS reads of it takes its time.) The kernel's own
/// heap has more, and looks at each when a block leaves it.
const SHARDS: usize = 2;

/// The type of [`HEAP`](crate::memory::heap_source::HEAP), but for the kind of lock, the number of shards and who says which CPU it is.
type Heap<R> = ShardedAllocator<FrameSource, PlayedCpu, R, SHARDS>;

/// Says to a heap under test which CPU asks: whichever was named last. So one CPU plays several, one operation at a time, and each
/// is measured as exactly as any other. It takes as many instructions as to ask for the real one.
#[derive(Debug)]
enum PlayedCpu {}

/// The CPU that is played.
static PLAYED: AtomicUsize = AtomicUsize::new(0);

impl CurrentCpu for PlayedCpu {
    #[inline(always)]
    fn current_cpu() -> usize {
        PLAYED.load(Ordering::Relaxed)
    }

    fn may_wait() -> bool {
        ThisCpu::may_wait()
    }
}

/// Has what follows be that of CPU `cpu` for heaps under test.
pub(super) fn play(cpu: usize) {
    PLAYED.store(cpu, Ordering::Relaxed);
}

impl Contestant for KernelHeap {
    fn with_fresh<R: RawMutex>(
        &self,
        body: &mut dyn FnMut(&dyn GlobalAlloc) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut place = Vec::new();
        let heap = create::<R>(&mut place)?;
        let result = body(heap);
        heap.check()?;
        heap.trim();
        let held = heap.statistics().bytes_held;
        if held > 0 {
            return Err(BenchError::LeftOver(held));
        }
        result
    }
}

/// Creates a heap in memory that is reserved for it.
///
/// It is long for a call stack: 100 KiB. So it is made when the kernel is compiled, and copied from there to its place.
fn create<R: RawMutex>(place: &mut Vec<Heap<R>>) -> Result<&Heap<R>, BenchError> {
    place.try_reserve_exact(1)?;
    let place = place
        .spare_capacity_mut()
        .first_mut()
        .ok_or(BenchError::OutOfMemory)?;
    *place = const { MaybeUninit::new(Heap::<R>::new(FrameSource)) };
    // SAFETY: written in the line before.
    Ok(unsafe { place.assume_init_ref() })
}
