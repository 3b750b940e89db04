//! Adds up the results of several test runs: Rust's own test programs, and this one.
//!
//! Every run ends with a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`. A step whose log has no such line, or
//! whose runs have run nothing at all, counts as one failure: a step that silently runs nothing must not look like success.
//! A step that cannot run on this machine says so, with a line `skipped: why`; that counts as one skipped test.
//! `boot/test.sh` writes the line `step failed` into the log of a step whose command failed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::output::say;

/// Passed, failed and skipped tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// Tests that passed.
    passed: u64,
    /// Tests that failed, and steps that did.
    failed: u64,
    /// Tests that were not run.
    skipped: u64,
}

impl Sum {
    /// The line that says that a step's command failed.
    const STEP_FAILED: &str = "step failed";

    /// What a line begins with that says what could not run, and why.
    const SKIPPED: &str = "skipped: ";

    /// Reads a step's log.
    fn of_log(log: &str) -> Self {
        let mut sum = Self::default();
        for line in log.lines() {
            if let Some((_, counts)) = line
                .trim_start()
                .strip_prefix("test result: ")
                .and_then(|rest| rest.split_once(". "))
            {
                sum.add(Self {
                    passed: count(counts, "passed"),
                    failed: count(counts, "failed"),
                    skipped: count(counts, "ignored"),
                });
            }
        }
        let skipped = log.lines().filter(|line| line.starts_with(Self::SKIPPED));
        let skipped = skipped.count() as u64;
        let has_failed = log.lines().any(|line| line == Self::STEP_FAILED);
        if sum.failed == 0 && (has_failed || (sum.passed == 0 && skipped == 0)) {
            sum.failed = 1;
        }
        sum.skipped += skipped;
        sum
    }

    /// Returns `, 2 skipped`, and nothing where nothing was.
    fn skipped_part(&self) -> String {
        match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        }
    }

    /// Adds another sum to this one.
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Finds `3 passed` in `3 passed; 0 failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    counts
        .split(';')
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, name)| *name == what)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

/// Prints the sum of all logs as one last line, and returns the exit code.
pub(crate) fn run(logs: &[PathBuf]) -> anyhow::Result<u8> {
    let mut sum = Sum::default();
    for path in logs {
        let log = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let step = Sum::of_log(&String::from_utf8_lossy(&log));
        say!(
            "{:24} {:5} passed, {} failed{}",
            name(path),
            step.passed,
            step.failed,
            step.skipped_part()
        )?;
        sum.add(step);
    }
    say!(
        "{} passed, {} failed{}",
        sum.passed,
        sum.failed,
        sum.skipped_part()
    )?;
    Ok(u8::from(sum.failed > 0))
}

/// Returns the name of a step: that of its log.
fn name(log: &Path) -> String {
    log.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum of nothing skipped.
    fn sum(passed: u64, failed: u64) -> Sum {
        Sum {
            passed,
            failed,
            skipped: 0,
        }
    }

    #[test]
    fn several_results_add_up() {
        let log = "test a ... ok\n\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            Sum::of_log(log),
            Sum {
                passed: 7,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn step_without_tests_has_failed() {
        assert_eq!(Sum::of_log(""), sum(0, 1));
        assert_eq!(
            Sum::of_log("test result: ok. 0 passed; 0 failed; 0 ignored"),
            sum(0, 1)
        );
    }

    #[test]
    fn step_that_says_why_it_is_skipped_has_not_failed() {
        let skipped = Sum {
            passed: 0,
            failed: 0,
            skipped: 1,
        };
        assert_eq!(Sum::of_log("=== miri\nskipped: no Miri here\n"), skipped);
        assert_eq!(
            Sum::of_log("test result: ok. 3 passed; 0 failed; 1 ignored\nskipped: the rest\n"),
            Sum {
                passed: 3,
                failed: 0,
                skipped: 2
            }
        );
        // Something else was said, or the command failed all the same.
        assert_eq!(Sum::of_log("something was skipped: a lot\n"), sum(0, 1));
        assert_eq!(
            Sum::of_log("skipped: no Miri here\nstep failed\n"),
            Sum {
                failed: 1,
                ..skipped
            }
        );
        assert_eq!(skipped.skipped_part(), ", 1 skipped");
        assert_eq!(sum(1, 0).skipped_part(), "");
    }

    #[test]
    fn failed_command_counts_even_if_its_tests_passed() {
        assert_eq!(
            Sum::of_log("test result: ok. 3 passed; 0 failed\nstep failed\n"),
            sum(3, 1)
        );
        assert_eq!(
            Sum::of_log("error: could not compile\nstep failed\n"),
            sum(0, 1)
        );
    }

    #[test]
    fn failed_tests_are_not_counted_twice() {
        assert_eq!(
            Sum::of_log("test result: FAILED. 3 passed; 2 failed\nstep failed\n"),
            sum(3, 2)
        );
    }
}
