//! The numbers of a run, in words. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use crate::counted::Counted;

/// What has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps of the tasks.
    pub steps: u64,
    /// Objects that they allocated.
    pub allocations: u64,
    /// Objects resized.
    pub resizes: u64,
    /// Requests that were answered with null.
    pub nulls: u64,
    /// Objects that one context allocated and another one freed.
    pub exchanged: u64,
    /// Runs of interrupt handlers.
    pub handler_runs: u64,
    /// How often the whole heap was checked.
    pub checks: u64,
}

/// A run, at its end or in the middle. Displays as a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Seconds that have passed.
    pub seconds: u64,
    /// What the random streams start from.
    pub seed: u64,
    /// How many tasks.
    pub tasks: usize,
    /// What they have done.
    pub counts: Counts,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            seed,
            tasks,
            counts,
        } = self;
        write!(
            f,
            "{seconds} s, seed {seed}, {tasks} tasks: {} steps, {} allocations, {} resizes, {} exchanged, {} null; \
             {} of handlers; {}",
            counts.steps,
            counts.allocations,
            counts.resizes,
            counts.exchanged,
            counts.nulls,
            Counted(counts.handler_runs, "run"),
            Counted(counts.checks, "check")
        )
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_report_is_one_line() {
        let counts = Counts {
            steps: 7,
            allocations: 6,
            resizes: 5,
            nulls: 4,
            exchanged: 3,
            handler_runs: 2,
            checks: 1,
        };
        let report = Report {
            seconds: 20,
            seed: 1,
            tasks: 6,
            counts,
        };
        assert_eq!(
            report.to_string(),
            "20 s, seed 1, 6 tasks: 7 steps, 6 allocations, 5 resizes, 3 exchanged, 4 null; 2 runs of handlers; 1 check"
        );
    }
}
