//! `dlmalloc` behind a spin lock, with the arena for a system.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr;

use dlmalloc::{Allocator, Dlmalloc};

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::contenders::spinning::{Spinning, Unlocked};
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "dlmalloc",
    about: "dlmalloc behind spin::Mutex",
    is_over_arena: true,
    make,
};

/// A system that hands out an arena piece by piece, each right behind the one before, and takes nothing back.
struct Pieces {
    /// The first byte that was not handed out.
    next: Cell<*mut u8>,
    /// How many there are from there on.
    left: Cell<usize>,
}

// SAFETY: the memory belongs to it alone, whichever thread has it.
unsafe impl Send for Pieces {}

// SAFETY: every byte is handed out once.
unsafe impl Allocator for Pieces {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let Some(left) = self.left.get().checked_sub(size) else {
            return (ptr::null_mut(), 0, 0);
        };
        self.left.set(left);
        let piece = self.next.get();
        self.next.set(piece.wrapping_add(size));
        (piece, size, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        4096
    }
}

/// It.
struct OverPieces(Dlmalloc<Pieces>);

// SAFETY: the crate's promise.
unsafe impl Unlocked for OverPieces {
    const REALLOCATES: bool = true;

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.malloc(layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.free(pointer, layout.size(), layout.align()) };
    }

    #[inline]
    unsafe fn reallocate(&mut self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            self.0
                .realloc(pointer, layout.size(), layout.align(), new_size)
        }
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let pieces = Pieces {
        next: Cell::new(memory.start.as_ptr()),
        left: Cell::new(memory.size),
    };
    Box::new(Called(Spinning::new(OverPieces(
        Dlmalloc::new_with_allocator(pieces),
    ))))
}
