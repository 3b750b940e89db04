//! What shards know of each other's blocks: the record in a block's first pages.
//!
//! Owns who a block belongs to, and its [tree of what others gave back](crate::sharded::remote_frees). A shard's chain gets the rest of
//! the block, as a part of a block, and keeps its own header there:
//!
//! ```text
//! ┌──────────────────────┬────────────────────┬─ ─────────────── ─┐
//! │ page 0: the record   │ page 1: the header │ page 2 …          │
//! │ others write here    │ the owner writes   │ the user's        │
//! └──────────────────────┴────────────────────┴─ ─────────────── ─┘
//! ```
//!
//! So what others write and what the owner writes are apart by a page, and a heap without shards has no such page.

use core::cell::Cell;
use core::fmt;
use core::num::NonZeroUsize;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use crate::block::Block;
use crate::place::Place;
use crate::sharded::remote_frees::RemoteFrees;
use crate::sharded::table::Entry;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crate::units::{BLOCK_SIZE, PAGE_SIZE, block_base};

/// Bytes of a record: one page. (Loom's atomics are larger.)
pub(crate) const RECORD_SIZE: usize = size_of::<Record>().next_multiple_of(PAGE_SIZE);

const _: () = assert!(
    cfg!(loom) || RECORD_SIZE == PAGE_SIZE,
    "a record fits a page"
);
const _: () = assert!(
    align_of::<Record>() <= PAGE_SIZE,
    "pages are aligned enough"
);

/// The owner of a block whose header is not there yet.
const NOBODY: usize = usize::MAX;

/// What is known of a block by all.
#[derive(Debug)]
pub(crate) struct Record {
    /// The number of the shard that has the block.
    owner: AtomicUsize,
    /// The next block of the same place.
    next: AtomicPtr<Record>,
    /// Bytes of the block, or of the part of one, with the record.
    size: usize,
    /// The next one in the list that the block waits in while it is no shard's.
    link: Cell<Option<BlockRecord>>,
    /// What others gave back.
    pub(crate) remote_frees: RemoteFrees,
}

/// The record of a block, or of part of one.
///
/// # Invariants
///
/// The pointer is that of an initialised record in the first page of memory that the source gave and did not get back; its
/// provenance is that of all of this memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRecord(NonNull<Record>);

impl BlockRecord {
    /// Writes a record into the first page of `memory`.
    ///
    /// # Safety
    ///
    /// `memory` begins at a multiple of a page, lies in one window of 256 KiB, and has more bytes than a record; it is valid for reads
    /// and writes, and nobody else uses it as long as any copy of the handle is in use.
    pub(crate) unsafe fn install(memory: NonNull<[u8]>) -> Self {
        let record = memory.cast::<Record>();
        let contents = Record {
            owner: AtomicUsize::new(NOBODY),
            next: AtomicPtr::new(ptr::null_mut()),
            size: memory.len(),
            link: Cell::new(None),
            remote_frees: RemoteFrees::new(),
        };
        // SAFETY: the caller hands the memory over; it is large and aligned enough.
        unsafe { record.write(contents) };
        // INVARIANT: just initialised, and the caller's promise.
        Self(record)
    }

    /// Returns the record of the block of whose memory a shard's chain has the part behind the record, from `start` on.
    ///
    /// # Safety
    ///
    /// The chain got it as [`for_chain`](Self::for_chain) of the record, and the pointer is that one or was made from it.
    #[inline]
    pub(crate) unsafe fn before(start: NonNull<u8>) -> Self {
        // INVARIANT: the record that the memory was made of; the provenance has passed through unchanged.
        // SAFETY: the chain's memory begins behind the record.
        Self(unsafe { start.sub(RECORD_SIZE) }.cast())
    }

