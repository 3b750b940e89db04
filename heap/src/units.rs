//! The sizes that everything is counted in: pages and blocks.
//!
//! Owns the constants and the rounding between bytes and pages; knows no pointers.
#![forbid(unsafe_code)]

/// Bytes in a page: 4 KiB, the unit in which blocks are divided and regions are measured.
pub const PAGE_SIZE: usize = 4096;

/// Bytes in a block, and its alignment: 256 KiB, what a [`MemorySource`](crate::MemorySource) gives at a time.
pub const BLOCK_SIZE: usize = 256 * 1024;

/// Pages in a block: one bit each in a `u64`.
pub(crate) const PAGES_PER_BLOCK: usize = BLOCK_SIZE / PAGE_SIZE;

/// The longest run of pages that a block can hold: its first page is its header.
pub(crate) const LONGEST_RUN_PAGES: usize = PAGES_PER_BLOCK - 1;

/// Chunks in a stack: one bit each in a `u64`.
pub(crate) const CHUNKS_PER_STACK: usize = 64;

const _: () = assert!(
    PAGES_PER_BLOCK == 64,
    "a block's pages must fit the bits of a `u64`"
);
const _: () = assert!(usize::BITS == 64, "chunk division multiplies in 64 bits");

/// Returns how many pages `bytes` bytes need. `bytes` is a layout's size, so the rounding cannot overflow.
pub(crate) const fn pages_for(bytes: usize) -> usize {
    bytes.div_ceil(PAGE_SIZE)
}

/// Returns the address of the block that `address` would lie in.
pub(crate) const fn block_base(address: usize) -> usize {
    address & !(BLOCK_SIZE - 1)
}

/// Returns the number of the page of its block that `address` lies in, 0..=63.
pub(crate) const fn page_in_block(address: usize) -> usize {
    (address % BLOCK_SIZE) / PAGE_SIZE
}
