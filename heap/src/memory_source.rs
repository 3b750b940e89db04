//! Where memory comes from: the trait below every layer.
//!
//! A kernel implements [`MemorySource`] over its frame allocator, a host program over whatever it maps. The heap asks
//! for blocks of 256 KiB, for parts of blocks where no whole one is left, and for regions where one object is larger
//! than a block; it gives all of them back. Two of the methods have to be written; the others have a default that says
//! "I cannot".
//!
//! Ready-made sources: [`Region`](crate::Region), [`Regions`](crate::Regions), [`NoMemory`](crate::NoMemory) and
//! [`Fallback`](crate::Fallback).

use core::ptr::NonNull;

/// A place that memory comes from and goes back to.
///
/// The heap calls it with its lock held, in a kernel therefore with interrupts masked and from one context at a time (so
/// a source need not be [`Sync`]). An implementation must not allocate from the heap it serves (that would deadlock),
/// should not print, and should answer in a short, bounded time. "No" is an answer: a source that runs out returns
/// `None`, and the heap's caller gets null.
///
/// The heap looks at what it gets before it touches it (of a region, at its first and last 256 KiB). Memory that is
/// misaligned, or overlaps what the heap holds, is
/// taken for a "no" and told to the misuse handler; it is lost. A request asks a source at most a few times (in a heap
/// with shards, a few times for each), so one that says "yes" and gives nothing of use ends in null, not in a loop.
///
/// # Safety
///
/// 1. Memory handed out is valid for reads and writes, is not used by anybody else until it is released, and keeps
///    its address. Its contents may be anything.
/// 2. A block is [`BLOCK_SIZE`](crate::BLOCK_SIZE) bytes.
/// 3. A part is as long as it says.
/// 4. A region has the size asked for, and after [`resize_region`](Self::resize_region) answered `true` the new one.
/// 5. Where [`is_zeroed`](Self::is_zeroed) answers `true`, every byte of the memory is 0.
/// 6. No method unwinds.
///
/// # Examples
///
/// A source over the host's allocator. It knows blocks alone: what does not fit one is answered with null.
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

    /// Hands out a part of a block, after [`get_block`](Self::get_block) said "no": at least `least` and less than
    /// [`BLOCK_SIZE`](crate::BLOCK_SIZE) bytes that lie between two neighbouring multiples of it. Start and length are
    /// multiples of [`PAGE_SIZE`](crate::PAGE_SIZE). The longer the better: the first page is the heap's header.
    ///
    /// `least` is a positive multiple of a page. `is_usable` says of an address whether the heap has use for a part there: not
    /// where it holds another part between the same two multiples. A part that it has no use for goes back at once.
    ///
    /// With parts, a heap of 100 KiB is of use, and so are the ends of memory
    /// that begins or ends at no multiple of a block. The default answers `None`.
    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let _ = (least, is_usable);
        None
    }

    /// Takes a part back.
    ///
    /// # Safety
    ///
    /// `part` came from [`get_part`](Self::get_part) of this source, was not released since, and nobody uses it.
    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        let _ = part;
    }

    /// Hands out `size` contiguous bytes aligned to `align`. `None` when there are not so many, and always in a
    /// source that knows only blocks: the heap then serves nothing larger than a block can hold.
    ///
    /// `size` is a positive multiple of [`PAGE_SIZE`](crate::PAGE_SIZE); `align` is a power of two and at least a page.
    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let _ = (size, align);
        None
    }

    /// Takes a region back. The alignment that it was asked for with is not said: a source that has to know writes it down.
    ///
    /// # Safety
    ///
    /// `region` came from [`get_region`](Self::get_region) of this source, was not released since, `size` is its size
    /// now, and nobody uses it.
    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let _ = (region, size);
    }

    /// Makes a region `new_size` bytes long where it stands: takes the memory behind it in, or its tail back. `false`,
    /// with nothing changed, when that cannot be, and always in a source that does not know how.
    ///
    /// `new_size` is a positive multiple of [`PAGE_SIZE`](crate::PAGE_SIZE) and not `size`. What is taken in may hold
    /// anything. A part may be given too, to grow inside its window of 256 KiB.
    ///
    /// # Safety
    ///
    /// `region` came from [`get_region`](Self::get_region) or [`get_part`](Self::get_part) of this source, was not released
    /// since, `size` is its size now, and nobody uses what lies behind `new_size`.
    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        let _ = (region, size, new_size);
        false
    }

    /// Returns whether every byte of `memory`, the block, part or region handed out last, is 0: then the heap need not
    /// clear it for `alloc_zeroed`. Asked at once after it was handed out. The default knows nothing: `false`.
    fn is_zeroed(&self, memory: NonNull<u8>) -> bool {
        let _ = memory;
        false
    }

    /// Returns the size in bytes of the largest region that [`get_region`](Self::get_region) would hand out now with
    /// page alignment; 0 in a source without regions. Asked for statistics alone, which count on it that a block can be
    /// had out of any region of two blocks' size.
    fn largest_region(&self) -> usize {
        0
    }
}

/// A source that knows its own memory: what [`Fallback`](crate::Fallback) asks, to give memory back to where it
/// came from.
///
/// # Safety
///
/// `owns` answers `true` for every address of memory that this source has handed out and not got back, and `false` for
/// every address of another source's.
pub unsafe trait Owns: MemorySource {
    /// Returns whether `address` is that of a byte of this source's memory.
    fn owns(&self, address: usize) -> bool;
}
