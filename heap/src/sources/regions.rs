//! Fixed memory as a source: ranges that are added while the program runs.
//!
//! Owns the list of ranges, and which of them a request or an address is about. What a range is, and how it keeps its books,
//! is the business of `memory_range.rs`.

use core::cell::Cell;
use core::fmt;
use core::iter;
use core::ops::Range;
use core::ptr::NonNull;

use crate::memory_source::{MemorySource, Owns};
use crate::sources::memory_range::MemoryRange;
use crate::units::{BLOCK_SIZE, PAGE_SIZE, pages_for};

/// A source of fixed memory: any number of ranges, each anywhere and of any size from two pages on.
///
/// It starts empty. [`add`](Self::add) gives it memory, [`extend`](Self::extend) more behind a range. All of that is put to
/// use: as whole blocks, as parts of blocks where a range begins or ends between two of their multiples, and as regions
/// of any size and alignment. A region is had whenever there is room for it.
///
/// The books of a range are in its first page: one bit a page. They are all that is written to the memory before it is
/// handed out, and after it came back. One page is enough for 124 MiB, larger ranges spend one more for each further 124 MiB.
///
/// It is [`Send`] and not [`Sync`]: a heap calls it with its lock held.
///
/// Cost: a request is a walk over one word for each 256 KiB of memory. A release or resize looks at the ranges, and at
/// the words of what it changes.
///
/// # Examples
///
/// ```
/// use std::ptr::NonNull;
/// use stack_alloc::{MemorySource, PAGE_SIZE, Regions, TooSmall};
///
/// // 100 KiB that begin anywhere: too little for a block.
/// let memory: &mut [u8] = Box::leak(vec![0; 100 * 1024].into_boxed_slice());
/// let (start, size) = (NonNull::from(&mut *memory).cast(), memory.len());
///
/// let source = Regions::new();
/// // SAFETY: the memory was leaked, and nobody else knows of it.
/// unsafe { source.add(start, size)? };
/// assert!(source.get_block().is_none());
///
/// let region = source.get_region(5 * PAGE_SIZE, PAGE_SIZE).unwrap();
/// assert_eq!(source.free_bytes(), source.total_bytes() - 5 * PAGE_SIZE);
/// // SAFETY: it was just handed out with this size.
/// unsafe { source.release_region(region, 5 * PAGE_SIZE) };
/// # Ok::<(), TooSmall>(())
/// ```
pub struct Regions {
    /// The range added last; each leads to the one before it.
    last: Cell<Option<MemoryRange>>,
}

// SAFETY: its pointers lead to memory that was given to this source and to nobody else, so it may be used from any thread,
// one at a time: none of it is bound to a thread.
unsafe impl Send for Regions {}

impl Regions {
    /// Creates a source without memory.
    pub const fn new() -> Self {
        Self {
            last: Cell::new(None),
        }
    }

    /// Adds a range: `size` bytes at `start`, both of any value. What is not a whole page at its two ends is not used, except
    /// that [`extend`](Self::extend) may complete the last page.
    ///
    /// Ranges do not grow together, even if they touch. Cost: clears the books, a byte for each 32 KiB of the range.
    ///
    /// # Errors
    ///
    /// [`TooSmall`], with nothing written, when there is no whole page beside the books: two whole pages are always enough
    /// for a range of up to 124 MiB.
    ///
    /// # Safety
    ///
    /// The memory is valid for reads and writes through `start`, and for as long as the source, or anything that it has
    /// handed out, is in use, nobody else uses it.
    pub unsafe fn add(&self, start: NonNull<u8>, size: usize) -> Result<(), TooSmall> {
        // SAFETY: the caller's promise; what is handed out is the source's own use.
        let range = unsafe { MemoryRange::install(start, size) }.ok_or(TooSmall)?;
        self.push(range);
        Ok(())
    }

    /// Makes the range that ends at the address `end` longer by the `by` bytes right behind it. Ends are counted to the
    /// byte: what is less than a page adds up over several calls.
    ///
    /// The pages behind the seam and those before it are contiguous, and may be handed out as one region. But when the page
    /// of books that holds the bits of the range's last page is full, which is so 124 MiB from the start of a range that began
    /// with no more, further pages make a range with books of its own: a page is spent, and no region reaches across.
    ///
    /// Cost: the words of the new pages, 8 bytes for each 256 KiB.
    ///
    /// # Errors
    ///
    /// [`NoSuchEnd`], with nothing changed, when no range ends there.
    ///
    /// # Safety
    ///
    /// As for [`add`](Self::add); the pointer that the range was added with is the one that the new bytes, too, are valid
    /// through.
    pub unsafe fn extend(&self, end: usize, by: usize) -> Result<(), NoSuchEnd> {
        let range = self.ranges().find(|range| range.end() == end);
        // SAFETY: the caller's promise, about the bytes behind the end of this range.
        let next = unsafe { range.ok_or(NoSuchEnd)?.extend(by) };
        if let Some(next) = next {
            self.push(next);
        }
        Ok(())
    }

