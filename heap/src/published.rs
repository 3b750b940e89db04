//! Cells that other CPUs may look into while their owner works on.
//!
//! Owns nothing but the choice of accesses: one writer, who is alone by the lock (layer 4), and any number of readers without
//! it, who get some value that stood there. All accesses are relaxed loads and stores, which are plain moves on x86-64: such a
//! cell costs its owner what a [`Cell`](core::cell::Cell) costs. What a reader makes of several of them need not fit
//! together; whoever reads them says why that is enough.
//!
//! (These atomics are not among those that loom models, `crate::sync`: no ordering is asked of them, and there is one writer. It is
//! shown when a bitmap changes.)

use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::bitmap::Bitmap;
use crate::sync::show_to_model;

/// A byte.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct PublishedByte(AtomicU8);

impl PublishedByte {
    /// Returns what it holds.
    #[inline(always)]
    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes what it holds. Called by the one who is alone.
    #[inline(always)]
    pub(crate) fn set(&self, byte: u8) {
        self.0.store(byte, Ordering::Relaxed);
    }

    /// Does what [`set`](Self::set) does where there may be no byte yet, but readers.
    ///
    /// # Safety
    ///
    /// `place` is valid for reads and writes, and only readers and this one writer use it.
    #[inline(always)]
    pub(crate) unsafe fn publish(place: *mut Self, byte: u8) {
        // SAFETY: the caller's promise; the cell is the atomic (`repr(transparent)`).
        unsafe { AtomicU8::from_ptr(place.cast()) }.store(byte, Ordering::Relaxed);
    }
}

/// A size.
#[derive(Debug)]
pub(crate) struct PublishedSize(AtomicUsize);

impl PublishedSize {
    /// Creates a cell.
    pub(crate) const fn new(size: usize) -> Self {
        Self(AtomicUsize::new(size))
    }

    /// Returns what it holds.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes what it holds. Called by the one who is alone.
    #[inline]
    pub(crate) fn set(&self, size: usize) {
        self.0.store(size, Ordering::Relaxed);
    }
}

/// A set of 64 things.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct PublishedBitmap(AtomicU64);

impl PublishedBitmap {
    /// Creates a cell.
    pub(crate) const fn new(bitmap: Bitmap) -> Self {
        Self(AtomicU64::new(bitmap.bits()))
    }

    /// Returns the set.
    #[inline(always)]
    pub(crate) fn get(&self) -> Bitmap {
        Bitmap::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Changes the set. Called by the one who is alone.
    #[inline(always)]
    pub(crate) fn set(&self, bitmap: Bitmap) {
        show_to_model(core::ptr::from_ref(self).addr());
        self.0.store(bitmap.bits(), Ordering::Relaxed);
    }

    /// Does what [`set`](Self::set) does where there may be no set yet, but readers.
    ///
    /// # Safety
    ///
    /// As for [`PublishedByte::publish`], and `place` is aligned.
    pub(crate) unsafe fn publish(place: *mut Self, bitmap: Bitmap) {
        show_to_model(place.addr());
        // SAFETY: the caller's promise; the cell is the atomic (`repr(transparent)`).
        unsafe { AtomicU64::from_ptr(place.cast()) }.store(bitmap.bits(), Ordering::Relaxed);
    }
}
