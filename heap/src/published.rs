//! Cells that other CPUs may look into while their owner works on.
//!
//! Owns nothing but the choice of accesses: one writer, who is alone by the lock (layer 4), and any number of readers without
//! it, who get some value that stood there. All accesses are relaxed loads and stores, which are plain moves on x86-64: such a
//! cell costs its owner what a [`Cell`](core::cell::Cell) costs. What a reader makes of several of them need not fit
//! together; whoever reads them says why that is enough.
//!
//! (These atomics are not among those that loom models, `crate::sync`: no ordering is asked of them, and there is one writer.)

use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::bitmap::Bitmap;

/// Makes the type of a published cell: its name, the atomic inside, and the number that it holds.
macro_rules! published {
    ($(#[$documentation:meta])* $name:ident, $atomic:ty, $number:ty) => {
        $(#[$documentation])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        impl $name {
            /// Creates a cell.
            pub(crate) const fn new(number: $number) -> Self {
                Self(<$atomic>::new(number))
            }

            /// Returns what it holds.
            #[inline(always)]
            pub(crate) fn get(&self) -> $number {
                self.0.load(Ordering::Relaxed)
            }

            /// Changes what it holds. Called by the one who is alone.
            #[inline(always)]
            pub(crate) fn set(&self, number: $number) {
                self.0.store(number, Ordering::Relaxed);
            }

            /// Does what [`set`](Self::set) does where there may be no number yet, but readers.
            ///
            /// # Safety
            ///
            /// `place` is valid for reads and writes and aligned, and only readers and this one writer use it.
            #[inline(always)]
            pub(crate) unsafe fn publish(place: *mut Self, number: $number) {
                // SAFETY: the caller's promise; the cell is the atomic (`repr(transparent)`), and that the number.
                unsafe { <$atomic>::from_ptr(place.cast()) }.store(number, Ordering::Relaxed);
            }
        }
    };
}

published!(
    /// A byte.
    PublishedU8,
    AtomicU8,
    u8
);
published!(
    /// A word of bits.
    PublishedU64,
    AtomicU64,
    u64
);
published!(
    /// A size.
    PublishedUsize,
    AtomicUsize,
    usize
);

/// A set of 64 things.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct PublishedBitmap(PublishedU64);

impl PublishedBitmap {
    /// Creates a cell.
    pub(crate) const fn new(bitmap: Bitmap) -> Self {
        Self(PublishedU64::new(bitmap.bits()))
    }

    /// Returns the set.
    #[inline(always)]
    pub(crate) fn get(&self) -> Bitmap {
        Bitmap::from_bits(self.0.get())
    }

    /// Changes the set. Called by the one who is alone.
    #[inline(always)]
    pub(crate) fn set(&self, bitmap: Bitmap) {
        self.0.set(bitmap.bits());
    }

    /// Does what [`set`](Self::set) does where there may be no set yet, but readers.
    ///
    /// # Safety
    ///
    /// As for [`PublishedU64::publish`].
    pub(crate) unsafe fn publish(place: *mut Self, bitmap: Bitmap) {
        // SAFETY: the caller's promise.
        unsafe { PublishedU64::publish(place.cast(), bitmap.bits()) };
    }
}
