//! `rlsf`: two-level segregated fit, behind a spin lock.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use rlsf::Tlsf;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::contenders::spinning::{Spinning, Unlocked};
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "rlsf",
    about: "rlsf's Tlsf behind spin::Mutex",
    is_over_arena: true,
    make,
};

/// Doublings of its first level: 2³¹ bytes at most. Its second level has 32 steps in each.
const DOUBLINGS: usize = 26;
/// Steps of a doubling.
const STEPS: usize = 32;

/// It.
struct Rlsf(Tlsf<'static, u32, u32, DOUBLINGS, STEPS>);

// SAFETY: the crate's promise.
unsafe impl Unlocked for Rlsf {
    const REALLOCATES: bool = true;

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .allocate(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what is live is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(pointer, layout.align()) };
    }

    #[inline]
    unsafe fn reallocate(&mut self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: what is live is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller's promise.
        let layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the caller's promise.
        let resized = unsafe { self.0.reallocate(pointer, layout) };
        resized.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let mut heap = Tlsf::new();
    let block = NonNull::slice_from_raw_parts(memory.start, memory.size);
    // SAFETY: the caller's promise.
    let used = unsafe { heap.insert_free_block_ptr(block) };
    assert!(used.is_some(), "the memory is large enough for a block");
    Box::new(Called(Spinning::new(Rlsf(heap))))
}
