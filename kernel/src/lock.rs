//! Mutual exclusion with interrupts masked: what CPUs share, and code in interrupt handlers with everybody else.

use core::hint;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

use crate::cpu;

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
/// The lock knows which CPU holds it. Nothing moves to another CPU while it holds a lock: interrupts are masked, and who waits
/// for others must have them enabled. So:
///
/// - **Taken by another CPU**: it is waited for, spinning. What is done under a lock is bounded, but it is not said whose turn is
///   next: one who takes it again and again makes others wait longer. Interrupts that were enabled before are let
///   in between the tries: they are not kept out for as long as others take.
/// - **Taken by this CPU**: its holder is below us on our own call stack and can never release it: a source of memory that
///   allocates, a message printed while printing. Waiting would be silence for ever, so it is a panic that names the lock.
///
/// An NMI, an exception and the panic report may come at any point and use [`try_lock`](RawMutex::try_lock) alone, which never
/// waits.
///
/// What may a CPU wait for while another one spins here with interrupts masked, and so answers no interrupt? Not for an
/// interrupt to be handled there: that is [`cpu::call`]'s, which is refused where interrupts are masked. For
/// an NMI to be handled, it may: see [`cpu::translations`].
///
/// To take it costs one atomic instruction, to release it one ordinary write.
///
/// # Invariants
/// - `state` is `FREE`, or what `taken` gave on the CPU of the holder; only the holder makes it `FREE` again.
#[derive(Debug)]
pub struct MaskingLock<W> {
    /// Who holds the lock, and the interrupt flag as the holder found it.
    state: AtomicU32,
    /// Which lock it is; there is nothing to keep of it.
    watch: PhantomData<fn() -> W>,
}

/// Nobody holds the lock.
const FREE: u32 = 0;

/// The bits of a state that are the holder's number and one.
const HOLDER: u32 = 0xffff;

/// The bit of a state that says that interrupts were enabled.
const WERE_ENABLED: u32 = 1 << 16;

/// Returns the holder's part of the state when this CPU takes a lock. Interrupts are masked.
#[inline(always)]
fn this_cpu() -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number of a CPU is small"
    )]
    let number = cpu::current() as u32;
    number + 1
}

/// Returns the state when this CPU takes a lock. Interrupts are masked, and were enabled or not.
#[inline(always)]
fn taken(were_enabled: bool) -> u32 {
    this_cpu() | if were_enabled { WERE_ENABLED } else { 0 }
}

/// Masks interrupts, and returns whether they were enabled.
#[inline(always)]
fn mask<W: Watch>() -> bool {
    let were_enabled = interrupts::are_enabled();
    if were_enabled {
        interrupts::disable();
        W::masked();
    }
    were_enabled
}

/// Lets interrupts in if they were enabled.
#[inline(always)]
fn unmask<W: Watch>(were_enabled: bool) {
    if were_enabled {
        W::unmasking();
        interrupts::enable();
    }
}

impl<W: Watch> MaskingLock<W> {
    /// Takes the lock if it is free, with interrupts masked.
    #[inline(always)]
    fn take(&self, were_enabled: bool) -> bool {
        let taken = taken(were_enabled);
        let found =
            (self.state).compare_exchange(FREE, taken, Ordering::Acquire, Ordering::Relaxed);
        found.is_ok()
    }

    /// Takes the lock when it becomes free. Called with interrupts masked, which were enabled before or not.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn wait(&self, were_enabled: bool) {
        loop {
            let is_ours = self.state.load(Ordering::Relaxed) & HOLDER == this_cpu();
            unmask::<W>(were_enabled);
            if is_ours {
                taken_by_ourselves::<W>();
            }
            while self.is_locked() {
                hint::spin_loop();
            }
            if were_enabled {
                mask::<W>();
            }
            if self.take(were_enabled) {
                break;
            }
        }
    }
}

// SAFETY: a lock is taken by one caller between two releases: `compare_exchange` finds it free for only one.
unsafe impl<W: Watch> RawMutex for MaskingLock<W> {
    const INIT: Self = Self {
        state: AtomicU32::new(FREE),
        watch: PhantomData,
    };

    type GuardMarker = GuardNoSend;

    #[inline]
    #[track_caller]
    fn lock(&self) {
        let were_enabled = mask::<W>();
        if !self.take(were_enabled) {
            self.wait(were_enabled);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let were_enabled = mask::<W>();
        let is_taken = self.take(were_enabled);
        if !is_taken {
            unmask::<W>(were_enabled);
        }
        is_taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        // Read before the release: behind it, the state is the next holder's.
        let were_enabled = self.state.load(Ordering::Relaxed) & WERE_ENABLED != 0;
        self.state.store(FREE, Ordering::Release);
        unmask::<W>(were_enabled);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FREE
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
