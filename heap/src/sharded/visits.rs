//! Who is looking at what other shards own, and whether somebody may be.
//!
//! Owns two counters a shard: how many contexts are on a *visit*, between looking an address up in the tables that all
//! shards share and the last touch of what was found there; and whether the one who has entered the shard is, which is the usual case
//! and costs less. A visit begins with one atomic instruction, nests in any way, waits for nothing, and may be made by any
//! context, a non-maskable interrupt too.
//!
//! # Why a header outlives whoever looks at it
//!
//! A free that is right has a chunk that is taken: its block is not empty, so it stays, and goes on staying until the free has set
//! its last word in the header (the strict tree of [`remote_frees`](crate::sharded::remote_frees)). But a free may be wrong: of a
//! pointer freed long ago, in a block that is leaving this very moment. The heap promises to find such a one out; so it must
//! be able to look, and the header must be there. Therefore
//!
//! 1. a visitor counts itself, or says that it is there (a read-modify-write), and then reads the tables;
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

/// Who of one shard is on a visit.
#[derive(Debug)]
pub(crate) struct Visits {
    /// How many contexts are.
    counted: AtomicUsize,
    /// 1 while the one who has entered the shard is: there is one at most, so it need not count.
    entered: AtomicUsize,
    /// The last round of [`leaving`](crate::sharded::leaving) in which nobody was. Written by whoever has the central lock.
    seen_over: AtomicUsize,
}

/// A visit, until it is dropped.
#[derive(Debug)]
pub(crate) enum Visit<'a> {
    /// One of those that are counted.
    Counted(&'a AtomicUsize),
    /// That of the one who has entered the shard.
    Entered(&'a AtomicUsize),
}

/// Makes the constructor: `const`, but for loom's atomics.
macro_rules! constructor {
    ($($const:ident)?) => {
        /// Creates the visits of nobody.
        pub(crate) $($const)? fn new() -> Self {
            Self {
                counted: AtomicUsize::new(0),
                entered: AtomicUsize::new(0),
                seen_over: AtomicUsize::new(0),
            }
        }
    };
}

impl Visits {
    #[cfg(not(loom))]
    constructor!(const);
    #[cfg(loom)]
    constructor!();

    /// Begins a visit.
    #[inline]
    pub(crate) fn begin(&self) -> Visit<'_> {
        self.counted.fetch_add(1, Ordering::SeqCst);
        fence_for_model();
        Visit::Counted(&self.counted)
    }

    /// Begins the visit of the one who has entered the shard that these are the visits of. Called from nowhere else, and not on such a
    /// visit. Ends with an ordinary store.
    #[inline]
    pub(crate) fn begin_entered(&self) -> Visit<'_> {
        let before = self.entered.swap(1, Ordering::SeqCst);
        debug_assert!(before == 0, "one has entered");
        fence_for_model();
        Visit::Entered(&self.entered)
    }

    /// Returns whether nobody is on a visit that began before the caller's last sequentially consistent store.
    pub(crate) fn are_over(&self) -> bool {
        fence_for_model();
        self.counted.load(Ordering::SeqCst) == 0 && self.entered.load(Ordering::SeqCst) == 0
    }
}

impl Visits {
    /// Returns whether nobody was on a visit at some moment of round `round`, now or when it was asked before. Called by whoever has the
    /// central lock.
    pub(crate) fn are_seen_over(&self, round: usize) -> bool {
        if self.seen_over.load(Ordering::Relaxed) == round {
            return true;
        }
        let are_over = self.are_over();
        if are_over {
            self.seen_over.store(round, Ordering::Relaxed);
        }
        are_over
    }
}

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        match self {
            Self::Counted(counted) => {
                counted.fetch_sub(1, Ordering::Release);
            }
            Self::Entered(entered) => entered.store(0, Ordering::Release),
        }
    }
}
