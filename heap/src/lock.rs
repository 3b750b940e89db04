//! Layer 4: who may enter the heap.
//!
//! Owns mutual exclusion, and what else is read under the lock and used after it: the handlers for wrong frees and for null,
//! and whom to ask when memory is out. Refuses to know everything below.
//!
//! The kind of lock is the user's: any [`lock_api::RawMutex`]. A kernel brings one that masks interrupts while it is
//! held, so that handlers may allocate; on a host, a spin lock will do. What happens under the lock is bounded, calls
//! nothing but the source, and neither formats nor panics: printing may allocate.

use lock_api::{Mutex, MutexGuard, RawMutex};

use crate::callbacks::Callbacks;
use crate::chain_kind::ChainKind;
use crate::factory_chain::FactoryChain;
use crate::misuse::Misuse;

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// Layers 1 to 3.
    pub(crate) chain: FactoryChain,
    /// What to call after a wrong free, when the lock is gone.
    pub(crate) on_misuse: fn(Misuse),
    /// What else to call, when the lock is gone.
    pub(crate) callbacks: Callbacks,
}

/// The chain behind a lock.
pub(crate) struct Lock<R>(Mutex<R, Guarded>);

/// The right to be in the heap, until it is dropped.
pub(crate) type Entered<'a, R> = MutexGuard<'a, R, Guarded>;

impl<R: RawMutex> Lock<R> {
    /// Creates an unlocked, empty heap.
    pub(crate) const fn new(on_misuse: fn(Misuse)) -> Self {
        Self(Mutex::const_new(
            R::INIT,
            Guarded {
                chain: FactoryChain::new(ChainKind::Alone),
                on_misuse,
                callbacks: Callbacks::new(),
            },
        ))
    }

    /// Waits for the lock and enters.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_, R> {
        self.0.lock()
    }

    /// Enters, if nobody is in.
    pub(crate) fn try_enter(&self) -> Option<Entered<'_, R>> {
        self.0.try_lock()
    }
}