    /// Returns the memory as the source gave it.
    pub(crate) fn memory(self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.0.cast(), self.size)
    }

    /// Returns the memory for a chain: all but the record.
    pub(crate) fn for_chain(self) -> NonNull<[u8]> {
        // SAFETY: the memory is longer than the record (`install`).
        let start = unsafe { self.0.cast::<u8>().add(RECORD_SIZE) };
        NonNull::slice_from_raw_parts(start, self.size - RECORD_SIZE)
    }

    /// Returns whether one of the `size` bytes (at least 1) at `address` is the block's.
    pub(crate) fn overlaps(self, address: usize, size: usize) -> bool {
        let start = self.0.addr().get();
        start <= address.saturating_add(size - 1) && address < start + self.size
    }

    /// Says what is at `address` in the block, which holds nothing and is no shard's. `None` outside of it.
    pub(crate) fn place(self, address: usize) -> Option<Place> {
        if self.has_record_at(address) {
            Some(Place::Own)
        } else {
            self.overlaps(address, 1).then_some(Place::FreePage)
        }
    }

    /// Returns whether `address` is that of a byte of the record's page.
    pub(crate) fn has_record_at(self, address: usize) -> bool {
        address.wrapping_sub(self.0.addr().get()) < RECORD_SIZE
    }

    /// Returns a pointer to the byte at `address`, which lies in the block.
    pub(crate) fn pointer_to(self, address: usize) -> NonNull<u8> {
        self.0.cast::<u8>().map_addr(|start| {
            debug_assert!(address > start.get(), "behind the record");
            NonZeroUsize::new(address).unwrap_or(start)
        })
    }

    /// Returns the chain's header, if it is there.
    #[inline]
    pub(crate) fn block(self) -> Option<Block> {
        self.owner()?;
        // SAFETY: a block that has an owner has a header behind its record (`set_owner`).
        Some(unsafe { Block::at(self.for_chain().cast()) })
    }

    /// Returns the number of the shard that the block belongs to. `None` while its header is not there.
    #[inline]
    pub(crate) fn owner(self) -> Option<usize> {
        // Acquire: whoever sees an owner sees the header that was written before.
        let owner = self.owner.load(Ordering::Acquire);
        (owner != NOBODY).then_some(owner)
    }

    /// Notes that shard `owner` has the block, whose header is there. Called by whoever had it, or by the first owner.
    pub(crate) fn set_owner(self, owner: usize) {
        self.owner.store(owner, Ordering::Release);
    }

    /// Returns whether it is a whole block.
    pub(crate) fn is_whole(self) -> bool {
        self.size == BLOCK_SIZE
    }

    /// Returns the address of the window of 256 KiB that the block is or lies in.
    #[inline]
    pub(crate) fn window(self) -> usize {
        block_base(self.0.addr().get())
    }
}

#[cfg(loom)]
impl BlockRecord {
    /// Touches the record as whoever writes something else there. Loom then finds anybody who looks at it at the same time, or later.
    pub(crate) fn touch_alone(mut self) {
        // SAFETY: nobody else has a reference to it, or the protocol is wrong, which is what loom is to find.
        let record = unsafe { self.0.as_mut() };
        record.owner.with_mut(|_| {});
        record.next.with_mut(|_| {});
        record.remote_frees.touch_alone();
    }
}

impl Deref for BlockRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        // SAFETY: initialised and valid (invariant); only shared references to it exist. Of what changes, `link` is used by
        // whoever holds the lock of the list that the block is in, and the rest are atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Entry for BlockRecord {
    type Record = Record;

    fn record(self) -> NonNull<Record> {
        self.0
    }

    unsafe fn from_record(record: NonNull<Record>) -> Self {
        // INVARIANT: that of the handle which the pointer came from.
        Self(record)
    }

    fn next(&self) -> &AtomicPtr<Record> {
        &self.next
    }

    fn address(self) -> usize {
        self.window()
    }
}

impl fmt::Debug for BlockRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockRecord({:#x})", self.0.addr())
    }
}

/// Returns the record of a block that a shard has.
#[inline(always)]
pub(crate) fn record_of(block: Block) -> BlockRecord {
    // SAFETY: shards have the memory of their blocks from `ShardSource`, which has it from `BlockRecord::for_chain`.
    unsafe { BlockRecord::before(block.header()) }
}

/// A list of blocks that are no shard's, or are about to be.
#[derive(Debug, Default)]
pub(crate) struct BlockList {
    /// The first one.
    first: Option<BlockRecord>,
    /// How many there are.
    count: usize,
    /// Their bytes.
    bytes: usize,
}

impl BlockList {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            count: 0,
            bytes: 0,
        }
    }

    /// Returns how many there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Returns their bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts `block`, which is in no list, first.
    pub(crate) fn push(&mut self, block: BlockRecord) {
        block.link.set(self.first);
        self.first = Some(block);
        self.count += 1;
        self.bytes += block.size;
    }

    /// Returns all of them. Cost: their number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BlockRecord> + use<> {
        core::iter::successors(self.first, |block| block.link.get())
    }

    /// Takes the first one out.
    pub(crate) fn pop(&mut self) -> Option<BlockRecord> {
        let block = self.first?;
        self.first = block.link.take();
        self.count -= 1;
        self.bytes -= block.size;
        Some(block)
    }
}
