//! One number for many.
#![forbid(unsafe_code)]

/// Returns the middle of `values`, or the mean of the two in the middle. `None` of none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    Some(f64::midpoint(sorted[middle - 1], *upper))
}

/// Returns the geometric mean of `values`, which are all above 0. `None` of none.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    Some((sum / values.len() as f64).exp())
}

/// Returns the smallest of `sorted` that at least `share` of them are not above: nearest rank. `None` of none.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the length, and clamped to it"
)]
pub fn percentile(sorted: &[u32], share: f64) -> Option<u32> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// Where the middle half of some numbers is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter of them is below this.
    pub low: f64,
    /// The middle.
    pub median: f64,
    /// A quarter of them is above this.
    pub high: f64,
}

impl Quartiles {
    /// Returns those of the ratios between `values` and as many `others`, pair by pair. `None` of none.
    #[must_use]
    pub fn of_ratios(values: &[f64], others: &[f64]) -> Option<Self> {
        let pairs = values.iter().zip(others);
        let mut ratios: Vec<_> = pairs.map(|(value, other)| value / other).collect();
        ratios.sort_by(f64::total_cmp);
        Some(Self {
            low: median(&ratios[..ratios.len().div_ceil(2)])?,
            median: median(&ratios)?,
            high: median(&ratios[ratios.len() / 2..])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Quartiles, geometric_mean, median, percentile};

    #[test]
    fn ratios_are_those_of_pairs() {
        // The machine got slower in the middle, for both.
        let quartiles = Quartiles::of_ratios(&[1.0, 10.0, 1.0], &[2.0, 20.0, 1.0]);
        let expected = Quartiles {
            low: 0.5,
            median: 0.5,
            high: 0.75,
        };
        assert_eq!(quartiles, Some(expected));
        assert_eq!(Quartiles::of_ratios(&[], &[]), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 100.0, 1.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_that_cancel_have_the_mean_1() {
        let mean = geometric_mean(&[0.25, 4.0, 2.0, 0.5]).expect("four");
        assert!((mean - 1.0).abs() < 1e-12, "{mean}");
        let mean = geometric_mean(&[1.0, 8.0]).expect("two");
        assert!((mean - 8_f64.sqrt()).abs() < 1e-12, "{mean}");
        assert_eq!(geometric_mean(&[]), None);
    }

    #[test]
    fn a_percentile_is_a_value_that_is_there() {
        let sorted: Vec<u32> = (1..=1000).collect();
        assert_eq!(percentile(&sorted, 0.5), Some(500));
        assert_eq!(percentile(&sorted, 0.99), Some(990));
        assert_eq!(percentile(&sorted, 0.999), Some(999));
        assert_eq!(percentile(&sorted, 1.0), Some(1000));
        assert_eq!(percentile(&[7], 0.0), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
