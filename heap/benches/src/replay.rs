//! Asks a heap what a stream says.
//!
//! The first byte of every new object is written, as a program would: so a heap that keeps its own words in free objects
//! and one that does not both see the object's cache line go to its user.

use core::alloc::GlobalAlloc;
use core::fmt;

use crate::latency::clock::Clock;
use crate::operation::{Kind, Operation, Stream};

/// A request that was answered with null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Which operation, counted from 0.
    pub operation: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory for operation {}", self.operation)
    }
}

impl core::error::Error for OutOfMemory {}

/// Where a stream's objects are.
#[derive(Debug)]
pub struct Objects(Vec<*mut u8>);

// SAFETY: these are addresses; what may be done with them is promised where it is done.
unsafe impl Send for Objects {}

impl Objects {
    /// Makes room for the objects of `stream`, none of which is live.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        Self(vec![core::ptr::null_mut(); stream.slots])
    }

    /// Does one operation. Returns whether there was memory for it; if not, nothing has changed.
    ///
    /// # Panics
    ///
    /// If the operation is not one of the stream that this was made for.
    ///
    /// # Safety
    ///
    /// The operations of one stream are done in order on one heap, each once, up to the first that had no memory.
    #[inline(always)]
    pub unsafe fn step<H: GlobalAlloc + ?Sized>(&mut self, heap: &H, operation: Operation) -> bool {
        let object = &mut self.0[operation.slot()];
        let layout = operation.layout();
        let pointer = match operation.kind() {
            Kind::Free => {
                // SAFETY: the stream is consistent, and was done in order: the object lives, and has this layout.
                unsafe { heap.dealloc(*object, layout) };
                return true;
            }
            // SAFETY: objects of a stream have a size.
            Kind::Allocate => unsafe { heap.alloc(layout) },
            // SAFETY: the same.
            Kind::AllocateZeroed => unsafe { heap.alloc_zeroed(layout) },
            // SAFETY: as for `Free`, and the new size is not 0.
            Kind::Reallocate => unsafe { heap.realloc(*object, layout, operation.size()) },
        };
        keep(pointer, object)
    }

    /// The same. Returns, too, how many ticks of the clock the heap took.
    ///
    /// # Panics
    ///
    /// As [`step`](Self::step).
    ///
    /// # Safety
    ///
    /// As for [`step`](Self::step).
    #[inline(always)]
    pub unsafe fn timed_step<H: GlobalAlloc>(
        &mut self,
        heap: &H,
        operation: Operation,
        clock: Clock,
    ) -> (bool, u32) {
        let object = &mut self.0[operation.slot()];
        let (layout, size) = (operation.layout(), operation.size());
        // The clock is inside of the branches: one that is guessed wrong is none of the heap's.
        let (pointer, ticks) = match operation.kind() {
            Kind::Free => {
                // SAFETY: as in `step`.
                let ((), ticks) = clock.time(|| unsafe { heap.dealloc(*object, layout) });
                return (true, ticks);
            }
            // SAFETY: objects of a stream have a size.
            Kind::Allocate => clock.time(|| unsafe { heap.alloc(layout) }),
            // SAFETY: the same.
            Kind::AllocateZeroed => clock.time(|| unsafe { heap.alloc_zeroed(layout) }),
            // SAFETY: as for `Free`, and the new size is not 0.
            Kind::Reallocate => clock.time(|| unsafe { heap.realloc(*object, layout, size) }),
        };
        (keep(pointer, object), ticks)
    }
}

/// Keeps where an object is now, and writes its first byte. Returns whether there was memory for it.
#[inline(always)]
fn keep(pointer: *mut u8, object: &mut *mut u8) -> bool {
    if pointer.is_null() {
        return false;
    }
    // SAFETY: the object is live and has a byte.
    unsafe { pointer.write(1) };
    *object = pointer;
    true
}

/// Does `operations`, the next ones of the stream that `objects` was made for.
///
/// # Errors
///
/// The first that the heap had no memory for. Nothing behind it was done.
///
/// # Safety
///
/// As for [`Objects::step`].
#[inline]
pub unsafe fn replay<H: GlobalAlloc + ?Sized>(
    heap: &H,
    operations: &[Operation],
    objects: &mut Objects,
) -> Result<(), OutOfMemory> {
    for (number, operation) in operations.iter().enumerate() {
        // SAFETY: the caller's promise.
        if !unsafe { objects.step(heap, *operation) } {
            return Err(OutOfMemory { operation: number });
        }
    }
    Ok(())
}

/// Does all of `stream` on a heap: setup, body and teardown.
///
/// # Errors
///
/// When there is not enough memory. What was allocated until then is lost.
#[inline]
pub fn replay_whole<H: GlobalAlloc>(heap: &H, stream: &Stream) -> Result<(), OutOfMemory> {
    let mut objects = Objects::of(stream);
    for operations in [&stream.setup, &stream.body, &stream.teardown] {
        // SAFETY: the parts in order are the stream.
        unsafe { replay(heap, operations, &mut objects) }?;
    }
    Ok(())
}
