//! `buddy_system_allocator`: powers of two, behind a spin lock.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::contenders::spinning::{Spinning, Unlocked};
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "buddy",
    about: "buddy_system_allocator behind spin::Mutex",
    is_over_arena: true,
    make,
};

/// It, with pieces of up to 4 GiB.
struct Buddy(buddy_system_allocator::Heap<33>);

// SAFETY: the crate's promise.
unsafe impl Unlocked for Buddy {
    const REALLOCATES: bool = false;

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .alloc(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what is live is not null.
        let pointer = unsafe { NonNull::new_unchecked(pointer) };
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) };
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let mut heap = buddy_system_allocator::Heap::new();
    let start = memory.start.as_ptr().expose_provenance();
    // SAFETY: the caller's promise.
    unsafe { heap.init(start, memory.size) };
    Box::new(Called(Spinning::new(Buddy(heap))))
}
