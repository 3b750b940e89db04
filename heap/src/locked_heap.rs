//! The drop-in: a heap over fixed memory, with the names that kernels call already.
//!
//! Owns the names; all else is the [`Allocator`] over [`Regions`] underneath, and can be reached by dereferencing.
//!
//! A kernel that was written for `linked_list_allocator` 0.9 or 0.10 changes the dependency and the `use` line. `init`
//! takes the start as an address too, as in earlier versions.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::callbacks::report;
use crate::global_allocator::Allocator;
use crate::heap::AllocError;
use crate::lock::Entered;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::sources::Regions;
use crate::statistics::Statistics;

/// A heap over fixed memory, behind a lock of kind `R`: `linked_list_allocator`'s `LockedHeap`, and all of [`Allocator`].
///
/// It starts empty. [`init`](HeapGuard::init) gives it memory, of any size from two pages (8 KiB) on and beginning anywhere;
/// [`extend`](HeapGuard::extend) and [`add_region`](HeapGuard::add_region) give it more. Of that, it spends one page for its
/// books and one for each 256 KiB in use: of 100 KiB, about 90 can be handed out.
///
/// Costs are those of `Allocator`, and for new blocks and regions that of [`Regions`]: a step for each 16 MiB, and for regions a
/// walk over one word for each 256 KiB. It is a value of about 25 KiB: a thing for a `static`.
///
/// # Examples
///
/// ```
/// use stack_alloc::LockedHeap;
///
/// #[global_allocator]
/// static ALLOCATOR: LockedHeap = LockedHeap::empty();
///
/// # #[repr(align(4096))]
/// # struct Memory(std::cell::UnsafeCell<[u8; 1 << 20]>);
/// # unsafe impl Sync for Memory {}
/// # static MEMORY: Memory = Memory(std::cell::UnsafeCell::new([0; 1 << 20]));
/// fn init_heap() {
///     let (start, size) = heap_memory();
///     // SAFETY: the memory is valid for good, and nobody else uses it.
///     unsafe { ALLOCATOR.lock().init(start, size) };
/// }
/// # fn heap_memory() -> (*mut u8, usize) { (MEMORY.0.get().cast(), 1 << 20) }
/// # // The heap has to be there before the host's runtime allocates, which no `main` is early enough for.
/// # #[used]
/// # #[unsafe(link_section = ".init_array")]
/// # static INIT: fn() = init_heap;
///
/// # fn main() {
/// let numbers: Vec<u32> = (0..100).collect();
/// assert!(ALLOCATOR.lock().used() >= 400);
/// # drop(numbers);
/// # ALLOCATOR.check().unwrap();
/// # }
/// ```
pub struct LockedHeap<R = spin::Mutex<()>> {
    /// The heap underneath.
    heap: Allocator<Regions, R>,
}

impl<R: RawMutex> LockedHeap<R> {
    /// Creates a heap without memory: every request is answered with null until [`init`](HeapGuard::init).
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            heap: Allocator::new(Regions::new()),
        }
    }

    /// Creates a heap with the `size` bytes at `start`.
    ///
    /// # Safety
    ///
    /// As for [`HeapGuard::init`].
    pub unsafe fn new(start: impl HeapStart, size: usize) -> Self {
        let heap = Self::empty();
        // SAFETY: the caller's promise.
        unsafe { heap.lock().init(start, size) };
        heap
    }

    /// Waits for the lock. While the guard lives, nobody can allocate, not even whoever holds it.
    pub fn lock(&self) -> HeapGuard<'_, R> {
        let (entered, regions) = self.heap.enter();
        HeapGuard::new(entered, regions)
    }

    /// Takes the lock, if nobody holds it.
    pub fn try_lock(&self) -> Option<HeapGuard<'_, R>> {
        let (entered, regions) = self.heap.try_enter()?;
        Some(HeapGuard::new(entered, regions))
    }
}

impl<R> Deref for LockedHeap<R> {
    type Target = Allocator<Regions, R>;

    fn deref(&self) -> &Self::Target {
        &self.heap
    }
}

// SAFETY: that of `Allocator`, which does all of it.
unsafe impl<R: RawMutex> GlobalAlloc for LockedHeap<R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.heap.dealloc(pointer, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.heap.realloc(pointer, layout, new_size) }
    }
}

impl<R> fmt::Debug for LockedHeap<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedHeap").finish_non_exhaustive()
    }
}

/// Where a heap's memory begins: a `*mut u8`, or an address as a `usize`.
///
/// An address must be that of memory whose provenance was exposed, which memory that the program mapped itself counts as.
pub trait HeapStart: sealed::Sealed {
    /// Returns the start as a pointer.
    fn into_pointer(self) -> *mut u8;
}

/// Keeps [`HeapStart`] to the two types that it is meant for.
mod sealed {
    /// See the module.
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for *mut u8 {}
}

impl HeapStart for usize {
    fn into_pointer(self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self)
    }
}

impl HeapStart for *mut u8 {
    fn into_pointer(self) -> *mut u8 {
        self
    }
}

