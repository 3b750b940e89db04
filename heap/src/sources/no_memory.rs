//! The source that has nothing.

use core::ptr::NonNull;

use crate::memory_source::{MemorySource, Owns};

/// A source that always says "no".
///
/// A heap over it serves nothing; next to another source in a [`Fallback`](crate::Fallback) it changes nothing.
/// Cost: none.
///
/// # Examples
///
/// ```
/// use core::alloc::{GlobalAlloc, Layout};
/// use stack_alloc::{Allocator, NoMemory};
///
/// let heap = Allocator::<NoMemory>::new(NoMemory);
/// let object = unsafe { heap.alloc(Layout::new::<u64>()) };
/// assert!(object.is_null());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoMemory;

// SAFETY: it hands nothing out.
unsafe impl MemorySource for NoMemory {
    fn get_block(&self) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn release_block(&self, _block: NonNull<u8>) {
        debug_assert!(false, "no block came from here");
    }
}

// SAFETY: it has no memory, so no address is that of a byte of it.
unsafe impl Owns for NoMemory {
    fn owns(&self, _address: usize) -> bool {
        false
    }
}
