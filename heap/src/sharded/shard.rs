//! One CPU's heap: a chain behind a lock of its own, and what others leave for it.
//!
//! Owns the division into what the owner writes and what others write: each on cache lines of its own.

use lock_api::RawMutex;

use crate::chain_kind::ChainKind;
use crate::factory_chain::FactoryChain;
use crate::misuse::Misuse;
use crate::regions::Region;
use crate::sharded::inbox::{Inbox, Taken};
use crate::sharded::leaving_regions::LeavingRegions;
use crate::sharded::outside_counts::OutsideCounts;
use crate::sharded::record::BlockList;
use crate::sharded::visits::Visits;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, is_locked};

/// Stacks that others may empty before one of them takes them in for the owner: as many as make up a block or so.
pub(crate) const MOST_EMPTIED: usize = 16;

/// A shard.
pub(crate) struct Shard<R> {
    /// What the owner works on.
    owned: Apart<Mutex<R, Owned>>,
    /// What others write.
    pub(crate) shared: Apart<SharedPart>,
    /// How many of this shard's contexts look at what other shards own. Written by its own CPU.
    pub(crate) visits: Apart<Visits>,
    /// What is counted without the lock. Written by its own CPU.
    pub(crate) outside: OutsideCounts,
}

/// The part of a shard that others write.
#[derive(Debug)]
pub(crate) struct SharedPart {
    /// What there is news of.
    pub(crate) inbox: Inbox,
    /// Stacks of this shard's that others have emptied since it looked last.
    emptied: AtomicUsize,
    /// Regions of this shard's that were given back, and not taken in yet.
    regions_given_back: AtomicUsize,
}

/// Something that shares no cache line with anything else. (Two lines: they are fetched in pairs.)
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Apart<T>(T);

impl<T> core::ops::Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a shard's lock guards.
#[derive(Debug)]
pub(crate) struct Owned {
    /// Layers 1 to 3.
    pub(crate) chain: FactoryChain,
    /// Messages that were taken out of the inbox and not looked at yet.
    pub(crate) messages: Taken,
    /// Blocks that fell idle while nobody could be waited for, still in the tables.
    pub(crate) put_aside: BlockList,
    /// Regions that were given back and are in no table any more, while somebody may still look at their records.
    pub(crate) leaving: LeavingRegions,
    /// Frees of what other shards own.
    pub(crate) crossed: u64,
    /// The first wrong free that was found too late to tell the one who did it, and that nobody was told of yet.
    pub(crate) misuse: Option<Misuse>,
}

// SAFETY: the pointers lead to memory that the source gave to this heap and to nobody else, so a shard may be entered from any
// thread, one at a time: none of it is bound to a thread.
unsafe impl Send for Owned {}

/// The right to be in a shard, until it is dropped.
pub(crate) type Entered<'a, R> = MutexGuard<'a, R, Owned>;

impl SharedPart {
    /// Notes that a stack of the shard's was emptied by others. Returns whether it is time that somebody takes them in.
    pub(crate) fn note_emptied(&self) -> bool {
        self.emptied.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_EMPTIED
    }

    /// Notes that not all of what others emptied was taken in: whoever empties the next stack goes on with it.
    pub(crate) fn note_due(&self) {
        self.emptied.store(MOST_EMPTIED, Ordering::Relaxed);
    }

    /// Notes that what others emptied is being taken in.
    pub(crate) fn forget_emptied(&self) {
        if self.emptied.load(Ordering::Relaxed) > 0 {
            self.emptied.store(0, Ordering::Relaxed);
        }
    }

    /// Gives a region of the shard's back. `false`, with nothing changed, when it was given back before.
    pub(crate) fn give_back_region(&self, region: Region) -> bool {
        // Counted first: so it never seems that more were taken in than were given back.
        self.regions_given_back.fetch_add(1, Ordering::Relaxed);
        let is_first = region.mark_given_back();
        if !is_first {
            self.forget_region();
        }
        is_first
    }

    /// Notes that a region that was given back is taken in.
    pub(crate) fn forget_region(&self) {
        self.regions_given_back.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many regions were given back and not taken in yet.
    pub(crate) fn regions_given_back(&self) -> usize {
        self.regions_given_back.load(Ordering::Relaxed)
    }
}

impl Owned {
    /// Returns the bytes of what was given back and is in the chain no more, but with the source not again.
    pub(crate) const fn bytes_apart(&self) -> usize {
        self.put_aside.bytes() + self.leaving.bytes()
    }
}

/// Makes the constructors: `const`, but for loom's atomics.
macro_rules! constructors {
    ($($const:ident)?) => {
        impl<R: RawMutex> Shard<R> {
            /// Creates a shard without memory.
            pub(crate) $($const)? fn new() -> Self {
                let owned = Owned {
                    chain: FactoryChain::new(ChainKind::OneOfMany),
                    messages: Taken::none(),
                    put_aside: BlockList::new(),
                    leaving: LeavingRegions::new(),
                    crossed: 0,
                    misuse: None,
                };
                let shared = SharedPart {
                    inbox: Inbox::new(),
                    emptied: AtomicUsize::new(0),
                    regions_given_back: AtomicUsize::new(0),
                };
                Self {
                    owned: Apart(Mutex::const_new(R::INIT, owned)),
                    shared: Apart(shared),
                    visits: Apart(Visits::new()),
                    outside: OutsideCounts::new(),
                }
            }
        }
    };
}

#[cfg(not(loom))]
constructors!(const);
#[cfg(loom)]
constructors!();

impl<R: RawMutex> Shard<R> {
    /// Waits for the shard's lock and enters.
    pub(crate) fn enter(&self) -> Entered<'_, R> {
        self.owned.lock()
    }

    /// Returns whether somebody is in, as seen behind the caller's last change of a table.
    pub(crate) fn is_entered(&self) -> bool {
        is_locked(&self.owned)
    }

    /// Enters, if nobody is in.
    #[inline]
    pub(crate) fn try_enter(&self) -> Option<Entered<'_, R>> {
        self.owned.try_lock()
    }
}
