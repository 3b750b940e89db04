//! What is said of a count beside its checked-in figure.
#![forbid(unsafe_code)]

use crate::callgrind::Count;

/// A count may be this much more than its figure, in parts of it: the compiler lays out the same code in slightly different
/// ways, in another folder for instance.
const TOLERANCE: f64 = 0.02;

/// How a count compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// As much as before, or almost: the change, in parts of the figure.
    Same(f64),
    /// So much more, in parts of the figure.
    More(f64),
    /// So much less.
    Less(f64),
    /// The workload has other operations than when the figure was made.
    OtherWorkload,
    /// There is no figure.
    NoFigure,
}

impl Verdict {
    /// Compares.
    pub(crate) fn of(count: Count, figure: Option<Count>) -> Self {
        let Some(figure) = figure else {
            return Self::NoFigure;
        };
        if figure.operations != count.operations {
            return Self::OtherWorkload;
        }
        let change = count.per_operation() / figure.per_operation() - 1.0;
        if change > TOLERANCE {
            Self::More(change)
        } else if change < -TOLERANCE {
            Self::Less(change)
        } else {
            Self::Same(change)
        }
    }

    /// Returns whether the check fails.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(self, Self::More(_) | Self::OtherWorkload | Self::NoFigure)
    }

    /// Returns the change for a table.
    pub(crate) fn change(self) -> String {
        match self {
            Self::Same(change) | Self::More(change) | Self::Less(change) => {
                format!("{:+.1} %", change * 100.0)
            }
            Self::OtherWorkload => "other operations".to_string(),
            Self::NoFigure => "no figure".to_string(),
        }
    }

    /// Returns what a failure of the workload `name` is, in a sentence.
    pub(crate) fn sentence(self, name: &str, count: Count, figure: Option<Count>) -> String {
        let now = count.per_operation();
        match (self, figure) {
            (Self::More(change), Some(figure)) => format!(
                "{name} takes {now:.1} instructions an operation, where {:.1} are checked in: {:.1} % more, and {:.0} % may be",
                figure.per_operation(),
                change * 100.0,
                TOLERANCE * 100.0
            ),
            (Self::OtherWorkload, Some(figure)) => format!(
                "{name} has {} operations, and {} when its figure was checked in",
                count.operations, figure.operations
            ),
            _ => format!(
                "{name} takes {now:.1} instructions an operation, and no figure is checked in"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;
    use crate::callgrind::Count;

    /// Returns a count of a hundred operations.
    fn count(instructions: u64) -> Count {
        Count {
            operations: 100,
            instructions,
        }
    }

    #[test]
    fn two_in_a_hundred_more_are_borne() {
        let verdict = |instructions| Verdict::of(count(instructions), Some(count(5000)));
        assert_eq!(verdict(5000).change(), "+0.0 %");
        assert!(!verdict(5099).is_failure());
        assert!(verdict(5101).is_failure());
        assert!(matches!(verdict(5101), Verdict::More(_)));
        assert!(matches!(verdict(4800), Verdict::Less(_)));
        assert!(!verdict(4800).is_failure());
    }

    #[test]
    fn a_failure_names_the_workload_and_both_figures() {
        let sentence = |count, figure| Verdict::of(count, figure).sentence("pages", count, figure);
        assert_eq!(
            sentence(count(5500), Some(count(5000))),
            "pages takes 55.0 instructions an operation, where 50.0 are checked in: 10.0 % more, and 2 % may be"
        );
        let fewer = Count {
            operations: 99,
            instructions: 5000,
        };
        assert_eq!(
            sentence(count(5000), Some(fewer)),
            "pages has 100 operations, and 99 when its figure was checked in"
        );
        assert_eq!(
            sentence(count(5000), None),
            "pages takes 50.0 instructions an operation, and no figure is checked in"
        );
    }
}
