//! What the programs need, run in turn.
#![forbid(unsafe_code)]

use stack_alloc_benches::statistics::median;

use crate::contender::Contender;
use crate::usage::{self, Usage};

/// Runs every program once a round, another one first each time. Returns for each program its rounds.
///
/// # Errors
///
/// A sentence, if one fails.
pub(crate) fn run(
    contenders: &[Contender],
    arguments: &[String],
    rounds: u16,
) -> Result<Vec<Vec<Usage>>, String> {
    let mut usages = vec![Vec::new(); contenders.len()];
    for round in 0..usize::from(rounds) {
        for turn in 0..contenders.len() {
            let one = (round + turn) % contenders.len();
            usages[one].push(usage::of(&contenders[one].program, arguments)?);
        }
    }
    Ok(usages)
}

/// Returns the median of what `number` says of each round.
pub(crate) fn median_of(rounds: &[Usage], number: impl Fn(&Usage) -> f64) -> f64 {
    let values: Vec<_> = rounds.iter().map(number).collect();
    median(&values).unwrap_or(f64::NAN)
}

/// Where the middle half of some numbers is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    /// A quarter of them is below this.
    pub(crate) low: f64,
    /// The middle.
    pub(crate) median: f64,
    /// A quarter of them is above this.
    pub(crate) high: f64,
}

impl Quartiles {
    /// Returns those of the rounds' ratios: what else the machine does changes slower than a round.
    pub(crate) fn of_ratios(rounds: &[Usage], others: &[Usage]) -> Self {
        let pairs = rounds.iter().zip(others);
        let mut ratios: Vec<_> = pairs.map(|(one, other)| one.cpu / other.cpu).collect();
        ratios.sort_by(f64::total_cmp);
        let middle = |half: &[f64]| median(half).unwrap_or(f64::NAN);
        Self {
            low: middle(&ratios[..ratios.len().div_ceil(2)]),
            median: middle(&ratios),
            high: middle(&ratios[ratios.len() / 2..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Quartiles, median_of};
    use crate::usage::Usage;

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds = |times: [f64; 3]| times.map(|cpu| Usage { cpu, memory: 0.0 });
        // The machine got slower in the middle, for both.
        let (one, other) = (rounds([1.0, 10.0, 1.0]), rounds([2.0, 20.0, 1.0]));
        let expected = Quartiles {
            low: 0.5,
            median: 0.5,
            high: 0.75,
        };
        assert_eq!(Quartiles::of_ratios(&one, &other), expected);
        assert_eq!(median_of(&other, |usage| usage.cpu), 2.0);
    }
}
