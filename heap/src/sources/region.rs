//! One piece of fixed memory as a source, for a `static`.

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;

use crate::memory_source::{MemorySource, Owns};
use crate::sources::regions::Regions;

/// A source of one piece of fixed memory, whose constructors are `const`.
///
/// It is a [`Regions`] that is given its memory at the first request, since a constant cannot write to it: see there for
/// what the memory is used for, for its least size (two whole pages), and for costs. Memory that is too small makes a source
/// that always says "no".
///
/// # Examples
///
/// ```
/// use core::alloc::{GlobalAlloc, Layout};
/// use stack_alloc::{Allocator, BLOCK_SIZE, Region};
///
/// let memory = Box::leak(Box::new_uninit_slice(3 * BLOCK_SIZE));
/// let heap = Allocator::<Region>::new(Region::from_static(memory));
///
/// let layout = Layout::new::<[u64; 100]>();
/// let object = unsafe { heap.alloc(layout) };
/// assert!(!object.is_null());
/// unsafe { heap.dealloc(object, layout) };
/// ```
#[derive(Debug)]
pub struct Region {
    /// The memory, until the first request.
    unused: Cell<Option<(NonNull<u8>, usize)>>,
    /// The memory, from then on.
    regions: Regions,
}

// SAFETY: its pointer leads to memory that was given to this source and to nobody else, so it may be used from any thread,
// one at a time: none of it is bound to a thread.
unsafe impl Send for Region {}

impl Region {
    /// Creates a source over `size` bytes at `start`, both of any value.
    ///
    /// # Safety
    ///
    /// The memory is valid for reads and writes through `start`, and for as long as the source, or anything that it has
    /// handed out, is in use, nobody else uses it.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use stack_alloc::Region;
    ///
    /// const SIZE: usize = 1 << 20;
    /// static mut MEMORY: [u8; SIZE] = [0; SIZE];
    ///
    /// thread_local! {
    ///     static SOURCE: Region = const {
    ///         let start = NonNull::new(&raw mut MEMORY).unwrap();
    ///         // SAFETY: nothing else names `MEMORY`, and no second thread of this program names `SOURCE`.
    ///         unsafe { Region::new(start.cast(), SIZE) }
    ///     };
    /// }
    /// SOURCE.with(|source| assert!(source.total_bytes() > SIZE - 3 * 4096));
    /// ```
    pub const unsafe fn new(start: NonNull<u8>, size: usize) -> Self {
        Self {
            unused: Cell::new(Some((start, size))),
            regions: Regions::new(),
        }
    }

    /// Creates a source over memory that is nobody else's for good.
    pub const fn from_static(memory: &'static mut [MaybeUninit<u8>]) -> Self {
        let size = memory.len();
        // SAFETY: a slice's pointer is not null.
        let start = unsafe { NonNull::new_unchecked(memory.as_mut_ptr()) };
        // SAFETY: the reference is the only way to the memory, is valid for ever, and is given up here.
        unsafe { Self::new(start.cast(), size) }
    }

    /// Returns the bytes that can be handed out, whether they are now or not: whole pages without the books.
    pub fn total_bytes(&self) -> usize {
        self.regions().total_bytes()
    }

    /// Returns the bytes that are not handed out.
    pub fn free_bytes(&self) -> usize {
        self.regions().free_bytes()
    }

    /// Returns the addresses from the first whole page to the end, or `None` when the memory is too small.
    pub fn addresses(&self) -> Option<Range<usize>> {
        self.regions().addresses()
    }

    /// Returns the source that does the work, with the memory given to it.
    fn regions(&self) -> &Regions {
        if let Some((start, size)) = self.unused.take() {
            // SAFETY: the promise made to `new`; the memory is given away once.
            let added = unsafe { self.regions.add(start, size) };
            // Too small is no error here: the source then has nothing to give.
            let _ = added;
        }
        &self.regions
    }
}

// SAFETY: everything is handed out and taken back by `regions`, which keeps these promises.
unsafe impl MemorySource for Region {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.regions().get_block()
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise; it came from there.
        unsafe { self.regions().release_block(block) };
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        self.regions().get_part(least, is_usable)
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        // SAFETY: the caller's promise; it came from there.
        unsafe { self.regions().release_part(part) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        self.regions().get_region(size, align)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise; it came from there.
        unsafe { self.regions().release_region(region, size) };
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        // SAFETY: the caller's promise; it came from there.
        unsafe { self.regions().resize_region(region, size, new_size) }
    }

    fn largest_region(&self) -> usize {
        self.regions().largest_region()
    }
}

// SAFETY: as for `regions`, which has all of the memory.
unsafe impl Owns for Region {
    fn owns(&self, address: usize) -> bool {
        self.regions().owns(address)
    }
}
