//! How long does one operation take at worst, and at its usual?
//!
//! Each operation of a random mix is timed by itself, in run after run of the very same stream on a new heap, interleaved
//! with the other heaps. An operation counts with the least that it took in any of the runs: interrupts and other
//! programs hit different operations each time, and what the heap does is the same each time. So percentiles and maximum
//! are the heap's, not the machine's.

pub mod clock;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::numbers::Sizes;
use crate::operation::Stream;
use crate::replay::{Objects, OutOfMemory};
use crate::rounds::{Outcome, Settings, pass, try_out};
use crate::statistics::percentile;
use crate::table::{Rows, number};
use crate::workloads::random_mix::{self, SIZES, SMALL};
use crate::workloads::{Extent, warm_up};
use clock::Clock;

/// The name of the question.
pub const NAME: &str = "latency";
/// How many objects are live: name, number, and of which sizes.
const LIVE: [(&str, usize, Sizes); 4] = [
    ("1k", 1000, SIZES),
    ("10k", 10_000, SIZES),
    ("100k", 100_000, SIZES),
    ("1M", 1_000_000, SMALL),
];
/// Runs for each round that others have: the more, the less of the machine is left in the maximum. With more objects than
/// this, to set them up takes too long for that.
const RUNS_A_ROUND: u16 = 3;
/// See there.
const FEW: usize = 100_000;
/// Objects that die and are replaced.
const REPLACED: usize = 100_000;
/// What is said of the operations: the share that took no longer.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Returns the names of its parts.
#[must_use]
pub fn names(extent: Extent) -> Vec<&'static str> {
    let most = if extent == Extent::Whole {
        LIVE.len()
    } else {
        3
    };
    LIVE[..most].iter().map(|(name, _, _)| *name).collect()
}

/// Times single operations with as many objects live as the part `name` says, prints the table, and adds to the figures.
pub fn run(
    clock: Clock,
    name: &str,
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
    figures: &mut Figures,
) {
    let Some((name, live, sizes)) = LIVE.into_iter().find(|(known, _, _)| *known == name) else {
        return;
    };
    let stream = random_mix::stream(live, REPLACED, sizes, 0);
    let factor = if live <= FEW { RUNS_A_ROUND } else { 1 };
    let settings = Settings {
        rounds: factor.saturating_mul(settings.rounds),
        ..settings
    };
    let ticks = least_ticks(&stream, contenders, arena, settings, clock);
    let mut table = Rows::new(name, contenders.iter().map(|contender| contender.name));
    for (measure, share) in SHARES {
        let values: Vec<_> = ticks
            .iter()
            .map(|sorted| Some(clock.nanoseconds(percentile(sorted.as_ref().ok()?, share)?)))
            .collect();
        for (contender, value) in contenders.iter().zip(&values) {
            if let Some(value) = value {
                figures.add(NAME, name, contender.name, measure, *value);
            }
        }
        table.add(measure, values.into_iter().map(number));
    }
    table.note(format!(
        "The clock ticks every {} ns; {} ns are subtracted for reading it.",
        number(Some(clock.nanoseconds(clock.step))),
        number(Some(clock.nanoseconds(clock.overhead)))
    ));
    for (contender, ticks) in contenders.iter().zip(&ticks) {
        if let Err(reason) = ticks {
            table.note(format!("{NAME}/{name}, {}: {reason}", contender.name));
        }
    }
    table.print(&format!(
        "latency with {name} live: ns of single operations, least of {} runs",
        settings.rounds
    ));
}

/// Returns for every heap the least ticks of each operation, sorted, or why there are none.
fn least_ticks(
    stream: &Stream,
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
    clock: Clock,
) -> Vec<Result<Vec<u32>, String>> {
    let mut all: Vec<_> = contenders
        .iter()
        .map(
            |contender| match try_out(stream, contender, arena, settings.patience) {
                Outcome::Timed(_) => Ok(vec![u32::MAX; stream.body.len()]),
                other => Err(other.to_string()),
            },
        )
        .collect();
    for round in 0..settings.rounds {
        let before = warm_up(u64::from(round));
        for turn in 0..contenders.len() {
            let index = (usize::from(round) + turn) % contenders.len();
            let Ok(ticks) = &mut all[index] else {
                continue;
            };
            if let Err(error) = lower(ticks, &before, stream, &contenders[index], arena, clock) {
                all[index] = Err(Outcome::OutOfMemory(error).to_string());
            }
        }
    }
    for ticks in all.iter_mut().flatten() {
        ticks.sort_unstable();
    }
    all
}

/// Runs the stream on a new heap, and lowers `ticks` to what its operations took.
fn lower(
    ticks: &mut [u32],
    before: &Stream,
    stream: &Stream,
    contender: &Contender,
    arena: &Arena,
    clock: Clock,
) -> Result<(), OutOfMemory> {
    // SAFETY: the heap before is not used any more.
    let heap = unsafe { (contender.make)(arena.whole()) };
    pass(&*heap, before)?;
    let mut objects = Objects::of(stream);
    // SAFETY: the stream's first part.
    unsafe { heap.replay(&stream.setup, &mut objects) }?;
    // SAFETY: the part behind it.
    unsafe { heap.replay_and_time(&stream.body, &mut objects, ticks, clock) }?;
    // SAFETY: the last part.
    unsafe { heap.replay(&stream.teardown, &mut objects) }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Settings, least_ticks};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::numbers::Sizes;
    use crate::workloads::random_mix;
    use core::time::Duration;

    #[test]
    fn every_operation_is_timed() {
        let contenders: Vec<_> = all()
            .into_iter()
            .filter(|one| one.name == "floor")
            .collect();
        let arena = Arena::new(16 << 20).expect("16 MiB");
        let stream = random_mix::stream(100, 500, Sizes::Fixed(64), 0);
        let settings = Settings {
            rounds: 2,
            patience: Duration::from_secs(600),
        };
        let ticks = least_ticks(&stream, &contenders, &arena, settings, Clock::new());
        let [Ok(ticks)] = &ticks[..] else {
            panic!("one heap was timed: {ticks:?}");
        };
        assert_eq!(ticks.len(), 1000);
        assert!(ticks.is_sorted());
        assert!(ticks[0] < u32::MAX && ticks[999] < u32::MAX);
    }
}
