//! The atomics of what several CPUs change at once: `core`'s, or under `--cfg loom` those that loom models.
//!
//! Only what takes part in the protocol of [`crate::sharded`] comes from here. (`make loom` runs the models.)

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::Ordering;
#[cfg(loom)]
pub(crate) use model::{AtomicPtr, AtomicU64, AtomicUsize};

/// Orders what a sequentially consistent access before it did against sequentially consistent loads behind it.
///
/// They have that order by themselves: on x86-64 a read-modify-write is a full barrier. Loom knows sequential consistency
/// of fences alone, and needs one.
#[inline(always)]
pub(crate) fn fence_for_model() {
    #[cfg(loom)]
    if model::has_fences() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Leaves the fences out that the code itself has not, for the rest of this order of events: they acquire and release more than it does.
/// A model without them proves that what one writes another one sees, but not that nothing is lost.
#[cfg(all(test, loom))]
pub(crate) fn leave_fences_out() {
    model::leave_fences_out();
}

/// Orders what taking a lock wrote against sequentially consistent loads behind it: see [`visits`](crate::sharded::visits).
#[inline(always)]
pub(crate) fn fence_behind_lock() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(all(not(loom), target_arch = "x86_64", not(miri)))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(all(not(loom), not(all(target_arch = "x86_64", not(miri)))))]
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// Orders changes of tables against the look at a lock behind them, and that against what follows.
#[cfg(not(any(loom, tsan)))]
pub(crate) fn is_locked<R: lock_api::RawMutex, T>(mutex: &Mutex<R, T>) -> bool {
    core::sync::atomic::fence(Ordering::SeqCst);
    let is_locked = mutex.is_locked();
    core::sync::atomic::fence(Ordering::Acquire);
    is_locked
}
/// The same for the thread sanitizer, which knows no fences: who takes the lock for a moment is in an order too.
#[cfg(tsan)]
pub(crate) fn is_locked<R: lock_api::RawMutex, T>(mutex: &Mutex<R, T>) -> bool {
    mutex.try_lock().is_none()
}
/// The same, as far as loom knows it.
#[cfg(loom)]
pub(crate) fn is_locked<R, T>(mutex: &Mutex<R, T>) -> bool {
    loom::sync::atomic::fence(Ordering::SeqCst);
    mutex.is_locked()
}

/// Says to the model that what is [published](crate::published) in the block of `address` is about to change, or to be looked at by
/// somebody else than its owner.
///
/// Loom does not know these cells. It tries both orders of two events only if it has seen that these have to do with each other; so it
/// is shown that here, by something that orders nothing.
#[inline(always)]
pub(crate) fn show_to_model(address: usize) {
    #[cfg(loom)]
    model::touch_block(address);
    #[cfg(not(loom))]
    let _ = address;
}

