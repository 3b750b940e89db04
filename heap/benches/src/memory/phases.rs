//! The live share of an arena after phases in which objects of other sizes were asked for: what fragmentation takes.
//!
//! In each phase the arena is filled until a request fails, with objects of the phase's sizes, which are drawn from a few
//! ranges. Before the next one, half of what is live or more, up to nine tenths, dies at random. What is live at the last
//! failure counts. The order of the ranges decides much, so it is another one in each run, the same for every heap, and the
//! mean over all runs counts.

use core::time::Duration;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::memory::filling::{Filling, Objects, TooSlow};
use crate::memory::{ARENA, over_arena};
use crate::numbers::{Numbers, Sizes};
use crate::rounds::Settings;
use crate::table::{Rows, number};

/// The name of the question.
pub const NAME: &str = "phases";
/// What is measured.
pub const SHARE: &str = "live share";
/// The row that counts.
pub const LAST: &str = "last";
/// How often, with other random numbers each time.
const RUNS: u64 = 40;
/// How many phases a run has.
const PHASES: usize = 6;

/// The ranges that a phase's sizes are drawn from: never the same twice in a row.
const RANGES: [Sizes; 4] = [
    Sizes::Logarithmic(16, 256),
    Sizes::Logarithmic(256, 4096),
    Sizes::Logarithmic(4096, 32 << 10),
    Sizes::Logarithmic(16, 32 << 10),
];

/// What is live at the end of each phase.
type Shares = [f64; PHASES];

/// Goes through the phases, prints the table, and adds to the figures.
pub fn run(contenders: &[Contender], arena: &Arena, settings: Settings, figures: &mut Figures) {
    let contenders = over_arena(contenders);
    let mut table = Rows::new("after", contenders.iter().map(|contender| contender.name));
    let shares: Vec<_> = contenders
        .iter()
        .map(|contender| shares(contender, arena, settings.patience))
        .collect();
    for (contender, shares) in contenders.iter().zip(&shares) {
        match shares {
            Ok(shares) => figures.add(NAME, LAST, contender.name, SHARE, shares[PHASES - 1]),
            Err(reason) => table.note(format!("{NAME}, {}: {reason}", contender.name)),
        }
    }
    for phase in 0..PHASES {
        let cell =
            |shares: &Result<Shares, TooSlow>| number(shares.ok().map(|shares| shares[phase]));
        table.add(format!("phase {}", phase + 1), shares.iter().map(cell));
    }
    table.note("Between two phases, half to nine tenths of what is live die at random. The last line counts. Mean of 40 runs.");
    table.print("phases: live share of 16 MiB when a request fails, phase by phase");
}

/// Returns the mean share that is live at the end of each phase.
fn shares(contender: &Contender, arena: &Arena, patience: Duration) -> Result<Shares, TooSlow> {
    let mut sums = [0.0; PHASES];
    for seed in 0..RUNS {
        let shares = one_run(contender, arena, seed, patience)?;
        for (sum, share) in sums.iter_mut().zip(shares) {
            *sum += share;
        }
    }
    Ok(sums.map(|sum| sum / RUNS as f64))
}

/// Returns the share that is live at the end of each phase.
fn one_run(
    contender: &Contender,
    arena: &Arena,
    seed: u64,
    patience: Duration,
) -> Result<Shares, TooSlow> {
    // SAFETY: the heap before is not used any more.
    let heap = unsafe { (contender.make)(arena.first(ARENA)) };
    let mut filling = Filling::new(&*heap, patience);
    let mut shares = [0.0; PHASES];
    for (phase, range) in ranges(seed).into_iter().enumerate() {
        // Numbers of each phase for itself: how many the phase before took depends on the heap.
        let mut numbers = Numbers::new(seed * PHASES as u64 + phase as u64);
        filling.free(0.5 + 0.4 * numbers.fraction(), &mut numbers)?;
        let objects = Objects {
            sizes: RANGES[range],
            align: 8,
        };
        shares[phase] = filling.fill(objects, &mut numbers)? as f64 / ARENA as f64;
    }
    Ok(shares)
}

/// Returns which ranges the phases of a run have.
fn ranges(seed: u64) -> [usize; PHASES] {
    let mut numbers = Numbers::new(seed);
    let mut last = numbers.below(RANGES.len());
    core::array::from_fn(|_| {
        last = (last + 1 + numbers.below(RANGES.len() - 1)) % RANGES.len();
        last
    })
}

#[cfg(test)]
mod tests {
    use super::{RANGES, RUNS, ranges};

    #[test]
    fn sizes_change_from_phase_to_phase() {
        let runs: Vec<_> = (0..RUNS).map(ranges).collect();
        assert!(
            runs.iter()
                .all(|run| run.is_sorted_by(|one, next| one != next))
        );
        for range in 0..RANGES.len() {
            let last = runs
                .iter()
                .filter(|run| run[run.len() - 1] == range)
                .count();
            assert!(last >= 2, "range {range} is the last one {last} times");
        }
    }
}
