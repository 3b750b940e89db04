//! What a heap counts beyond what its lists do.
//!
//! Plain numbers; what counts is [`crate::factory_chain`], what shows them [`crate::statistics`].
#![forbid(unsafe_code)]

/// The counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Bytes asked for in what is live. An object that moves is counted twice while it is copied.
    pub(crate) requested: usize,
    /// The most that `requested` has ever been.
    pub(crate) requested_peak: usize,
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

    /// Adds to the bytes asked for.
    #[inline]
    pub(crate) fn count_requested(&mut self, size: usize) {
        self.requested += size;
        self.requested_peak = self.requested_peak.max(self.requested);
    }

    /// Takes from the bytes asked for. Sizes that get the same chunk are told apart by nobody, so what comes back may
    /// be more than what was asked for.
    #[inline]
    pub(crate) fn uncount_requested(&mut self, size: usize) {
        self.requested = self.requested.saturating_sub(size);
    }

    /// Counts a request that is answered with null.
    pub(crate) fn count_failure(&mut self) {
        self.failures += 1;
    }
}
