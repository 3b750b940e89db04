//! Many numbers in a few. Pure.
#![forbid(unsafe_code)]

use core::fmt;

/// What a workload's operations of one kind took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many there were.
    pub count: usize,
    /// Their mean, rounded.
    pub mean: u32,
    /// As much or less was taken by half of them.
    pub p50: u32,
    /// As much or less was taken by 99 in 100.
    pub p99: u32,
    /// The most that one took.
    pub max: u32,
}

impl Summary {
    /// Sums samples up, and sorts them for that. `None` where there are none.
    #[must_use]
    pub fn of(samples: &mut [u32]) -> Option<Self> {
        samples.sort_unstable();
        let max = *samples.last()?;
        let sum: u64 = samples.iter().copied().map(u64::from).sum();
        let count = samples.len() as u64;
        Some(Self {
            count: samples.len(),
            mean: u32::try_from((sum + count / 2) / count).unwrap_or(u32::MAX),
            p50: percentile(samples, 50),
            p99: percentile(samples, 99),
            max,
        })
    }
}

/// Returns the smallest sample that `percent` in a hundred do not exceed: the nearest rank, never a number in between.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1]
}

/// One number as a part of another, for tables: `0.35`, `12.0`, `150`. A part of nothing is `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, whole) = (u64::from(self.0), u64::from(self.1));
        if whole == 0 {
            return f.pad("-");
        }
        let hundredths = (200 * part + whole) / (2 * whole);
        let (units, width) = (hundredths / 100, f.width().unwrap_or_default());
        match units {
            0..10 => write!(
                f,
                "{units:>0$}.{1:02}",
                width.saturating_sub(3),
                hundredths % 100
            ),
            10..100 => write!(
                f,
                "{units:>0$}.{1}",
                width.saturating_sub(2),
                hundredths % 100 / 10
            ),
            _ => write!(f, "{units:>width$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Summary::of(&mut []), None);
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let summary = Summary::of(&mut [7]).expect("there is a sample");
        assert_eq!(
            [summary.mean, summary.p50, summary.p99, summary.max],
            [7; 4]
        );
        assert_eq!(summary.count, 1);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        // 1 to 100, in another order.
        let mut samples = [0; 100];
        for (number, sample) in (0..).zip(&mut samples) {
            *sample = number * 37 % 100 + 1;
        }
        let summary = Summary::of(&mut samples).expect("there are samples");
        assert_eq!(
            [summary.p50, summary.p99, summary.max, summary.mean],
            [50, 99, 100, 51]
        );
        let hundred_and_one = &mut [1; 101];
        hundred_and_one[3] = 900;
        let summary = Summary::of(hundred_and_one).expect("there are samples");
        assert_eq!([summary.p50, summary.p99, summary.max], [1, 1, 900]);
        let two = Summary::of(&mut [9, 4]).expect("there are samples");
        assert_eq!([two.p50, two.p99, two.max, two.mean], [4, 9, 9, 7]);
    }

    #[test]
    fn sums_do_not_overflow() {
        let summary = Summary::of(&mut [u32::MAX; 50]).expect("there are samples");
        assert_eq!([summary.mean, summary.max], [u32::MAX; 2]);
    }

    #[test]
    fn ratios_are_rounded_and_padded() {
        for (part, whole, text) in [
            (1, 3, "  0.33"),
            (2, 3, "  0.67"),
            (999, 1000, "  1.00"),
            (0, 5, "  0.00"),
            (99, 10, "  9.90"),
            (125, 10, "  12.5"),
            (15_000, 100, "   150"),
            (1, 0, "     -"),
        ] {
            assert_eq!(format!("{:>6}", Ratio(part, whole)), text);
        }
        assert_eq!(format!("{}", Ratio(1, 2)), "0.50");
    }
}
