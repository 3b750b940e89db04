//! What the programs need, run in turn.
#![forbid(unsafe_code)]

use stack_alloc_benches::statistics::{Quartiles, median};

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

/// Returns where the middle half of the rounds' ratios is: what else the machine does changes slower than a round. `None` of
/// no rounds.
pub(crate) fn ratios(rounds: &[Usage], others: &[Usage]) -> Option<Quartiles> {
    let [rounds, others] =
        [rounds, others].map(|usages| usages.iter().map(|usage| usage.cpu).collect::<Vec<_>>());
    Quartiles::of_ratios(&rounds, &others)
}

#[cfg(test)]
mod tests {
    use super::{median_of, ratios};
    use crate::usage::Usage;
    use stack_alloc_benches::statistics::Quartiles;

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
        assert_eq!(ratios(&one, &other), Some(expected));
        assert_eq!(median_of(&other, |usage| usage.cpu), 2.0);
    }
}
