//! Which blocks or regions there are, for every shard and every CPU to look up.
//!
//! Owns a list of entries for each place, which an address has by its window of 256 KiB. Readers walk a list without a lock,
//! on a [visit](crate::sharded::visits); writers are alone. The links live inside the entries, and one that is taken out keeps
//! its own, so a reader who stands on it walks on. Refuses to know what an entry is.
//!
//! ```text
//! place      0      1      2            windows a multiple of the number of places apart share one
//!          ┌──────┬──────┬──────┬─ ─
//! first    │  ●   │ none │  ●   │
//!          └──┼───┴──────┴──┼───┴─ ─
//!             ▼             ▼
//!           entry         entry ──▶ entry
//! ```
//!
//! Cost: the entries of a place. With 4096 places that is one block in a heap of up to 1 GiB in a row, and one more for each further
//! GiB.

use core::ptr::{self, NonNull};

use crate::sharded::visits::Visit;
use crate::sync::{AtomicPtr, Ordering};
use crate::units::BLOCK_SIZE;

/// Something that stands in a table: a handle to its record.
pub(crate) trait Entry: Copy + PartialEq {
    /// The record that the handle leads to.
    type Record;

    /// Returns the pointer to the record.
    fn record(self) -> NonNull<Self::Record>;

    /// Returns the handle.
    ///
    /// # Safety
    ///
    /// `record` came from [`record`](Self::record) of a handle that is still good.
    unsafe fn from_record(record: NonNull<Self::Record>) -> Self;

    /// Returns the link to the next entry of the place, inside the record.
    fn next(&self) -> &AtomicPtr<Self::Record>;

    /// Returns the address that the entry is found by. It does not change.
    fn address(self) -> usize;
}

/// Every entry of one kind.
#[derive(Debug)]
pub(crate) struct Table<T: Entry, const PLACES: usize> {
    /// The first entry of each place; null where there is none.
    places: [AtomicPtr<T::Record>; PLACES],
}

/// Returns the number of the window that `address` lies in.
const fn window_number(address: usize) -> usize {
    address / BLOCK_SIZE
}

impl<T: Entry, const PLACES: usize> Table<T, PLACES> {
    /// Creates an empty table.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            places: [const { AtomicPtr::new(ptr::null_mut()) }; PLACES],
        }
    }

    /// Creates an empty table.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            places: [(); PLACES].map(|()| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Returns the place of `address`.
    pub(crate) const fn place_of(address: usize) -> usize {
        window_number(address) % PLACES
    }

    /// Returns the entries of the place that `address` has. The handles are good as long as the visit goes on.
    #[inline]
    pub(crate) fn entries<'v>(
        &self,
        address: usize,
        _visit: &'v Visit<'_>,
    ) -> impl Iterator<Item = T> + use<'v, T, PLACES> {
        self.walk(Self::place_of(address))
    }

    /// Returns the entries of `place`, in this table or in one whose places are a multiple of this one's. The handles are good as long
    /// as the visit goes on.
    pub(crate) fn entries_at<'v>(
        &self,
        place: usize,
        _visit: &'v Visit<'_>,
    ) -> impl Iterator<Item = T> + use<'v, T, PLACES> {
        self.walk(place % PLACES)
    }

    /// Returns the entries of the place that `address` has, to a writer.
    ///
    /// # Safety
    ///
    /// The caller is the only writer as long as the handles are in use.
    pub(crate) unsafe fn entries_for_writer(
        &self,
        address: usize,
    ) -> impl Iterator<Item = T> + use<T, PLACES> {
        self.walk(Self::place_of(address))
    }

    /// Returns the entries of a place. What keeps their records there is the caller's business.
    #[inline]
    fn walk(&self, place: usize) -> impl Iterator<Item = T> + use<T, PLACES> {
        let mut next = self.places[place].load(Ordering::SeqCst);
        core::iter::from_fn(move || {
            // SAFETY: what hangs in a list is a record whose handle is good (`insert`), until it is taken out and everybody
            // who may have seen it there is gone: a reader is on a visit, and a writer is the one who takes out.
            let entry = unsafe { T::from_record(NonNull::new(next)?) };
            next = entry.next().load(Ordering::SeqCst);
            Some(entry)
        })
    }

    /// Puts `entry` in.
    ///
    /// # Safety
    ///
    /// The caller is the only writer. The entry is not in a table, and its handle is good until it was taken out and every visit
    /// that began before is over.
    pub(crate) unsafe fn insert(&self, entry: T) {
        let first = &self.places[Self::place_of(entry.address())];
        let second = first.load(Ordering::Relaxed);
        entry.next().store(second, Ordering::Relaxed);
        first.store(entry.record().as_ptr(), Ordering::SeqCst);
    }

    /// Takes `entry` out. Visits that began before may still see it. Cost: the entries of its place.
    ///
    /// # Safety
    ///
    /// The caller is the only writer.
    pub(crate) unsafe fn remove(&self, entry: T) {
        let next = entry.next().load(Ordering::Relaxed);
        let first = &self.places[Self::place_of(entry.address())];
        if first.load(Ordering::Relaxed) == entry.record().as_ptr() {
            first.store(next, Ordering::SeqCst);
            return;
        }
        // SAFETY: the caller's promise.
        let mut before = unsafe { self.entries_for_writer(entry.address()) };
        let before =
            before.find(|other| other.next().load(Ordering::Relaxed) == entry.record().as_ptr());
        debug_assert!(before.is_some(), "an entry that is taken out is there");
        if let Some(before) = before {
            before.next().store(next, Ordering::SeqCst);
        }
    }
}
