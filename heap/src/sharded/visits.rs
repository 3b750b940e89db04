//! Who is looking at what other shards own, and whether somebody may be.
//!
//! Owns the *visit*: the time between looking an address up in the tables that all shards share and the last touch of what was found
//! there. There are two kinds. Usually, the visitor has entered its own shard, and the lock that it holds says that it may be on a visit:
//! that costs nothing. Else it counts itself in a counter of its shard, by one atomic instruction; this kind nests in any way, waits
//! for nothing, and may be made by any context, a non-maskable interrupt too.
//!
//! # Why a header outlives whoever looks at it
//!
//! A free that is right has a chunk that is taken, so its block is there when it begins. But as soon as its bit is set, the chunk may be
//! taken in, and the block may be empty and leave, while the free still looks at the words above. And a free may be wrong: of a
//! pointer freed long ago, in a block that is leaving this very moment. The heap promises to find such a one out; so it must be able
//! to look, and the header must be there. Therefore
//!
//! 1. a visitor has taken its shard's lock, or counts itself (a read-modify-write), and then reads the tables;
//! 2. whoever lets a block or region go takes it out of the tables (a store), and then looks at all shards' locks and counters;
//! 3. only if each lock was seen free and each counter at zero, its memory goes on to where others may write.
//!
//! These accesses are sequentially consistent, or have a fence between them. If the look of step 3 does not see the visitor, it comes
//! before the visitor's step 1 in their one order, and the store of step 2 before that; so the visitor's read of the tables, behind
//! step 1, finds the entry gone. If it sees nobody because the visit is over, the release of its end and the acquire of the look put
//! all that the visitor did before what follows. Either way nobody is in there.
//!
//! Who lets go has entered a shard itself. It is on no visit then, so that shard's lock is not looked at, but its counter is.
//!
//! When somebody may be visiting, nobody waits: what was to go is put aside, out of the tables, and looked at again later
//! ([`leaving`](crate::sharded::leaving)).
//!
//! # The fence behind a lock
//!
//! A lock is whatever the user brings. It says truly whether it is held (that is asked of it), and promises no more than to acquire. On x86-64 every lock among CPUs is taken by an atomic
//! read-modify-write, which is a full barrier: so there, the fence between taking the lock and reading the tables keeps the
//! compiler in order and is no instruction. Elsewhere it is one.
#![forbid(unsafe_code)]

use core::marker::PhantomData;

use crate::sync::{AtomicUsize, Ordering, fence_behind_lock, fence_for_model};

/// Who of one shard is on a visit without having entered it.
#[derive(Debug)]
pub(crate) struct Visits {
    /// How many contexts are.
    counted: AtomicUsize,
    /// The last round of [`leaving`](crate::sharded::leaving) in which nobody was. Written by whoever has the central lock.
    seen_over: AtomicUsize,
}

/// A visit, until it is dropped.
#[derive(Debug)]
pub(crate) enum Visit<'a> {
    /// One of those that are counted.
    Counted(&'a AtomicUsize),
    /// That of one who has entered its shard, and does not leave it meanwhile.
    Entered(PhantomData<&'a ()>),
}

/// Makes the constructor: `const`, but for loom's atomics.
macro_rules! constructor {
    ($($const:ident)?) => {
        /// Creates the visits of nobody.
        pub(crate) $($const)? fn new() -> Self {
            Self {
                counted: AtomicUsize::new(0),
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

    /// Returns whether nobody is on a visit that is counted and began before the caller's last sequentially consistent store.
    pub(crate) fn are_over(&self) -> bool {
        fence_for_model();
        self.counted.load(Ordering::SeqCst) == 0
    }

    /// Returns whether it was noted that all visits of the shard were over in round `round`.
    pub(crate) fn were_over_in(&self, round: usize) -> bool {
        self.seen_over.load(Ordering::Relaxed) == round
    }

    /// Notes that all visits of the shard were over in round `round`.
    pub(crate) fn note_over_in(&self, round: usize) {
        self.seen_over.store(round, Ordering::Relaxed);
    }
}

impl<'a> Visit<'a> {
    /// Begins the visit of one who has entered its shard, by what that lock guards.
    #[inline(always)]
    pub(crate) fn of_entered<T>(_guarded: &'a T) -> Self {
        fence_behind_lock();
        Self::Entered(PhantomData)
    }
}

impl Drop for Visit<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Self::Counted(counted) = self {
            counted.fetch_sub(1, Ordering::Release);
        }
    }
}
