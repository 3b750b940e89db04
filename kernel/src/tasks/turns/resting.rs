//! Which CPUs rest, because they have found nothing to do.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::MOST_CPUS;

const _: () = assert!(MOST_CPUS <= 64, "a CPU is a bit of those that rest");

/// A bit for each CPU that rests.
///
/// **Nobody sleeps while a task waits.** A CPU that has found nothing writes down that it rests, *then* looks once more, and only
/// then sleeps until an interrupt. A CPU that puts a task into its queue looks *then* who rests, and wakes one. All CPUs
/// agree on one order of these four steps, so at least one of the two sees the other.
#[derive(Debug)]
pub(super) struct Resting(AtomicU64);

impl Resting {
    /// No CPU rests.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Writes down that `cpu` rests, then looks once more. It is to sleep if that finds nothing.
    pub(super) fn rest_and_look<T>(
        &self,
        cpu: usize,
        look: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        self.0.fetch_or(bit(cpu), Ordering::SeqCst);
        look()
    }

    /// Chooses who is to be woken when `cpu` has put a task into its queue, where `waiting` wait now: another CPU that rests.
    /// Waking takes it off the list: two tasks wake two CPUs.
    pub(super) fn to_be_woken(&self, cpu: usize, waiting: usize) -> Option<usize> {
        let resting = self.0.load(Ordering::SeqCst);
        // If this CPU rests, it was interrupted by whoever calls, and looks again behind it: it takes one itself.
        let takes_it = resting & bit(cpu) != 0 && waiting <= 1;
        let others = resting & !bit(cpu);
        if others == 0 || takes_it {
            return None;
        }
        let other = others.trailing_zeros() as usize;
        let before = self.0.fetch_and(!bit(other), Ordering::SeqCst);
        // If it was taken off the list meanwhile, it looks for itself, or was woken by another one.
        (before & bit(other) != 0).then_some(other)
    }

    /// Takes a CPU off the list that has found something to do.
    pub(super) fn note_busy(&self, cpu: usize) {
        if self.0.load(Ordering::Relaxed) & bit(cpu) != 0 {
            self.0.fetch_and(!bit(cpu), Ordering::SeqCst);
        }
    }
}

/// Returns the bit of a CPU.
const fn bit(cpu: usize) -> u64 {
    1 << cpu
}
