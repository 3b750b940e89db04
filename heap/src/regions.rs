//! What is larger than a block: regions, each an allocation of its own.
//!
//! Owns the record of every region. A record lives in a chunk of the heap itself, away from the region, so that a
//! wrong free is found by looking at records alone and nothing of the user's is ever read. Knows nothing of the source
//! that regions come from, nor of the lists that records' chunks come from.
//!
//! Cost: a few walks along the tree of addresses, each of at most two steps a bit of an address and usually of about the
//! logarithm of the number of regions.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use crate::list::{Linked, Links, List};
use crate::published::PublishedSize;
use crate::sharded::table::Entry;
use crate::size_class::ClassIndex;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, fence_for_model};
use crate::trie::{Children, Trie, TrieNode};

const _: () = assert!(
    size_of::<RegionInfo>() <= ClassIndex::RECORDS.class().chunk_size(),
    "a region's record fits a chunk of the records' class"
);

/// What the heap knows of a region.
#[derive(Debug)]
pub(crate) struct RegionInfo {
    /// The first byte.
    pub(crate) start: NonNull<u8>,
    /// Bytes, a multiple of the page.
    size: PublishedSize,
    /// Neighbours in the list of all regions.
    links: Links<Region>,
    /// Subtrees in the tree of addresses.
    children: Children<Region>,
    /// In a sharded heap, the next region of its place in the table of all shards.
    next: AtomicPtr<RegionInfo>,
    /// In a sharded heap, twice the number of the shard that has the region, and 1 when it was given back.
    owner_and_mark: AtomicUsize,
}

/// The record of a region.
///
/// # Invariants
///
/// The pointer is that of an initialised [`RegionInfo`] in a chunk that the heap took for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region(NonNull<RegionInfo>);

impl Region {
    /// Writes the record of a region into `chunk`.
    ///
    /// # Safety
    ///
    /// `chunk` is a chunk of the records' class, valid for reads and writes, and used for nothing else as long as any
    /// copy of the handle is in use.
    pub(crate) unsafe fn install(chunk: NonNull<u8>, start: NonNull<u8>, size: usize) -> Self {
        let record = chunk.cast::<RegionInfo>();
        let info = RegionInfo {
            start,
            size: PublishedSize::new(size),
            links: Links::default(),
            children: [Cell::new(None), Cell::new(None)],
            next: AtomicPtr::new(ptr::null_mut()),
            owner_and_mark: AtomicUsize::new(0),
        };
        // SAFETY: the caller hands over the chunk; it is large enough (asserted above), and chunks of a
        // power-of-two class are aligned to their size.
        unsafe { record.write(info) };
        // INVARIANT: just initialised.
        Self(record)
    }

    /// Returns the address of the first byte.
    pub(crate) fn address(self) -> usize {
        self.start.addr().get()
    }

    /// Returns the size in bytes.
    pub(crate) fn size(self) -> usize {
        self.size.get()
    }

    /// Notes that shard `owner` has the region, and that it was not given back. Called before it stands in a table.
    pub(crate) fn set_owner(self, owner: usize) {
        self.owner_and_mark.store(owner << 1, Ordering::Relaxed);
    }

    /// Returns the number of the shard that has the region.
    pub(crate) fn owner(self) -> usize {
        self.owner_and_mark.load(Ordering::Relaxed) >> 1
    }

    /// Marks the region as given back. Returns whether it was not before: of any number of frees that race, one is told so.
    pub(crate) fn mark_given_back(self) -> bool {
        let was_marked = self.owner_and_mark.fetch_or(1, Ordering::SeqCst) & 1 == 1;
        fence_for_model();
        !was_marked
    }

    /// Returns whether the region is marked as given back. Whoever sees it so sees what was written before.
    pub(crate) fn is_given_back(self) -> bool {
        self.owner_and_mark.load(Ordering::SeqCst) & 1 == 1
    }

    /// Returns the chunk that the record lives in.
    pub(crate) const fn chunk(self) -> NonNull<u8> {
        self.0.cast()
    }
}

