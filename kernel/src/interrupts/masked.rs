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
use crate::cpu::{MOST_CPUS, Own, PerCpu};
use crate::lock::Watch;

/// What is measured of a CPU. Written by that CPU, with interrupts masked.
struct Measured {
    /// When interrupts were masked last.
    masked_at: AtomicU64,
    /// The longest section so far.
    longest: AtomicU64,
}

/// What is measured of each CPU.
static MEASURED: PerCpu<Measured> = PerCpu::new(
    [const {
        Own::new(Measured {
            masked_at: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        })
    }; MOST_CPUS],
);

/// Names the heap's lock, and measures it.
#[derive(Debug)]
pub enum HeapLock {}

impl Watch for HeapLock {
    const NAME: &'static str = "the heap's lock";

    #[inline(always)]
    fn masked() {
        (MEASURED.here().masked_at).store(clock::now(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn unmasking() {
        let measured = MEASURED.here();
        let length = clock::now().saturating_sub(measured.masked_at.load(Ordering::Relaxed));
        if length > measured.longest.load(Ordering::Relaxed) {
            measured.longest.store(length, Ordering::Relaxed);
        }
    }
}

/// Returns the longest section of any CPU since the boot, or since [`reset`], in counts of the time-stamp counter:
/// [`duration_of`](super::timer::duration_of) makes time of them.
#[must_use]
pub fn longest() -> u64 {
    let longest = (MEASURED.iter()).map(|measured| measured.longest.load(Ordering::Relaxed));
    longest.max().unwrap_or(0)
}

/// Forgets the longest sections.
pub fn reset() {
    for measured in MEASURED.iter() {
        measured.longest.store(0, Ordering::Relaxed);
    }
}

/// Runs `body` without what the heap does in it being measured: `unwatched(|| HEAP.check())`, which walks over everything
/// with interrupts masked, is no section of ordinary work.
///
/// Interrupts are masked by this function itself, so the heap's lock masks none. Keep `body` to what is to be left out.
pub fn unwatched<T>(body: impl FnOnce() -> T) -> T {
    without_interrupts(body)
}
