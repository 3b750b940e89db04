//! What a heap counts beyond what its lists do.
//!
//! Plain numbers; what counts is [`crate::factory_chain`], what shows them [`crate::statistics`].
#![forbid(unsafe_code)]

/// The counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Bytes asked for in what is live. An object that moves is counted twice while it is copied. Sizes that get the same
    /// chunk are told apart by nobody, so what comes back may be more than what was asked for, and this below 0.
    requested: isize,
    /// The most that `requested` has ever been.
    requested_peak: isize,
    /// Pages in runs that are allocations.
    pub(crate) whole_pages: usize,
    /// Runs ever handed out.
    pub(crate) whole_allocations: u64,
    /// Runs ever taken back.
    pub(crate) whole_frees: u64,
    /// Regions ever handed out.
    pub(crate) region_allocations: u64,
    /// Regions ever taken back.
    pub(crate) region_frees: u64,
    /// Requests answered with "no".
    pub(crate) failures: u64,
}

impl Totals {
    /// Creates counters of nothing.
    pub(crate) const fn new() -> Self {
        Self {
            requested: 0,
            requested_peak: 0,
            whole_pages: 0,
            whole_allocations: 0,
            whole_frees: 0,
            region_allocations: 0,
            region_frees: 0,
            failures: 0,
        }
    }

    /// Returns the bytes asked for in what is live.
    pub(crate) fn requested(&self) -> usize {
        usize::try_from(self.requested).unwrap_or(0)
    }

    /// Returns the bytes asked for as they are added up, to be added to those of others.
    pub(crate) const fn requested_balance(&self) -> isize {
        self.requested
    }

    /// Returns the most bytes ever asked for in what was live.
    pub(crate) fn requested_peak(&self) -> usize {
        usize::try_from(self.requested_peak).unwrap_or(0)
    }

    /// Adds to the bytes asked for.
    #[inline]
    pub(crate) fn count_requested(&mut self, size: usize) {
        self.requested = self.requested.wrapping_add_unsigned(size);
        self.requested_peak = self.requested_peak.max(self.requested);
    }

    /// Takes from the bytes asked for.
    #[inline]
    pub(crate) fn uncount_requested(&mut self, size: usize) {
        self.requested = self.requested.wrapping_sub_unsigned(size);
    }

    /// Counts a request that is answered with null.
    pub(crate) fn count_failure(&mut self) {
        self.failures += 1;
    }
}