#[cfg(not(loom))]
pub(crate) use lock_api::{Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use model::{Mutex, MutexGuard};

/// `lock_api`'s mutex, as far as it is used here, over the one that loom models: whatever kind of lock `R` is.
#[cfg(loom)]
mod model {
    use core::fmt;
    use core::marker::PhantomData;
    use core::ops::{Deref, DerefMut};
    use core::sync::atomic::AtomicBool;

    use loom::sync::atomic::{AtomicUsize as Word, Ordering};

    use crate::units::BLOCK_SIZE;

    /// An atomic, and a word that whoever is about to use it changes, in no order.
    ///
    /// Loom tries both orders of two accesses if one of them is a write and it has seen them follow each other. It remembers no more
    /// than the last access of an atomic: that of a thread that reads before it writes hides the reads of others before, and their
    /// other order is never tried. Changes of this word it sees all.
    #[derive(Debug)]
    pub(crate) struct Shown<A> {
        atomic: A,
        shown: Word,
    }

    /// A word.
    pub(crate) type AtomicUsize = Shown<Word>;
    /// 64 bits.
    pub(crate) type AtomicU64 = Shown<loom::sync::atomic::AtomicU64>;
    /// A pointer.
    pub(crate) type AtomicPtr<T> = Shown<loom::sync::atomic::AtomicPtr<T>>;

    impl<A> Shown<A> {
        /// Creates it of the atomic alone.
        fn of(atomic: A) -> Self {
            let shown = Word::new(0);
            Self { atomic, shown }
        }
    }

    impl AtomicUsize {
        /// Creates it.
        pub(crate) fn new(value: usize) -> Self {
            Self::of(Word::new(value))
        }
    }

    impl AtomicU64 {
        /// Creates it.
        pub(crate) fn new(value: u64) -> Self {
            Self::of(loom::sync::atomic::AtomicU64::new(value))
        }
    }

    impl<T> AtomicPtr<T> {
        /// Creates it.
        pub(crate) fn new(value: *mut T) -> Self {
            Self::of(loom::sync::atomic::AtomicPtr::new(value))
        }
    }

    impl<A> Deref for Shown<A> {
        type Target = A;

        fn deref(&self) -> &A {
            self.shown.fetch_add(1, Ordering::Relaxed);
            &self.atomic
        }
    }

    impl<A> DerefMut for Shown<A> {
        fn deref_mut(&mut self) -> &mut A {
            &mut self.atomic
        }
    }

    /// What the word of a lock holds.
    const FREE: usize = 0;
    const TAKEN: usize = 1;

    /// Words that blocks share.
    const WORDS: usize = 4;

    loom::lazy_static! {
        /// A word for each block, which whoever changes its published cells, or looks at them, touches.
        static ref TOUCHED: [Word; WORDS] = [(); WORDS].map(|()| Word::new(0));

        /// Whether there are fences for the model. No part of it, so it orders nothing.
        static ref FENCES: AtomicBool = AtomicBool::new(true);

        /// Whether loom is shown who only tries a lock: that takes a hundred times as long.
        static ref SHOWS_TRIED_LOCKS: bool = std::env::var_os("LOOM_TRIED_LOCKS").is_some();
    }

    /// Returns whether there are fences for the model.
    pub(super) fn has_fences() -> bool {
        FENCES.load(Ordering::Relaxed)
    }

    /// Leaves them out.
    #[cfg(test)]
    pub(super) fn leave_fences_out() {
        FENCES.store(false, Ordering::Relaxed);
    }

    /// Touches the word of the block that `address` is in.
    pub(super) fn touch_block(address: usize) {
        TOUCHED[address / BLOCK_SIZE % WORDS].fetch_add(1, Ordering::Relaxed);
    }

    /// A mutex, with the word that others look at.
    pub(crate) struct Mutex<R, T> {
        mutex: loom::sync::Mutex<T>,
        word: AtomicUsize,
        lock: PhantomData<fn() -> R>,
    }

    /// The right to what it guards.
    pub(crate) struct MutexGuard<'a, R, T> {
        guard: loom::sync::MutexGuard<'a, T>,
        word: &'a AtomicUsize,
        lock: PhantomData<fn() -> R>,
    }

    impl<R, T> Mutex<R, T> {
        /// Creates an unlocked mutex.
        pub(crate) fn const_new(_raw: R, value: T) -> Self {
            Self {
                mutex: loom::sync::Mutex::new(value),
                word: AtomicUsize::new(FREE),
                lock: PhantomData,
            }
        }

        /// Waits for the mutex.
        pub(crate) fn lock(&self) -> MutexGuard<'_, R, T> {
            self.taken(self.mutex.lock().expect("loom's mutex is never poisoned"))
        }

        /// Takes the mutex, if nobody has it.
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, R, T>> {
            // Loom knows no unlock that others fail without: the word has one.
            if *SHOWS_TRIED_LOCKS {
                self.word.load(Ordering::Relaxed);
            }
            Some(self.taken(self.mutex.try_lock().ok()?))
        }

        /// Returns whether somebody has the mutex, as its word says. Sees what was done by who had it before.
        pub(super) fn is_locked(&self) -> bool {
            self.word.load(Ordering::Acquire) == TAKEN
        }

        /// Says that the mutex is taken.
        fn taken<'a>(&'a self, guard: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, R, T> {
            self.word.store(TAKEN, Ordering::Relaxed);
            MutexGuard {
                guard,
                word: &self.word,
                lock: PhantomData,
            }
        }
    }

    impl<R, T> Drop for MutexGuard<'_, R, T> {
        fn drop(&mut self) {
            self.word.store(FREE, Ordering::Release);
        }
    }

    impl<R, T> Deref for MutexGuard<'_, R, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<R, T> DerefMut for MutexGuard<'_, R, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<R, T> fmt::Debug for Mutex<R, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Mutex").finish_non_exhaustive()
        }
    }
}
