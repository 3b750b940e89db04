//! What is timed: streams by name, each in a group whose geometric mean is one number.
#![forbid(unsafe_code)]

pub(crate) mod random_mix;
mod single_size;
mod traces;
mod vec_growth;

use core::fmt;

use crate::operation::Stream;

/// A stream that is timed.
pub struct Workload {
    /// What it is one of.
    pub group: &'static str,
    /// Which one of these.
    pub name: String,
    /// Makes the stream of a seed, the same each time.
    make: Box<dyn Fn(u64) -> Stream>,
}

impl Workload {
    /// Names what `make` makes.
    fn new(
        group: &'static str,
        name: impl fmt::Display,
        make: impl Fn(u64) -> Stream + 'static,
    ) -> Self {
        Self {
            group,
            name: name.to_string(),
            make: Box::new(make),
        }
    }

    /// Returns the stream of round number `seed`. Where anything in it is random, every seed has another one.
    #[must_use]
    pub fn stream(&self, seed: u64) -> Stream {
        (self.make)(seed)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workload({}/{})", self.group, self.name)
    }
}

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that the tables have.
    Whole,
    /// Fewer sizes and shorter streams.
    Quick,
}

/// Returns what every heap does before it is timed: `seed` is another one than that of what is timed. It is random, so
/// that the processor learns the heap's paths by it, and none of what is to come.
#[must_use]
pub fn warm_up(seed: u64) -> Stream {
    random_mix::stream(1000, 50_000, random_mix::SIZES, seed ^ (1 << 32))
}

/// Returns all of them, group by group.
#[must_use]
pub fn all(extent: Extent) -> Vec<Workload> {
    let mut workloads = single_size::workloads(extent);
    workloads.extend(random_mix::workloads(extent));
    workloads.extend(vec_growth::workloads());
    workloads.extend(traces::workloads());
    workloads
}

#[cfg(test)]
mod tests {
    use super::{Extent, all};
    use std::collections::HashSet;

    #[test]
    fn every_stream_is_the_same_each_time_and_ends_empty() {
        let mut names = HashSet::new();
        for workload in all(Extent::Quick) {
            let [first, second, other] = [1, 1, 2].map(|seed| workload.stream(seed));
            assert_eq!(first.body, second.body, "{workload:?}");
            let is_random = ["random", "live_objects", "bulk_shuffled"].contains(&workload.group);
            assert_eq!(first.body != other.body, is_random, "{workload:?}");
            assert!(!first.body.is_empty(), "{workload:?}");
            assert!(names.insert(format!("{workload:?}")), "twice: {workload:?}");
        }
        assert!(names.len() > 20, "{names:?}");
    }
}