#[cfg(loom)]
impl Region {
    /// Touches the record as whoever writes something else there. Loom then finds anybody who looks at it at the same time, or later.
    pub(crate) fn touch_alone(mut self) {
        // SAFETY: nobody else has a reference to it, or the protocol is wrong, which is what loom is to find.
        let record = unsafe { self.0.as_mut() };
        record.next.with_mut(|_| {});
        record.owner_and_mark.with_mut(|_| {});
    }
}

impl Deref for Region {
    type Target = RegionInfo;

    fn deref(&self) -> &RegionInfo {
        // SAFETY: initialised and valid (invariant); only shared references to it exist, and what changes is a cell or an atomic.
        unsafe { self.0.as_ref() }
    }
}

impl Entry for Region {
    type Record = RegionInfo;

    fn record(self) -> NonNull<RegionInfo> {
        self.0
    }

    unsafe fn from_record(record: NonNull<RegionInfo>) -> Self {
        // INVARIANT: that of the handle which the pointer came from.
        Self(record)
    }

    fn next(&self) -> &AtomicPtr<RegionInfo> {
        &self.next
    }

    fn address(self) -> usize {
        self.start.addr().get()
    }
}

impl Linked for Region {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

/// Returns the key of a region that begins at `address`.
const fn region_key(address: usize) -> u64 {
    address as u64
}

impl TrieNode for Region {
    fn key(&self) -> u64 {
        region_key(self.address())
    }

    fn children(&self) -> &Children<Self> {
        &self.children
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({:#x}, {} bytes)", self.start.addr(), self.size())
    }
}

/// Every region of a heap.
#[derive(Debug)]
pub(crate) struct LiveRegions {
    /// Regions by address.
    by_address: Trie<Region>,
    /// All regions.
    all: List<Region>,
    /// How many there are.
    count: usize,
    /// Their bytes together.
    bytes: usize,
}

impl LiveRegions {
    /// Creates an empty set.
    pub(crate) const fn new() -> Self {
        Self {
            by_address: Trie::new(),
            all: List::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// Returns how many regions there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Returns the bytes of all regions together.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a region.
    pub(crate) fn add(&mut self, region: Region) {
        self.by_address.insert(region);
        self.all.push(region);
        self.count += 1;
        self.bytes += region.size();
    }

    /// Takes out a region.
    pub(crate) fn remove(&mut self, region: Region) {
        self.by_address.remove(region);
        self.all.remove(region);
        self.count -= 1;
        self.bytes -= region.size();
    }

    /// Notes that `region` has `size` bytes now.
    pub(crate) fn resize(&mut self, region: Region, size: usize) {
        self.bytes = self.bytes - region.size() + size;
        region.size.set(size);
    }

    /// Returns the region that begins at `address`.
    pub(crate) fn find(&self, address: usize) -> Option<Region> {
        self.by_address.find(region_key(address))
    }

    /// Returns the region that `address` lies in.
    pub(crate) fn find_around(&self, address: usize) -> Option<Region> {
        let region = self.by_address.find_at_or_below(region_key(address))?;
        let offset = address.checked_sub(region.address())?;
        if offset < region.size() {
            Some(region)
        } else {
            None
        }
    }

    /// Returns whether any region has a byte of the `size` bytes (at least 1) at `address`.
    pub(crate) fn overlap(&self, address: usize, size: usize) -> bool {
        // Regions are apart, so that of all that begin before the end, the last one reaches furthest.
        self.by_address
            .find_at_or_below(region_key(address.saturating_add(size - 1)))
            .is_some_and(|region| region.address() + region.size() > address)
    }

    /// Returns the first region that begins at `address` or behind it.
    pub(crate) fn next(&self, address: usize) -> Option<Region> {
        self.by_address.find_at_or_above(region_key(address))
    }

    /// Returns every region. Cost: the number of regions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Region> + use<> {
        self.all.iter()
    }

    /// Returns whether list and tree hold the same regions. Cost: the number of regions.
    pub(crate) fn is_sound(&self) -> bool {
        self.all.is_linked_both_ways()
            && self.iter().count() == self.count
            && self.iter().map(|region| region.size()).sum::<usize>() == self.bytes
            && self
                .iter()
                .all(|region| self.by_address.find(region.key()) == Some(region))
    }
}

#[cfg(test)]
mod tests;
