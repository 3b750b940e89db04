//! How long a run may take: the whole of it, and each of its boots to the kernel's first line.

use core::time::Duration;
use std::time::Instant;

/// A time that a run may not go beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The moment.
    pub(crate) end: Instant,
    /// How long it was from the beginning of what is limited.
    pub(crate) length: Duration,
    /// What is limited.
    pub(crate) during: &'static str,
}

impl Limit {
    /// A limit of so many seconds from `start`.
    fn new(start: Instant, seconds: u64, during: &'static str) -> Self {
        let length = Duration::from_secs(seconds);
        Self {
            end: start + length,
            length,
            during,
        }
    }
}

/// The limits of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// That of the whole.
    whole: Option<Limit>,
    /// How many seconds a boot may take.
    boot: Option<u64>,
    /// When the machine was started, or reset last.
    boot_start: Instant,
}

impl Limits {
    /// The limits of a run that begins at `start`, in seconds: of the whole, and of each boot.
    pub(crate) fn new(start: Instant, whole: Option<u64>, boot: Option<u64>) -> Self {
        Self {
            whole: whole.map(|seconds| Limit::new(start, seconds, "of running")),
            boot,
            boot_start: start,
        }
    }

    /// Takes note that the machine was reset at `moment`.
    pub(crate) fn reset(&mut self, moment: Instant) {
        self.boot_start = moment;
    }

    /// Returns the limit that ends first, where `is_kernel` says whether the kernel was heard of in this boot.
    pub(crate) fn next(&self, is_kernel: bool) -> Option<Limit> {
        let during = "before the kernel's first line";
        let boot = self
            .boot
            .filter(|_| !is_kernel)
            .map(|seconds| Limit::new(self.boot_start, seconds, during));
        self.whole
            .into_iter()
            .chain(boot)
            .min_by_key(|limit| limit.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the next limit of `limits` in seconds behind `start`, and what it is of.
    fn next(limits: &Limits, is_kernel: bool, start: Instant) -> Option<(u64, &'static str)> {
        limits.next(is_kernel).map(|limit| {
            assert!(limit.end - limit.length >= start);
            ((limit.end - start).as_secs(), limit.during)
        })
    }

    #[test]
    fn boot_is_limited_until_the_kernel_is_heard_of() {
        let start = Instant::now();
        let limits = Limits::new(start, None, Some(5));
        let of_boot = Some((5, "before the kernel's first line"));
        assert_eq!(next(&limits, false, start), of_boot);
        assert_eq!(next(&limits, true, start), None);
    }

    #[test]
    fn each_boot_has_its_time_from_its_own_start() {
        let start = Instant::now();
        let mut limits = Limits::new(start, None, Some(5));
        limits.reset(start + Duration::from_secs(60));
        let of_boot = Some((65, "before the kernel's first line"));
        assert_eq!(next(&limits, false, start), of_boot);
    }

    #[test]
    fn the_earlier_limit_counts_and_resets_do_not_prolong_the_whole() {
        let start = Instant::now();
        let mut limits = Limits::new(start, Some(8), Some(5));
        let of_whole = Some((8, "of running"));
        assert_eq!(next(&limits, true, start), of_whole);
        assert_eq!(
            next(&limits, false, start),
            Some((5, "before the kernel's first line"))
        );
        limits.reset(start + Duration::from_secs(4));
        assert_eq!(next(&limits, false, start), of_whole);
    }
}
