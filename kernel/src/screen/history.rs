//! What the heap held over time: a sample each quarter of a second, the oldest forgotten.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::time::Duration;

/// Samples a second.
pub(crate) const SAMPLES_PER_SECOND: u64 = 4;

/// Returns how many intervals between samples a time is.
pub(crate) const fn intervals(time: Duration) -> u64 {
    let part = time.subsec_millis() as u64 * SAMPLES_PER_SECOND / 1000;
    time.as_secs() * SAMPLES_PER_SECOND + part
}

/// The heap at one moment, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Held from the source.
    pub(crate) held: u32,
    /// In chunks, runs and regions that are live.
    pub(crate) used: u32,
    /// Asked for by the layouts of what is live.
    pub(crate) asked: u32,
    /// Requests failed since the sample before.
    pub(crate) has_failures: bool,
}

/// The samples, the oldest first.
#[derive(Debug)]
pub(crate) struct History {
    /// The samples. Their room is fixed.
    samples: Vec<Sample>,
    /// When the first was taken, in intervals since the start of the kernel.
    first: u64,
}

impl History {
    /// Returns a history that remembers `capacity` samples, at least four; `None` when memory is out.
    pub(crate) fn new(capacity: usize) -> Option<Self> {
        let mut samples = Vec::new();
        samples.try_reserve_exact(capacity.max(4)).ok()?;
        Some(Self { samples, first: 0 })
    }

    /// Returns the samples.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Returns when the first sample was taken, in intervals since the start of the kernel.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// Adds a sample taken at `time`, in intervals since the start of the kernel. A second one in the same interval is left
    /// out; where nobody took any, the one before counts. When there is no more room, the oldest quarter is forgotten.
    pub(crate) fn push(&mut self, time: u64, sample: Sample) {
        if self.samples.is_empty() {
            self.first = time;
        }
        let next = self.first + self.samples.len() as u64;
        if time < next {
            return;
        }
        if time - next >= self.samples.capacity() as u64 {
            self.samples.clear();
            self.first = time;
        }
        let last = self.samples.last().copied().unwrap_or(sample);
        let calm = Sample {
            has_failures: false,
            ..last
        };
        while self.first + (self.samples.len() as u64) < time {
            self.add(calm);
        }
        self.add(sample);
    }

    /// Adds a sample behind the last.
    fn add(&mut self, sample: Sample) {
        if self.samples.len() == self.samples.capacity() {
            let forgotten = self.samples.len() / 4;
            self.samples.drain(..forgotten);
            self.first += forgotten as u64;
        }
        self.samples.push(sample);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A sample that is told by what it holds.
    fn sample(held: u32) -> Sample {
        Sample {
            held,
            ..Sample::default()
        }
    }

    /// What the samples hold.
    fn held(history: &History) -> Vec<u32> {
        history.samples().iter().map(|sample| sample.held).collect()
    }

    #[test]
    fn samples_keep_their_time() {
        let mut history = History::new(100).unwrap();
        history.push(7, sample(1));
        history.push(8, sample(2));
        history.push(8, sample(3));
        history.push(11, sample(4));
        assert_eq!(history.first(), 7);
        assert_eq!(held(&history), [1, 2, 2, 2, 4]);
    }

    #[test]
    fn gap_repeats_the_sample_but_not_its_failures() {
        let mut history = History::new(100).unwrap();
        let failed = Sample {
            has_failures: true,
            ..sample(1)
        };
        history.push(0, failed);
        history.push(2, failed);
        let failures: Vec<bool> = history.samples().iter().map(|s| s.has_failures).collect();
        assert_eq!(failures, [true, false, true]);
    }

    #[test]
    fn oldest_quarter_is_forgotten_without_more_room() {
        let mut history = History::new(8).unwrap();
        let room = history.samples.capacity();
        for time in 0..=room as u64 {
            history.push(time, sample(u32::try_from(time).unwrap()));
        }
        assert_eq!(history.samples.capacity(), room);
        assert_eq!(history.first(), room as u64 / 4);
        assert_eq!(history.samples().len(), room - room / 4 + 1);
        assert_eq!(held(&history).last(), Some(&u32::try_from(room).unwrap()));
    }

    #[test]
    fn long_gap_begins_anew() {
        let mut history = History::new(8).unwrap();
        history.push(0, sample(1));
        history.push(1_000_000, sample(2));
        assert_eq!(history.first(), 1_000_000);
        assert_eq!(held(&history), [2]);
    }
}
