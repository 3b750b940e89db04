//! A limit on how often something is reported: what comes too soon is counted. Pure, and waits for nothing.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

/// Lets one report through a period.
#[derive(Debug)]
pub(super) struct Limit {
    /// From when on the next one may come; 0 in the beginning.
    next: AtomicU64,
    /// How many did not come through since the last one that did.
    held_back: AtomicU64,
}

impl Limit {
    /// Lets the first one through.
    pub(super) const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
        }
    }

    /// Returns whether to report at the time `now`; one that is not is counted.
    pub(super) fn admits(&self, now: u64, period: u64) -> bool {
        let later = now.saturating_add(period);
        let due = |next: u64| (now >= next).then_some(later);
        let is_admitted = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_ok();
        if !is_admitted {
            self.hold_back(1);
        }
        is_admitted
    }

    /// Counts what did not come through after all.
    pub(super) fn hold_back(&self, count: u64) {
        self.held_back.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns how many did not come through.
    pub(super) fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Returns how many did not come through, and counts from 0 again.
    pub(super) fn take_held_back(&self) -> u64 {
        self.held_back.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_period_comes_through_and_the_others_are_counted() {
        let limit = Limit::new();
        assert!(limit.admits(7, 100));
        for now in [7, 8, 106] {
            assert!(!limit.admits(now, 100));
        }
        assert_eq!(limit.held_back(), 3);
        assert!(limit.admits(107, 100));
        assert_eq!(limit.take_held_back(), 3);
        assert!(!limit.admits(108, 100));
        assert_eq!(limit.take_held_back(), 1);
        assert_eq!(limit.take_held_back(), 0);
    }

    #[test]
    fn the_first_one_comes_through_before_time_begins() {
        let limit = Limit::new();
        assert!(limit.admits(0, 100));
        assert!(!limit.admits(0, 100));
        limit.hold_back(5);
        assert_eq!(limit.held_back(), 6);
    }
}