/// A [`LockedHeap`] with its lock held.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use stack_alloc::LockedHeap;
///
/// let memory: &'static mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(100 * 1024));
/// let heap = LockedHeap::<spin::Mutex<()>>::empty();
/// let mut guard = heap.lock();
/// guard.init_from_slice(memory);
///
/// let layout = Layout::new::<[u64; 4]>();
/// let object = guard.allocate_first_fit(layout).unwrap();
/// assert_eq!(guard.used(), 32);
/// // SAFETY: it was just allocated with this layout, and nobody uses it.
/// unsafe { guard.deallocate(object, layout) };
/// assert_eq!(guard.free(), guard.size());
/// ```
pub struct HeapGuard<'a, R: RawMutex> {
    /// The lock, and what it guards.
    entered: Entered<'a, R>,
    /// The heap's memory.
    regions: &'a Regions,
    /// What to say when the lock is gone: fields are dropped in this order.
    report: Report,
}

/// A misuse that is reported when it is dropped.
struct Report {
    /// Whom to tell.
    handler: fn(Misuse),
    /// The first one, if there was any.
    misuse: Option<Misuse>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(misuse) = self.misuse {
            report(self.handler, misuse);
        }
    }
}

impl<'a, R: RawMutex> HeapGuard<'a, R> {
    /// Creates the guard of a lock that was taken.
    fn new(entered: Entered<'a, R>, regions: &'a Regions) -> Self {
        let report = Report {
            handler: entered.on_misuse,
            misuse: None,
        };
        Self {
            entered,
            regions,
            report,
        }
    }

    /// Gives the heap its memory: the `size` bytes at `start`. Of two pages or less nothing can be handed out.
    ///
    /// # Safety
    ///
    /// The memory is valid for reads and writes as long as the heap, or anything that it has handed out, is in use, and
    /// nobody else uses it.
    pub unsafe fn init(&mut self, start: impl HeapStart, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.add_region(start, size) };
    }

    /// Gives the heap its memory: a slice that is its own for good.
    pub fn init_from_slice(&mut self, memory: &'static mut [MaybeUninit<u8>]) {
        let size = memory.len();
        // SAFETY: the slice is valid for good, and nobody else can use it.
        unsafe { self.init(memory.as_mut_ptr().cast::<u8>(), size) };
    }

    /// Gives the heap one more piece of memory, anywhere: the `size` bytes at `start`. Of two pages or less nothing can be
    /// handed out.
    ///
    /// # Safety
    ///
    /// As for [`init`](Self::init).
    pub unsafe fn add_region(&mut self, start: impl HeapStart, size: usize) {
        if let Some(start) = NonNull::new(start.into_pointer()) {
            // A range that is too small for its own books is of no use, and does no harm.
            // SAFETY: the caller's promise.
            let _ = unsafe { self.regions.add(start, size) };
        }
    }

    /// Makes the memory that reaches highest longer by the `by` bytes behind it. What is less than a page adds up over
    /// several calls.
    ///
    /// # Safety
    ///
    /// The memory behind the top is as [`init`](Self::init) asks for, and valid through the same pointer.
    pub unsafe fn extend(&mut self, by: usize) {
        let Some(addresses) = self.regions.addresses() else {
            return;
        };
        // SAFETY: the caller's promise.
        if unsafe { self.regions.extend(addresses.end, by) }.is_ok() {
            // The pages behind a part that is in use belong to it, or its window's header could not serve them.
            let last_page = (addresses.end / crate::PAGE_SIZE).saturating_sub(1) * crate::PAGE_SIZE;
            self.entered
                .chain
                .holdings
                .grow_part(last_page, self.regions);
        }
    }

    /// Allocates. (There is no first fit: the name is the one that callers use.)
    ///
    /// # Errors
    ///
    /// [`AllocError`] when the heap is out of memory.
    pub fn allocate_first_fit(&mut self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let memory = self.entered.chain.allocate_quickly(layout, self.regions);
        if memory.is_none() {
            self.entered.chain.totals.count_failure();
        }
        memory.map(|memory| memory.start).ok_or(AllocError)
    }

    /// Gives an object back. A wrong one is reported to the misuse handler when the guard is dropped and the lock is free;
    /// of several, the first.
    ///
    /// # Safety
    ///
    /// `object` came from this heap with `layout`, and nobody uses it any more.
    pub unsafe fn deallocate(&mut self, object: NonNull<u8>, layout: Layout) {
        let result =
            self.entered
                .chain
                .deallocate_quickly(object.addr().get(), layout, self.regions);
        if let Err(misuse) = result {
            self.report.misuse.get_or_insert(misuse);
        }
    }

    /// Returns the heap's numbers. Cost: constant.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.entered.chain, self.regions.largest_region())
    }

    /// Returns the bytes in live objects: those of their chunks, runs and regions.
    #[must_use]
    pub fn used(&self) -> usize {
        self.statistics().bytes_used
    }

    /// Returns the bytes that are in no live object. Headers and tails are among them, so not all of it can be handed out.
    #[must_use]
    pub fn free(&self) -> usize {
        self.size() - self.used()
    }

    /// Returns the bytes that the heap can use: the whole pages of its memory without the books.
    #[must_use]
    pub fn size(&self) -> usize {
        self.regions.total_bytes()
    }

    /// Returns the lowest address of the heap's memory, null if it has none.
    #[must_use]
    pub fn bottom(&self) -> *mut u8 {
        let addresses = self.regions.addresses();
        ptr::without_provenance_mut(addresses.map_or(0, |addresses| addresses.start))
    }

    /// Returns the address one past the highest byte of the heap's memory, null if it has none.
    #[must_use]
    pub fn top(&self) -> *mut u8 {
        let addresses = self.regions.addresses();
        ptr::without_provenance_mut(addresses.map_or(0, |addresses| addresses.end))
    }
}

impl<R: RawMutex> fmt::Debug for HeapGuard<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapGuard").finish_non_exhaustive()
    }
}
