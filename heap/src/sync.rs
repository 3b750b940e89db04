//! The atomics of what several CPUs change at once: `core`'s, or under `--cfg loom` those that loom models.
//!
//! Only what takes part in the protocol of [`crate::sharded`] comes from here. (`make loom` runs the models.)

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Orders what a sequentially consistent access before it did against sequentially consistent loads behind it.
///
/// They have that order by themselves: on x86-64 a read-modify-write is a full barrier. Loom knows sequential consistency
/// of fences alone, and needs one.
#[inline(always)]
pub(crate) fn fence_for_model() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
