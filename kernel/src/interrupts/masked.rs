//! How long the kernel's own heap has kept interrupts out at most.
//!
//! Measured always: each section in which the heap's lock has masked interrupts, from behind the masking to before the unmasking,
//! in counts of the time-stamp counter. Where interrupts were masked already (in a handler, say) the lock masks nothing,
//! and there is nothing to measure. An NMI in the section counts with it.
//!
//! The heaps that the bench makes have locks of their own, watched by [`MaskedTime`](crate::bench::masked::MaskedTime) or
//! not at all, and do not count here.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::interrupts::without_interrupts;

use crate::bench::clock;
use crate::lock::Watch;

/// When interrupts were masked last. Written with interrupts masked.
static MASKED_AT: AtomicU64 = AtomicU64::new(0);

/// The longest section so far. Written with interrupts masked.
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// Names the heap's lock, and measures it.
#[derive(Debug)]
pub enum HeapLock {}

impl Watch for HeapLock {
    const NAME: &'static str = "the heap's lock";

    #[inline(always)]
    fn masked() {
        MASKED_AT.store(clock::now(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn unmasking() {
        let length = clock::now().saturating_sub(MASKED_AT.load(Ordering::Relaxed));
        if length > LONGEST.load(Ordering::Relaxed) {
            LONGEST.store(length, Ordering::Relaxed);
        }
    }
}

/// Returns the longest section since the boot, or since [`reset`], in counts of the time-stamp counter:
/// [`duration_of`](super::timer::duration_of) makes time of them.
#[must_use]
pub fn longest() -> u64 {
    LONGEST.load(Ordering::Relaxed)
}

/// Forgets the longest section.
pub fn reset() {
    LONGEST.store(0, Ordering::Relaxed);
}

/// Runs `body` without what the heap does in it being measured: `unwatched(|| HEAP.check())`, which walks over everything
/// with interrupts masked, is no section of ordinary work.
///
/// Interrupts are masked by this function itself, so the heap's lock masks none. Keep `body` to what is to be left out.
pub fn unwatched<T>(body: impl FnOnce() -> T) -> T {
    without_interrupts(body)
}
