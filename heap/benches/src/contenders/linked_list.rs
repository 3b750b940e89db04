//! `linked_list_allocator`: one list of holes by address, behind a spin lock.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::contenders::spinning::{Spinning, Unlocked};
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "linked_list",
    about: "linked_list_allocator behind spin::Mutex",
    is_over_arena: true,
    make,
};

/// It.
struct LinkedList(linked_list_allocator::Heap);

// SAFETY: the crate's promise.
unsafe impl Unlocked for LinkedList {
    const REALLOCATES: bool = false;

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .allocate_first_fit(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what is live is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(pointer, layout) };
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    let heap = unsafe { linked_list_allocator::Heap::new(memory.start.as_ptr(), memory.size) };
    Box::new(Called(Spinning::new(LinkedList(heap))))
}
