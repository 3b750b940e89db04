//! The other heap that this one is compared with.
#![allow(dead_code, reason = "each test file uses a part of it")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use std::alloc::System;
use std::sync::Mutex;

use stack_alloc::BLOCK_SIZE;

/// `linked_list_allocator` over an arena of its own.
pub(crate) struct Oracle {
    heap: Mutex<linked_list_allocator::Heap>,
    arena: NonNull<u8>,
    layout: Layout,
}

impl Oracle {
    /// Creates an oracle with `size` bytes of memory.
    pub(crate) fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, BLOCK_SIZE).expect("a valid layout");
        // SAFETY: the layout is not empty.
        let arena = NonNull::new(unsafe { System.alloc(layout) }).expect("the host has memory");
        // SAFETY: the arena is valid, and the oracle's alone until it is dropped.
        let heap = unsafe { linked_list_allocator::Heap::new(arena.as_ptr(), size) };
        Self {
            heap: Mutex::new(heap),
            arena,
            layout,
        }
    }

    /// Returns the bytes of its memory.
    pub(crate) const fn size(&self) -> usize {
        self.layout.size()
    }

    /// Returns the bytes that are in use, what it loses to rounding among them.
    pub(crate) fn used(&self) -> usize {
        self.heap.lock().expect("no test failed").used()
    }
}

// SAFETY: the oracle hands out memory of its arena that is valid, exclusive and aligned.
unsafe impl GlobalAlloc for Oracle {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let memory = self
            .heap
            .lock()
            .expect("no test failed")
            .allocate_first_fit(layout);
        memory.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let pointer = NonNull::new(pointer).expect("objects are not null");
        let mut heap = self.heap.lock().expect("no test failed");
        // SAFETY: the caller's promise.
        unsafe { heap.deallocate(pointer, layout) };
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // SAFETY: the arena came from `System` with this layout, and nobody uses the oracle any more.
        unsafe { System.dealloc(self.arena.as_ptr(), self.layout) };
    }
}
