//! `frusa`: slabs of 64 with bitmaps. It brings its own locks, and wants an allocator of pages below.

use core::alloc::{GlobalAlloc, Layout};

use frusa::Frusa4K;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::floor::Floor;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "frusa",
    about: "frusa's Frusa4K, with its own locks, for up to 4 KiB; the floor below it for the rest",
    is_over_arena: true,
    make,
};

/// Pages from the floor.
struct Pages(Floor);

// SAFETY: that of the floor.
unsafe impl GlobalAlloc for Pages {
    /// Single pages are cleared: it takes one of them for its books, and counts on zeros there.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let pages = unsafe { self.0.alloc(layout) };
        if !pages.is_null() && layout.size() <= 4096 {
            // SAFETY: they were just handed out.
            unsafe { pages.write_bytes(0, layout.size()) };
        }
        pages
    }

    unsafe fn dealloc(&self, pages: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pages, layout) };
    }
}

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    // SAFETY: the caller's promise.
    let floor = unsafe { Floor::new(memory) };
    // It keeps a reference for good: a few hundred bytes are lost for each heap that is made.
    let pages: &'static Pages = Box::leak(Box::new(Pages(floor)));
    let heap = Called(Frusa4K::new(pages));
    // It makes its books at the first small request, and panics where there is no memory for them: so that comes first.
    let layout = Layout::new::<u64>();
    // SAFETY: it is not empty.
    let first = unsafe { heap.alloc(layout) };
    // SAFETY: it was just allocated.
    unsafe { heap.dealloc(first, layout) };
    Box::new(heap)
}
