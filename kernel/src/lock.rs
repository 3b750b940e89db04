//! Mutual exclusion with interrupts masked: what code in interrupt handlers shares with everybody else.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

/// Which lock it is: its name in reports, and who is told when it masks interrupts and when it lets them in again.
///
/// It is a type and not a value that is looked at when the lock is taken, so that a lock which nobody watches has no
/// instruction more: there is nothing to inline. The heap's lock is watched by
/// [`HeapLock`](crate::interrupts::masked::HeapLock), those of the bench by
/// [`MaskedTime`](crate::bench::masked::MaskedTime).
pub trait Watch {
    /// What the lock is called when it was taken by mistake: "the heap's lock".
    const NAME: &'static str = "a lock";

    /// Called right behind the masking.
    #[inline(always)]
    fn masked() {}

    /// Called right before the unmasking.
    #[inline(always)]
    fn unmasking() {}
}

/// No name, and nobody watches.
#[derive(Debug)]
pub enum Unwatched {}

impl Watch for Unwatched {}

/// A lock without a name: see [`MaskingLock`].
pub type InterruptMaskingLock = MaskingLock<Unwatched>;

/// Names a lock that nobody watches: `named_lock!(ConsoleLock, "the console's lock")` makes the type to put into
/// [`MaskingLock`].
macro_rules! named_lock {
    ($type:ident, $name:literal) => {
        #[doc = concat!("Names ", $name, ".")]
        #[derive(Debug)]
        enum $type {}

        impl $crate::lock::Watch for $type {
            const NAME: &'static str = $name;
        }
    };
}

pub(crate) use named_lock;

/// A lock that masks interrupts while it is held, and then puts the interrupt flag back to what it was.
///
/// The one who locks cannot be interrupted by a handler that wants the same lock, so handlers may allocate and print.
/// Locks nest: each puts back what it found, so they must be released in the opposite order of taking (guards in nested
/// scopes are).
///
/// There is one CPU. Meeting the lock taken therefore means that its holder is below us on our own call stack and can
/// never release it: a source of memory that allocates, a message printed while printing. Waiting would be silence for
/// ever, so it is a panic that names the lock. (With more CPUs the lock will know its holder, and wait for another one.) An NMI, an exception
/// and the panic report may come at any point and use [`try_lock`](RawMutex::try_lock) alone.
///
/// # Invariants
/// - `interrupts_were_enabled` is written only by the holder.
#[derive(Debug)]
pub struct MaskingLock<W> {
    /// Somebody holds the lock.
    is_locked: AtomicBool,
    /// The interrupt flag as the holder found it.
    interrupts_were_enabled: AtomicBool,
    /// Which lock it is; there is nothing to keep of it.
    watch: PhantomData<fn() -> W>,
}

impl<W: Watch> MaskingLock<W> {
    /// Takes the lock, or leaves everything as it was.
    #[inline]
    fn acquire(&self) -> bool {
        let were_enabled = interrupts::are_enabled();
        if were_enabled {
            interrupts::disable();
            W::masked();
        }
        if self.is_locked.swap(true, Ordering::Acquire) {
            if were_enabled {
                W::unmasking();
                interrupts::enable();
            }
            return false;
        }
        // INVARIANT: the swap made us the holder.
        self.interrupts_were_enabled
            .store(were_enabled, Ordering::Relaxed);
        true
    }
}

// SAFETY: `acquire` succeeds for one caller between two releases: `swap` gives back `false` to only one.
unsafe impl<W: Watch> RawMutex for MaskingLock<W> {
    const INIT: Self = Self {
        is_locked: AtomicBool::new(false),
        interrupts_were_enabled: AtomicBool::new(false),
        watch: PhantomData,
    };

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.acquire() {
            taken_by_ourselves::<W>();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.acquire()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // Read before the release: behind it, the field is the next holder's.
        let were_enabled = self.interrupts_were_enabled.load(Ordering::Relaxed);
        self.is_locked.store(false, Ordering::Release);
        if were_enabled {
            W::unmasking();
            interrupts::enable();
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.is_locked.load(Ordering::Relaxed)
    }
}

/// Reports a lock that its own holder wants again.
#[cold]
#[track_caller]
fn taken_by_ourselves<W: Watch>() -> ! {
    panic!(
        "{} was taken again by the CPU that holds it: code under a lock printed, allocated, or was entered twice",
        W::NAME
    )
}
