//! The tables of results. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use super::operation::Operation;
use super::summary::{Ratio, Summary};

/// What one heap took for one operation of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Whole operations, with the lock.
    pub whole: Summary,
    /// The longest masked section in any of them.
    pub masked: u32,
}

/// Widths of the workload's name and the operation's.
const NAMES: (usize, usize) = (24, 8);

/// The head of a table of one heap.
#[derive(Clone, Copy, Debug)]
pub struct OneHead;

impl fmt::Display for OneHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, "workload", "")?;
        write!(
            f,
            "{:>7}{:>8}{:>8}{:>8}{:>9}{:>9}",
            "count", "mean", "p50", "p99", "max", "masked"
        )
    }
}

/// A line of a table of one heap.
#[derive(Clone, Copy, Debug)]
pub struct OneRow {
    /// The workload.
    pub workload: &'static str,
    /// The operation.
    pub operation: Operation,
    /// What was found.
    pub measured: Measured,
}

impl fmt::Display for OneRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, self.workload, self.operation.name())?;
        let Measured { whole, masked } = self.measured;
        write!(
            f,
            "{:>7}{:>8}{:>8}{:>8}{:>9}{masked:>9}",
            whole.count, whole.mean, whole.p50, whole.p99, whole.max
        )
    }
}

/// The head of a table of masked sections by what lives beside.
#[derive(Clone, Copy, Debug)]
pub struct GrowthHead;

impl fmt::Display for GrowthHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "longest masked section")?;
        Operation::ALL
            .iter()
            .try_for_each(|operation| write!(f, "{:>9}", operation.name()))
    }
}

/// A line of a table of masked sections.
#[derive(Clone, Copy, Debug)]
pub struct GrowthRow {
    /// The workload.
    pub workload: &'static str,
    /// The longest masked section in any operation, by operation.
    pub masked: [u32; Operation::ALL.len()],
}

impl fmt::Display for GrowthRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", self.workload)?;
        self.masked
            .iter()
            .try_for_each(|masked| write!(f, "{masked:>9}"))
    }
}

/// The head of a table of two heaps: two lines.
#[derive(Clone, Copy, Debug)]
pub struct TwoHead {
    /// The name of the first heap.
    pub first: &'static str,
    /// The name of the second one.
    pub second: &'static str,
}

impl fmt::Display for TwoHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, "", "")?;
        writeln!(
            f,
            "{:>28}{:>30}{:>24}",
            self.first, self.second, "first / second"
        )?;
        write_names(f, "workload", "")?;
        let heap = |f: &mut fmt::Formatter<'_>| {
            write!(f, "{:>6}{:>7}{:>8}{:>8}", "p50", "p99", "max", "masked")
        };
        heap(f)?;
        heap(f)?;
        write!(f, "{:>6}{:>6}{:>6}{:>8}", "p50", "p99", "max", "masked")
    }
}

/// A line of a table of two heaps.
#[derive(Clone, Copy, Debug)]
pub struct TwoRow {
    /// The workload.
    pub workload: &'static str,
    /// The operation.
    pub operation: Operation,
    /// What was found of the first heap.
    pub first: Measured,
    /// What was found of the second one.
    pub second: Measured,
}

impl fmt::Display for TwoRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, self.workload, self.operation.name())?;
        for Measured { whole, masked } in [self.first, self.second] {
            write!(
                f,
                "{:>6}{:>7}{:>8}{masked:>8}",
                whole.p50, whole.p99, whole.max
            )?;
        }
        let (first, second) = (self.first.whole, self.second.whole);
        write!(
            f,
            "{:>6}{:>6}{:>6}{:>8}",
            Ratio(first.p50, second.p50),
            Ratio(first.p99, second.p99),
            Ratio(first.max, second.max),
            Ratio(self.first.masked, self.second.masked)
        )
    }
}

/// Writes the names that a line begins with.
fn write_names(f: &mut fmt::Formatter<'_>, workload: &str, operation: &str) -> fmt::Result {
    write!(f, "{workload:<0$}{operation:<1$}", NAMES.0, NAMES.1)
}

/// The longest masked section of a heap, and where it was met.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongestMasked(Option<(u32, &'static str, Operation)>);

impl LongestMasked {
    /// Takes one more into account. Of two that are as long, the first counts.
    pub fn add(&mut self, workload: &'static str, operation: Operation, masked: u32) {
        if self.0.is_none_or(|(longest, ..)| masked > longest) {
            self.0 = Some((masked, workload, operation));
        }
    }
}

impl fmt::Display for LongestMasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some((masked, workload, operation)) => {
                write!(f, "{masked} ({workload}: {})", operation.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    /// Numbers that are all different.
    fn measured(start: u32) -> Measured {
        let mut samples = [start, start + 1, start + 2, start + 30];
        Measured {
            whole: Summary::of(&mut samples).expect("there are samples"),
            masked: start / 2,
        }
    }

    #[test]
    fn columns_stand_below_their_heads() {
        let row = OneRow {
            workload: "LIFO pairs, 16 B",
            operation: Operation::Free,
            measured: measured(100),
        };
        let (head, row) = (OneHead.to_string(), row.to_string());
        assert_eq!(head.len(), row.len());
        assert!(row.starts_with("LIFO pairs, 16 B        free"), "{row}");
        let numbers = row.split_whitespace().skip(5).collect::<Vec<_>>();
        assert_eq!(numbers, ["4", "108", "101", "130", "130", "50"]);
    }

    #[test]
    fn two_heaps_stand_side_by_side() {
        let head = TwoHead {
            first: "stack_alloc",
            second: "linked_list_allocator",
        };
        let row = TwoRow {
            workload: "x",
            operation: Operation::Allocate,
            first: measured(100),
            second: measured(200),
        };
        let (head, row) = (head.to_string(), row.to_string());
        let mut widths = head.lines().map(str::len);
        assert!(widths.clone().all(|width| width <= 120), "{head}");
        assert_eq!(widths.next_back(), Some(row.len()));
        assert!(row.ends_with("  0.50  0.57  0.57    0.50"), "{row}");
    }

    #[test]
    fn masked_sections_stand_below_their_operations() {
        let row = GrowthRow {
            workload: "100 live",
            masked: [12, 3456, 7],
        };
        let (head, row) = (GrowthHead.to_string(), row.to_string());
        assert_eq!(head, "longest masked section      alloc     free  realloc");
        assert_eq!(row, "100 live                       12     3456        7");
    }

    #[test]
    fn longest_masked_section_is_the_first_of_the_longest() {
        let mut longest = LongestMasked::default();
        assert_eq!(format!("{longest}"), "none");
        for (workload, masked) in [("a", 1), ("b", 7), ("c", 7), ("d", 2)] {
            longest.add(workload, Operation::Free, masked);
        }
        assert_eq!(format!("{longest}"), "7 (b: free)");
    }
}
