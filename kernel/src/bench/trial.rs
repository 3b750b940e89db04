//! A heap under test, and what lives in it: the operations that workloads are made of.
//!
//! Objects live in numbered slots. The table of them is in the kernel's heap, which is not the one under test.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use super::contestant;
use super::operation::Operation;
use super::recorder::Recorder;
use super::run::{BenchError, Scale};
use crate::random::Random;

/// Most objects that live at a time.
pub const MOST_LIVE: usize = 100_000;

/// The seed of every workload's random numbers.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A live object of the heap under test.
#[derive(Debug)]
struct Object {
    /// Where it is.
    start: NonNull<u8>,
    /// What it was asked for with.
    layout: Layout,
}

/// The table of live objects, kept from one trial to the next.
#[derive(Debug)]
pub struct Slots(Vec<Option<Object>>);

impl Slots {
    /// Makes room for [`MOST_LIVE`] objects.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`]
    pub fn new() -> Result<Self, BenchError> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(MOST_LIVE)?;
        slots.resize_with(MOST_LIVE, || None);
        Ok(Self(slots))
    }
}

/// A heap under test.
///
/// # Invariants
/// - What is in a slot is a live object of `heap`, allocated with its layout.
pub struct Trial<'a> {
    /// The heap. Called through a table of functions, so every heap has the same call, with nothing of it known beforehand.
    heap: &'a dyn GlobalAlloc,
    /// What lives.
    slots: &'a mut Slots,
    /// Where the numbers go.
    recorder: &'a mut Recorder,
    /// How much is to be done.
    scale: Scale,
    /// Random numbers, the same in every trial.
    pub random: Random,
    /// Operations are recorded.
    is_recording: bool,
}

impl<'a> Trial<'a> {
    /// Begins with an empty heap.
    pub fn new(
        heap: &'a dyn GlobalAlloc,
        slots: &'a mut Slots,
        recorder: &'a mut Recorder,
        scale: Scale,
    ) -> Self {
        Self {
            heap,
            slots,
            recorder,
            scale,
            random: Random::from_seed(SEED),
            is_recording: true,
        }
    }

    /// Returns how many of `full` things to do.
    #[must_use]
    pub fn scaled(&self, full: usize) -> usize {
        self.scale.of(full)
    }

    /// Lets `body` do what is not recorded.
    ///
    /// # Errors
    ///
    /// Those of `body`.
    pub fn unrecorded(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        self.is_recording = false;
        let result = body(self);
        self.is_recording = true;
        result
    }

    /// Lets `body` do what another CPU does.
    ///
    /// # Errors
    ///
    /// Those of `body`.
    pub fn on_another_cpu(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        contestant::play(1);
        let result = body(self);
        contestant::play(0);
        result
    }

    /// Allocates an object into an empty slot.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`]
    pub fn allocate(&mut self, slot: usize, layout: Layout) -> Result<(), BenchError> {
        debug_assert!(self.slots.0[slot].is_none() && layout.size() > 0);
        let heap = self.heap;
        // SAFETY: the size is not zero: workloads ask for some bytes.
        let allocate = || unsafe { heap.alloc(layout) };
        let pointer = self.run(Operation::Allocate, allocate);
        let start = NonNull::new(pointer).ok_or(BenchError::OutOfMemory)?;
        // INVARIANT: it was just allocated, with this layout.
        self.slots.0[slot] = Some(Object { start, layout });
        Ok(())
    }

    /// Frees the object in a slot; nothing where there is none.
    pub fn free(&mut self, slot: usize) {
        let (heap, taken) = (self.heap, self.slots.0[slot].take());
        if let Some(Object { start, layout }) = taken {
            // SAFETY: live and of this layout (invariant); out of its slot, so freed once.
            self.run(Operation::Free, || unsafe {
                heap.dealloc(start.as_ptr(), layout);
            });
        }
    }

    /// Gives the object in a slot another size, which is not zero; nothing where there is none.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`]; the object is as it was.
    pub fn reallocate(&mut self, slot: usize, size: usize) -> Result<(), BenchError> {
        let heap = self.heap;
        let Some(Object { start, layout }) = self.slots.0[slot].take() else {
            return Ok(());
        };
        let new_layout = layout_of(size, layout.align());
        // SAFETY: live and of this layout (invariant), and the new one is valid; workloads ask for some bytes.
        let reallocate = || unsafe { heap.realloc(start.as_ptr(), layout, size) };
        let pointer = self.run(Operation::Reallocate, reallocate);
        let moved = NonNull::new(pointer);
        // INVARIANT: a `realloc` that fails leaves the object as it was.
        self.slots.0[slot] = Some(moved.map_or(Object { start, layout }, |start| Object {
            start,
            layout: new_layout,
        }));
        moved.map(|_| ()).ok_or(BenchError::OutOfMemory)
    }

    /// Exchanges the objects of two slots.
    pub fn swap(&mut self, one: usize, other: usize) {
        self.slots.0.swap(one, other);
    }

    /// Frees whatever lives, unrecorded.
    pub fn free_all(&mut self) {
        self.is_recording = false;
        for slot in 0..self.slots.0.len() {
            self.free(slot);
        }
    }

    /// Runs an operation.
    #[inline(always)]
    fn run<T>(&mut self, operation: Operation, body: impl FnOnce() -> T) -> T {
        if self.is_recording {
            self.recorder.record(operation, body)
        } else {
            body()
        }
    }
}

/// Returns the layout of `size` bytes.
///
/// # Panics
///
/// If there is none: workloads ask for sensible ones.
#[must_use]
pub fn layout_of(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a workload's layouts are valid")
}

impl core::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Trial")
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}
