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

/// Returns the median of the rounds' ratios: what the machine does beside this changes slower than a round.
pub(crate) fn median_ratio(rounds: &[Usage], others: &[Usage]) -> f64 {
    let pairs = rounds.iter().zip(others);
    let ratios: Vec<_> = pairs.map(|(one, other)| one.cpu() / other.cpu()).collect();
    median(&ratios).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{median_of, median_ratio};
    use crate::usage::Usage;

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds = |times: [f64; 3]| {
            times.map(|user| Usage {
                user,
                system: user,
                memory: 0.0,
            })
        };
        // The machine got slower in the middle, for both.
        let (one, other) = (rounds([1.0, 10.0, 1.0]), rounds([2.0, 20.0, 1.0]));
        assert_eq!(median_ratio(&one, &other), 0.5);
        assert_eq!(median_of(&other, Usage::cpu), 4.0);
    }
}
