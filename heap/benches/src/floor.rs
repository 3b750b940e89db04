//! The floor: about the least that a heap can do.
//!
//! Free objects of a size class hang in a list whose links are in the objects themselves; what no list has comes from the
//! end of what was used so far. Nothing is checked, nothing is split or merged, and nothing is ever given to another
//! class. Behind the same lock as the others. No heap for use: a measure of what checks and tightness cost.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use spin::Mutex;

use crate::arena::Memory;

/// The smallest class, in bytes, as a logarithm.
const SMALLEST_LOG: usize = 4;
/// The classes of a doubling, as a logarithm.
const STEPS_LOG: usize = 2;
/// The largest class is a doubling below this, as a logarithm.
const LARGEST_LOG: usize = 31;
/// How many classes there are.
const CLASSES: usize = (LARGEST_LOG - SMALLEST_LOG) << STEPS_LOG;

/// A bare segregated free list behind a lock.
#[derive(Debug)]
pub struct Floor(Mutex<Lists>);

/// What the lock guards.
#[derive(Debug)]
struct Lists {
    /// The first free object of each class, or null.
    first: [*mut Link; CLASSES],
    /// The first byte that was never handed out.
    next: *mut u8,
    /// How many there are from there on.
    left: usize,
}

/// What is in a free object.
#[derive(Debug)]
struct Link {
    /// The next free object of the class, or null.
    next: *mut Link,
}

// SAFETY: the pointers lead to memory that belongs to these lists alone, whichever thread has them.
unsafe impl Send for Lists {}

impl Floor {
    /// Creates a heap that hands out `memory`.
    ///
    /// # Safety
    ///
    /// Nobody else uses the memory as long as this heap is used.
    #[must_use]
    pub unsafe fn new(memory: Memory) -> Self {
        Self(Mutex::new(Lists {
            first: [ptr::null_mut(); CLASSES],
            next: memory.start.as_ptr(),
            left: memory.size,
        }))
    }
}

/// Returns the number of the smallest class that `size` bytes fit into: four a doubling, from 16 on.
#[inline]
const fn class_of(size: usize) -> usize {
    if size <= 1 << SMALLEST_LOG {
        return 0;
    }
    let last = size - 1;
    let doubling = last.ilog2() as usize;
    let step = (last >> (doubling - STEPS_LOG)) & ((1 << STEPS_LOG) - 1);
    ((doubling - SMALLEST_LOG) << STEPS_LOG) + step + 1
}

/// Returns how many bytes objects of a class have.
#[inline]
const fn size_of_class(class: usize) -> usize {
    let doubling = (class >> STEPS_LOG) + SMALLEST_LOG;
    let step = class & ((1 << STEPS_LOG) - 1);
    (1 << doubling) + (step << (doubling - STEPS_LOG))
}

/// Returns the class of a layout. One of more alignment than the smallest class has gets a power of two.
#[inline]
const fn class_of_layout(layout: Layout) -> usize {
    if layout.align() <= 16 {
        return class_of(layout.size());
    }
    let size = if layout.size() > layout.align() {
        layout.size()
    } else {
        layout.align()
    };
    class_of(size.next_power_of_two())
}

impl Lists {
    /// Takes the first object of a list, or new memory.
    #[inline]
    fn take(&mut self, class: usize, align: usize) -> *mut u8 {
        let Some(first) = self.first.get_mut(class) else {
            return ptr::null_mut();
        };
        let Some(link) = NonNull::new(*first) else {
            return self.take_new(size_of_class(class), align);
        };
        // SAFETY: what hangs in a list is free, and begins with a link.
        *first = unsafe { link.as_ref() }.next;
        link.as_ptr().cast()
    }

    /// Takes memory that was never used.
    #[cold]
    fn take_new(&mut self, size: usize, align: usize) -> *mut u8 {
        // Steps of a class are multiples of 4 only below 64 bytes: all objects begin at a multiple of 16.
        let skipped = self.next.align_offset(align.max(16));
        let size = size.next_multiple_of(16);
        if self.left < skipped || self.left - skipped < size {
            return ptr::null_mut();
        }
        let object = self.next.wrapping_add(skipped);
        self.next = object.wrapping_add(size);
        self.left -= skipped + size;
        object
    }

    /// Puts an object into its list.
    #[inline]
    fn put(&mut self, object: *mut u8, class: usize) {
        let link: *mut Link = object.cast();
        // SAFETY: the object is dead, aligned to 16, and has at least 16 bytes.
        unsafe {
            link.write(Link {
                next: self.first[class],
            });
        };
        self.first[class] = link;
    }
}

// SAFETY: an object is in no list while it is live, and new memory is handed out once.
unsafe impl GlobalAlloc for Floor {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().take(class_of_layout(layout), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        self.0.lock().put(object, class_of_layout(layout));
    }

    /// Moves only into another class.
    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if class_of_layout(new_layout) == class_of_layout(layout) {
            return object;
        }
        // SAFETY: the size is not 0.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            let kept = layout.size().min(new_size);
            // SAFETY: both objects are live, have these bytes, and are two.
            unsafe { moved.copy_from_nonoverlapping(object, kept) };
            // SAFETY: the caller's promise.
            unsafe { self.dealloc(object, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, Floor, class_of, size_of_class};
    use crate::arena::Arena;
    use core::alloc::{GlobalAlloc, Layout};

    #[test]
    fn a_class_is_the_smallest_that_fits() {
        for size in 1..100_000 {
            let class = class_of(size);
            assert!(size <= size_of_class(class), "{size}");
            assert!(class == 0 || size > size_of_class(class - 1), "{size}");
        }
        assert_eq!(class_of(1 << 31), CLASSES);
    }

    #[test]
    fn what_is_freed_is_handed_out_again() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        // SAFETY: nobody else uses the arena.
        let heap = unsafe { Floor::new(arena.whole()) };
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: the layout is not empty.
        let first = unsafe { heap.alloc(layout) };
        // SAFETY: the same.
        let second = unsafe { heap.alloc(layout) };
        assert_eq!(second.addr() - first.addr(), 112);
        // SAFETY: it is live.
        unsafe { heap.dealloc(first, layout) };
        // SAFETY: the layout is not empty.
        assert_eq!(unsafe { heap.alloc(layout) }, first);
        let aligned = Layout::from_size_align(100, 4096).expect("a layout");
        // SAFETY: the layout is not empty.
        assert_eq!(unsafe { heap.alloc(aligned) }.addr() % 4096, 0);
        let large = Layout::from_size_align(2 << 20, 8).expect("a layout");
        // SAFETY: the layout is not empty.
        assert!(unsafe { heap.alloc(large) }.is_null());
    }
}