    /// Returns the bytes that can be handed out, whether they are now or not: whole pages without the books.
    /// Cost: the number of ranges.
    pub fn total_bytes(&self) -> usize {
        self.ranges().map(MemoryRange::pages).sum::<usize>() * PAGE_SIZE
    }

    /// Returns the bytes that are not handed out. Cost: the number of ranges.
    pub fn free_bytes(&self) -> usize {
        self.ranges().map(MemoryRange::free_pages).sum::<usize>() * PAGE_SIZE
    }

    /// Returns the addresses from the lowest range's first page to the highest range's end, or `None` without a range.
    /// Others' memory may lie between. Cost: the number of ranges.
    pub fn addresses(&self) -> Option<Range<usize>> {
        let start = self.ranges().map(MemoryRange::address).min()?;
        let end = self.ranges().map(MemoryRange::end).max()?;
        Some(start..end)
    }

    /// Puts `range` into the list.
    fn push(&self, range: MemoryRange) {
        range.next.set(self.last.replace(Some(range)));
    }

    /// Returns the ranges, the one added last first.
    fn ranges(&self) -> impl Iterator<Item = MemoryRange> + use<> {
        iter::successors(self.last.get(), |range| range.next.get())
    }

    /// Returns the range that `address` lies in.
    fn range_around(&self, address: usize) -> Option<MemoryRange> {
        self.ranges().find(|range| range.contains(address))
    }

    /// Takes back `size` bytes. Nothing changes when they were not handed out.
    fn release(&self, memory: NonNull<u8>, size: usize) {
        let address = memory.addr().get();
        let released = self
            .range_around(address)
            .is_some_and(|range| range.release(address, pages_for(size)));
        debug_assert!(released, "memory goes back once, and to where it came from");
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: 1. what is handed out was free, lies in memory that `add` or `extend` was given, and is not free until it comes
// back, and such memory stays where it is. 2. A block is a window with every page free, 64 pages. 3. and 4. parts and regions
// are as many pages as are taken for them. 5. Nothing is said to be zeroed. 6. Nothing here unwinds, but for a debug
// assertion that finds a caller's promise broken.
unsafe impl MemorySource for Regions {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.ranges().find_map(MemoryRange::get_block)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.release(block, BLOCK_SIZE);
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let least = pages_for(least);
        let (part, range) = self
            .ranges()
            .filter_map(|range| Some((range.find_part(least, is_usable)?, range)))
            .max_by_key(|(part, _)| (part.pages, part.is_apart))?;
        let start = range.get(part.first, part.pages)?;
        Some(NonNull::slice_from_raw_parts(start, part.pages * PAGE_SIZE))
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        self.release(part.cast(), part.len());
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (pages, align) = (pages_for(size), pages_for(align));
        self.ranges().find_map(|range| range.get_run(pages, align))
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        self.release(region, size);
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        let address = region.addr().get();
        self.range_around(address)
            .is_some_and(|range| range.resize(address, pages_for(size), pages_for(new_size)))
    }

    fn largest_region(&self) -> usize {
        let longest = self.ranges().map(MemoryRange::longest_run).max();
        longest.unwrap_or(0) * PAGE_SIZE
    }
}

// SAFETY: all memory handed out lies in one of the ranges, and the ranges are nobody else's memory.
unsafe impl Owns for Regions {
    fn owns(&self, address: usize) -> bool {
        self.range_around(address).is_some()
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions")
            .field("total_bytes", &self.total_bytes())
            .field("free_bytes", &self.free_bytes())
            .finish()
    }
}

/// The memory is too small for a range: not one whole page is left beside the books.
///
/// # Examples
///
/// ```
/// use std::ptr::NonNull;
/// use stack_alloc::{Regions, TooSmall};
///
/// let memory = NonNull::from(Box::leak(Box::new([0_u8; 4096])));
/// let source = Regions::new();
/// // SAFETY: the memory was leaked, and nobody else knows of it.
/// assert_eq!(unsafe { source.add(memory.cast(), 4096) }, Err(TooSmall));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

impl fmt::Display for TooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory has no whole page beside its books")
    }
}

impl core::error::Error for TooSmall {}

/// No range ends at the address given.
///
/// # Examples
///
/// ```
/// use stack_alloc::{NoSuchEnd, Regions};
///
/// let source = Regions::new();
/// // SAFETY: no byte is added.
/// assert_eq!(unsafe { source.extend(0x1_0000, 0) }, Err(NoSuchEnd));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchEnd;

impl fmt::Display for NoSuchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no range of memory ends at this address")
    }
}

impl core::error::Error for NoSuchEnd {}
