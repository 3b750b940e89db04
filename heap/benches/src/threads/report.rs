//! What is shown of a workload: a row a heap, and how much the rounds differ.
#![forbid(unsafe_code)]

use crate::contenders::Contender;
use crate::figures::Figures;
use crate::statistics::{Quartiles, median};
use crate::table::{Rows, number};
use crate::threads::measured::Outcomes;
use crate::threads::processors::Processors;
use crate::threads::{NAME, SPEED_UP, THREADS, Workload};
use crate::timings::{OVER_TALC, ROUND, TIME};

/// Times as long as mimalloc takes.
pub const OVER_MIMALLOC: &str = "over mimalloc";
/// Nanoseconds for an operation with one thread.
const TIME_ALONE: &str = "ns with one thread";
/// Nanoseconds for an operation with one thread in one of the rounds.
const ROUND_ALONE: &str = "ns with one thread in a round";
/// Where the middle half of the rounds is.
const SPREAD: &str = "half of the rounds";

/// One turn in so many may be disturbed without a word.
const MOST_DISTURBED: usize = 10;

/// A ratio in the table: its name, and those of its quartiles among the figures.
#[derive(Clone, Copy)]
struct Ratio {
    /// The median.
    name: &'static str,
    /// A quarter is below this.
    low: &'static str,
    /// A quarter is above this.
    high: &'static str,
}

/// To one thread.
const OF_ONE: Ratio = Ratio {
    name: SPEED_UP,
    low: "speed-up, lower quartile",
    high: "speed-up, upper quartile",
};
/// To the heaps that targets name.
const OVER: [(&str, Ratio); 2] = [
    (
        "talc",
        Ratio {
            name: OVER_TALC,
            low: "over talc, lower quartile",
            high: "over talc, upper quartile",
        },
    ),
    (
        "mimalloc",
        Ratio {
            name: OVER_MIMALLOC,
            low: "over mimalloc, lower quartile",
            high: "over mimalloc, upper quartile",
        },
    ),
];

/// What came out of a workload.
pub(super) struct Report<'a> {
    /// The workload.
    pub(super) workload: &'a Workload,
    /// The heaps.
    pub(super) contenders: &'a [Contender],
    /// What came out for each of them.
    pub(super) outcomes: &'a [Outcomes],
}

impl Report<'_> {
    /// Adds all to the figures.
    pub(super) fn record(&self, figures: &mut Figures) {
        for (contender, outcomes) in self.contenders.iter().zip(self.outcomes) {
            let mut add = |measure, value| {
                figures.add(NAME, self.workload.name, contender.name, measure, value);
            };
            let rounds = outcomes.together.rounds();
            rounds.iter().for_each(|round| add(ROUND, *round));
            (outcomes.alone.iter()).for_each(|round| add(ROUND_ALONE, *round));
            let medians = [(TIME, rounds), (TIME_ALONE, &outcomes.alone)];
            for (measure, rounds) in medians {
                median(rounds)
                    .into_iter()
                    .for_each(|value| add(measure, value));
            }
            for (ratio, quartiles) in self.ratios(outcomes) {
                if let Some(Quartiles { low, median, high }) = quartiles {
                    add(ratio.name, median);
                    add(ratio.low, low);
                    add(ratio.high, high);
                }
            }
        }
    }

    /// Prints the table.
    pub(super) fn print(&self, processors: &Processors) {
        let mut columns = Vec::new();
        if self.workload.is_for_one {
            columns.push("one thread");
        }
        columns.push("two threads");
        let ratios = self.ratio_names();
        columns.extend(ratios.flat_map(|ratio| [ratio.name, SPREAD]));
        let mut table = Rows::new(self.workload.name, columns);
        for (contender, outcomes) in self.contenders.iter().zip(self.outcomes) {
            table.add(contender.name, self.cells(outcomes));
            if outcomes.together.nanoseconds().is_none() {
                let name = self.workload.name;
                table.note(format!(
                    "{NAME}/{name}, {}: {}",
                    contender.name, outcomes.together
                ));
            }
        }
        table.note(format!("What is done: {}.", self.workload.about));
        table.note(place(processors));
        if let Some(warning) = self.warning() {
            table.note(warning);
        }
        let name = self.workload.name;
        table.print(&format!("{NAME}/{name}: ns for an operation of any thread"));
    }

    /// Says that other programs were at work, if it was not now and then.
    pub(super) fn warning(&self) -> Option<String> {
        let disturbed: usize = self.outcomes.iter().map(|one| one.disturbed).sum();
        let rounds = self.outcomes.iter().map(|one| one.together.rounds().len());
        let rounds: usize = rounds.sum();
        (disturbed * MOST_DISTURBED > rounds).then(|| {
            format!(
                "Disturbed: in {disturbed} of {rounds} turns, other programs took a processor away. Measure on a quiet machine, \
                 or go first: `sudo chrt --fifo 10 target/benches/release/bench --workloads threads`."
            )
        })
    }

    /// Returns a row of the table.
    fn cells(&self, outcomes: &Outcomes) -> Vec<String> {
        let mut cells = Vec::new();
        if self.workload.is_for_one {
            cells.push(number(median(&outcomes.alone)));
        }
        cells.push(number(outcomes.together.nanoseconds()));
        for (_, quartiles) in self.ratios(outcomes) {
            let spread = quartiles.map(|all| format!("{:.2} to {:.2}", all.low, all.high));
            cells.push(number(quartiles.map(|all| all.median)));
            cells.push(spread.unwrap_or_else(|| number(None)));
        }
        cells
    }

    /// Returns the ratios that a row has.
    fn ratio_names(&self) -> impl Iterator<Item = Ratio> {
        let of_one = self.workload.is_for_one.then_some(OF_ONE);
        let over = OVER
            .into_iter()
            .filter(|(name, _)| self.find(name).is_some());
        of_one.into_iter().chain(over.map(|(_, ratio)| ratio))
    }

    /// Returns the ratios of a row. `None` where it was left out, or the other one was.
    fn ratios(&self, outcomes: &Outcomes) -> Vec<(Ratio, Option<Quartiles>)> {
        let of_one = self
            .workload
            .is_for_one
            .then(|| (OF_ONE, outcomes.speed_up()));
        let over = OVER.iter().filter_map(|(name, ratio)| {
            let other = self.find(name)?;
            Some((*ratio, outcomes.over(other)))
        });
        of_one.into_iter().chain(over).collect()
    }

    /// Returns what came out for the heap of this name.
    fn find(&self, name: &str) -> Option<&Outcomes> {
        let index = self.contenders.iter().position(|one| one.name == name)?;
        Some(&self.outcomes[index])
    }
}

/// Says where the threads ran.
fn place(processors: &Processors) -> String {
    if processors.are_enough_for(THREADS) {
        return format!("Where: the threads stay on {processors}, one on each.");
    }
    format!(
        "Where: on {processors}. So the {THREADS} threads take turns, and these figures say nothing of many processors: \
         measure where there are {THREADS} at least."
    )
}
