//! The live share of an arena after phases in which objects of other sizes were asked for: what fragmentation takes.
//!
//! In each phase the arena is filled until a request fails, with objects of the phase's sizes. Before the next one, half of
//! what is live or more, up to nine tenths, dies at random. What is live at the last failure counts.

use core::time::Duration;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::memory::filling::{Filling, Objects, TooSlow};
use crate::memory::{ARENA, over_arena};
use crate::numbers::{Numbers, Sizes};
use crate::rounds::Settings;
use crate::statistics::median;
use crate::table::{Rows, number};

/// The name of the question.
pub const NAME: &str = "phases";
/// What is measured.
pub const SHARE: &str = "live share";
/// The row that counts.
pub const LAST: &str = "last";
/// How often, with other random numbers each time.
const TIMES: u64 = 9;

/// The sizes of the phases, from first to last.
const PHASES: [Sizes; 6] = [
    Sizes::Logarithmic(16, 512),
    Sizes::Logarithmic(64, 2048),
    Sizes::Logarithmic(16, 256),
    Sizes::Logarithmic(128, 4096),
    Sizes::Logarithmic(32, 1024),
    Sizes::Logarithmic(16, 512),
];

/// What is live at the end of each phase.
type Shares = [f64; PHASES.len()];

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
            Ok(shares) => figures.add(NAME, LAST, contender.name, SHARE, shares[PHASES.len() - 1]),
            Err(reason) => table.note(format!("{NAME}, {}: {reason}", contender.name)),
        }
    }
    for (index, sizes) in PHASES.iter().enumerate() {
        let cell =
            |shares: &Result<Shares, TooSlow>| number(shares.ok().map(|shares| shares[index]));
        table.add(format!("{}. {sizes}", index + 1), shares.iter().map(cell));
    }
    table.note("Between two phases, half to nine tenths of what is live die at random. The last line counts.");
    table.print("phases: live share of 16 MiB when a request fails, phase by phase");
}

/// Returns the median share that is live at the end of each phase.
fn shares(contender: &Contender, arena: &Arena, patience: Duration) -> Result<Shares, TooSlow> {
    let mut runs = Vec::new();
    for seed in 0..TIMES {
        runs.push(one_run(contender, arena, seed, patience)?);
    }
    Ok(core::array::from_fn(|phase| {
        let shares: Vec<_> = runs.iter().map(|run| run[phase]).collect();
        median(&shares).expect("there are runs")
    }))
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
    let mut shares = [0.0; PHASES.len()];
    for (number, sizes) in (0..).zip(PHASES) {
        // Numbers of each phase for itself: how many the phase before took depends on the heap.
        let mut numbers = Numbers::new(seed * 100 + number as u64);
        filling.free(0.5 + 0.4 * numbers.fraction(), &mut numbers)?;
        let bytes = filling.fill(Objects { sizes, align: 8 }, &mut numbers)?;
        shares[number] = bytes as f64 / ARENA as f64;
    }
    Ok(shares)
}
