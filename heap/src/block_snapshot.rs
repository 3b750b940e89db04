//! A block as a picture: what each of its pages is used for, and how full it is.
//!
//! Owns the words alone, for whoever draws a heap; [`crate::locate`] finds out which of them are right.
#![forbid(unsafe_code)]

use crate::units::{BLOCK_SIZE, PAGE_SIZE, PAGES_PER_BLOCK};

/// What a page of a block is used for, as of the moment of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageState {
    /// It is not there: only part of a block is the heap's.
    Absent,
    /// The block's header, the heap's own; in a sharded heap two pages.
    Header,
    /// Nobody has it.
    Free,
    /// Records of regions, the heap's own.
    Records,
    /// One of the pages of a run that carries stacks of chunks.
    Chunks {
        /// Bytes of a chunk.
        chunk_size: usize,
        /// Chunks of the run that are taken.
        used: usize,
        /// Chunks of the run.
        total: usize,
        /// Bytes of this page, 0 to 4096, in chunks that are taken.
        bytes_used: usize,
        /// It is the first page of the run.
        is_first: bool,
    },
    /// One of the pages of a run that is one allocation.
    Run {
        /// Pages of the run.
        pages: usize,
        /// It is the first of them.
        is_first: bool,
    },
}

impl PageState {
    /// Returns how many bytes of the page, 0 to 4096, are in use: in chunks or runs that were handed out, or the heap's own.
    #[must_use]
    pub const fn bytes_used(self) -> usize {
        match self {
            Self::Absent | Self::Free => 0,
            Self::Header | Self::Records | Self::Run { .. } => PAGE_SIZE,
            Self::Chunks { bytes_used, .. } => bytes_used,
        }
    }
}

/// A block, 256 KiB, and what its 64 pages are used for, as of the moment of asking.
///
/// # Examples
///
/// ```
/// use std::alloc::{GlobalAlloc, Layout};
/// # use std::ptr::NonNull;
/// # use stack_alloc::{BLOCK_SIZE, MemorySource};
/// # struct Host;
/// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
/// # unsafe impl MemorySource for Host {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { std::alloc::alloc(block()) }) }
/// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { std::alloc::dealloc(b.as_ptr(), block()) } }
/// # }
/// use stack_alloc::{Allocator, PageState};
///
/// let heap = Allocator::<Host>::new(Host);
/// // SAFETY: the size is not zero.
/// let pointer = unsafe { heap.alloc(Layout::new::<[u64; 6]>()) };
/// let block = heap.blocks().next().unwrap();
/// assert_eq!(block.pages[0], PageState::Header);
/// let PageState::Chunks { chunk_size: 48, used: 1, bytes_used: 48, .. } = block.page_of(pointer.addr()).unwrap() else {
///     panic!("a chunk of 48 bytes is there")
/// };
/// assert_eq!(block.pages[63], PageState::Free);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockSnapshot {
    /// Address of its first byte: a multiple of 256 KiB. Of a part of a block, that of the block.
    pub address: usize,
    /// It is held back: see [`Allocator::set_reserve`](crate::Allocator::set_reserve).
    pub is_reserved: bool,
    /// What its pages are used for, the lowest first.
    pub pages: [PageState; PAGES_PER_BLOCK],
}

impl BlockSnapshot {
    /// Returns what the page with `address` is used for; `None` where that is not in the block.
    #[must_use]
    pub const fn page_of(&self, address: usize) -> Option<PageState> {
        match address.checked_sub(self.address) {
            Some(offset) if offset < BLOCK_SIZE => Some(self.pages[offset / PAGE_SIZE]),
            _ => None,
        }
    }
}
