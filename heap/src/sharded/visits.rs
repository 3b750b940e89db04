//! Who is looking at what other shards own, and whether somebody may be.
//!
//! Owns one counter a shard: how many contexts are on a *visit*, between looking an address up in the tables that all
//! shards share and the last touch of what was found there. It begins and ends with one atomic instruction, nests in any
//! way, waits for nothing, and may be made by any context, a non-maskable interrupt too.
//!
//! # Why a header outlives whoever looks at it
//!
//! A free that is right has a chunk that is taken: its block is not empty, so it stays, and goes on staying until the free has set
//! its last word in the header (the strict tree of [`remote_frees`](crate::sharded::remote_frees)). But a free may be wrong: of a
//! pointer freed long ago, in a block that is leaving this very moment. The heap promises to find such a one out; so it must
//! be able to look, and the header must be there. Therefore
//!
//! 1. a visitor counts itself (a read-modify-write), and then reads the tables;
//! 2. whoever lets a block or region go takes it out of the tables (a store), and then reads all counters;
//! 3. only if each of them was seen at zero, its memory goes on to where others may write.
//!
//! All four accesses are sequentially consistent. If the reader of step 3 does not see the visitor's count, its read comes
//! before the count in their one order, and the store of step 2 before that; so the visitor's read of the tables, behind the
//! count, finds the entry gone. If it sees zero because the visit is over, the release of its end and the acquire
//! of the read put all that the visitor did before what follows. Either way nobody is in there.
//!
//! When a counter is not zero, nobody waits: what was to go is put aside, out of the tables, and looked at again later
//! ([`central`](crate::sharded::central)). Counters need not be zero all at once: what matters is that each was after step 2.
#![forbid(unsafe_code)]

use crate::sync::{AtomicUsize, Ordering, fence_for_model};

/// How many contexts of one shard are on a visit.
#[derive(Debug)]
pub(crate) struct Visits(AtomicUsize);

/// A visit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Visit<'a>(&'a AtomicUsize);

impl Visits {
    /// Creates a counter of nobody.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Creates a counter of nobody.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Begins a visit.
    #[inline]
    pub(crate) fn begin(&self) -> Visit<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        fence_for_model();
        Visit(&self.0)
    }

    /// Returns whether nobody is on a visit that began before the caller's last sequentially consistent store.
    pub(crate) fn are_over(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
