//! Where memory comes from: the trait below every layer.
//!
//! A kernel implements [`MemorySource`] over its frame allocator, a host program over whatever it maps. The heap asks
//! for blocks of 256 KiB, and for regions where one object is larger than a block; it gives both back.

use core::ptr::NonNull;

/// A place that memory comes from and goes back to.
///
/// The heap calls it with its lock held, in a kernel therefore with interrupts masked, so an implementation must not
/// allocate from the heap it serves (that would deadlock), should not print, and should answer in a short, bounded time.
/// "No" is an answer: a source that runs out returns `None`, and the heap's caller gets null.
///
/// # Safety
///
/// 1. Memory handed out is valid for reads and writes, is not used by anybody else until it is released, and keeps
///    its address. Its contents may be anything.
/// 2. A block is [`BLOCK_SIZE`](crate::BLOCK_SIZE) bytes. It should be aligned to as much; the heap looks, and takes a
///    misaligned block, or one that overlaps what it holds, for a "no" (that memory is then lost, not touched).
/// 3. A region has at least the size and alignment asked for. A misaligned one, or one that begins or ends in what the
///    heap holds, is likewise taken for a "no".
/// 4. No method unwinds.
///
/// # Examples
///
/// A source over the host's allocator:
///
/// ```
/// use std::alloc::{GlobalAlloc, Layout, System};
/// use std::ptr::NonNull;
///
/// use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, PAGE_SIZE};
///
/// struct Host;
///
/// const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
///     Ok(layout) => layout,
///     Err(_) => panic!("a block is a valid layout"),
/// };
///
/// // SAFETY: `System` hands out memory that is valid, exclusive and aligned as asked.
/// unsafe impl MemorySource for Host {
///     fn get_block(&self) -> Option<NonNull<u8>> {
///         NonNull::new(unsafe { System.alloc(BLOCK) })
///     }
///     unsafe fn release_block(&self, block: NonNull<u8>) {
///         unsafe { System.dealloc(block.as_ptr(), BLOCK) }
///     }
/// }
///
/// let heap = Allocator::<Host>::new(Host);
/// let layout = Layout::new::<[u64; 4]>();
/// let chunk = unsafe { heap.alloc(layout) };
/// assert!(!chunk.is_null());
/// unsafe { heap.dealloc(chunk, layout) };
/// ```
pub unsafe trait MemorySource {
    /// Hands out a block: [`BLOCK_SIZE`](crate::BLOCK_SIZE) bytes aligned to as much. `None` when there is none.
    fn get_block(&self) -> Option<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` came from [`get_block`](Self::get_block) of this source, was not released since, and nobody uses it.
    unsafe fn release_block(&self, block: NonNull<u8>);

    /// Hands out `size` contiguous bytes aligned to `align`. `None` when there are not so many, and always in a
    /// source that knows only blocks: the heap then serves nothing larger than a block can hold.
    ///
    /// `size` is a positive multiple of [`PAGE_SIZE`](crate::PAGE_SIZE); `align` is a power of two and at least a page.
    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let _ = (size, align);
        None
    }

    /// Takes a region back.
    ///
    /// # Safety
    ///
    /// `region` came from [`get_region`](Self::get_region) of this source with this `size`, was not released since, and
    /// nobody uses it.
    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let _ = (region, size);
    }

    /// Returns the size in bytes of the largest region that [`get_region`](Self::get_region) would hand out now with
    /// page alignment; 0 in a source without regions. Asked for statistics alone, which count on it that a block can be
    /// had out of any region of two blocks' size.
    fn largest_region(&self) -> usize {
        0
    }
}
