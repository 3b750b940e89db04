//! What is counted by those who cannot enter their own shard, because it is busy: frees, and requests answered with null.
//!
//! Plain counters, added to the shard's own when numbers are asked for.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::size_class::LISTS;

/// The counters.
#[derive(Debug)]
pub(crate) struct OutsideCounts {
    /// Chunks given back, by class.
    chunks: [AtomicU64; LISTS],
    /// Runs given back.
    runs: AtomicU64,
    /// Bytes that had been asked for in all of them.
    requested: AtomicUsize,
    /// Requests, by who may not wait, that were answered with null.
    failures: AtomicU64,
}

impl OutsideCounts {
    /// Creates counters of nothing.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicU64::new(0) }; LISTS],
            runs: AtomicU64::new(0),
            requested: AtomicUsize::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Counts a free of a chunk of list `list`, or with `None` of a run.
    pub(crate) fn count(&self, list: Option<usize>) {
        let counter = list.map_or(&self.runs, |list| &self.chunks[list]);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes `size` from the bytes asked for. (Less than nothing adds to them: the sum is what counts.)
    pub(crate) fn uncount_requested(&self, size: usize) {
        self.requested.fetch_add(size, Ordering::Relaxed);
    }

    /// Counts a request that is answered with null.
    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many requests were answered with null.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns how many chunks of list `list` were given back.
    pub(crate) fn chunks(&self, list: usize) -> u64 {
        self.chunks[list].load(Ordering::Relaxed)
    }

    /// Returns how many runs were given back.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Returns the bytes that had been asked for in all of them.
    pub(crate) fn requested(&self) -> usize {
        self.requested.load(Ordering::Relaxed)
    }
}
