//! How much memory a recorded program needs to run to its end, over the most bytes that it has live.

use core::time::Duration;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::memory::over_arena;
use crate::operation::Stream;
use crate::rounds::{Outcome, Settings, try_out_in};
use crate::statistics::geometric_mean;
use crate::table::{Rows, number};
use crate::trace;

/// The name of the question.
pub const NAME: &str = "smallest_arena";
/// What is measured.
pub const RATIO: &str = "over peak";
/// Arenas are multiples of this.
const STEP: usize = 16 << 10;
/// An arena that is so many times the peak is large enough, or the heap is left out.
const LARGEST: usize = 8;

/// Searches the smallest arenas, prints the table, and adds to the figures.
pub fn run(contenders: &[Contender], arena: &Arena, settings: Settings, figures: &mut Figures) {
    let contenders = over_arena(contenders);
    let mut table = Rows::new("program", contenders.iter().map(|contender| contender.name));
    let mut ratios = vec![Vec::new(); contenders.len()];
    for name in trace::names() {
        let stream = trace::stream(name).expect("its own name");
        let mut cells = Vec::new();
        for (contender, ratios) in contenders.iter().zip(&mut ratios) {
            match smallest(&stream, contender, arena, settings.patience) {
                Ok(size) => {
                    let ratio = size as f64 / stream.peak_bytes as f64;
                    figures.add(NAME, name, contender.name, RATIO, ratio);
                    ratios.push(ratio);
                    cells.push(number(Some(ratio)));
                }
                Err(outcome) => {
                    table.note(format!("{NAME}/{name}, {}: {outcome}", contender.name));
                    cells.push(number(None));
                }
            }
        }
        table.add(name, cells);
    }
    let is_whole = |ratios: &&Vec<f64>| ratios.len() == trace::names().len();
    let means: Vec<_> = ratios
        .iter()
        .map(|ratios| geometric_mean(Some(ratios).filter(is_whole)?))
        .collect();
    for (contender, mean) in contenders.iter().zip(&means) {
        if let Some(mean) = mean {
            figures.add(NAME, "mean", contender.name, RATIO, *mean);
        }
    }
    table.add("mean", means.into_iter().map(number));
    table.print("smallest_arena: smallest memory that carries a recorded program, over its peak of live bytes");
}

/// Returns the size of the smallest arena in which the stream runs to its end, or why there is none.
fn smallest(
    stream: &Stream,
    contender: &Contender,
    arena: &Arena,
    patience: Duration,
) -> Result<usize, Outcome> {
    let run = |steps: usize| try_out_in(arena.first(steps * STEP), stream, contender, patience);
    // In `large` it runs, in `small` it does not.
    let mut small = (stream.peak_bytes - 1) / STEP;
    let mut large = LARGEST * stream.peak_bytes / STEP;
    match run(large) {
        Outcome::Timed(_) => {}
        other => return Err(other),
    }
    while small + 1 < large {
        let middle = usize::midpoint(small, large);
        match run(middle) {
            Outcome::Timed(_) => large = middle,
            Outcome::OutOfMemory(_) => small = middle,
            slow @ Outcome::TooSlow(_) => return Err(slow),
        }
    }
    Ok(large * STEP)
}

#[cfg(test)]
mod tests {
    use super::{STEP, smallest};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::operation::StreamBuilder;
    use core::time::Duration;

    #[test]
    fn the_smallest_arena_is_found_to_a_step() {
        let mut builder = StreamBuilder::new();
        for slot in 0..100 {
            builder.allocate(slot, 5 * STEP / 4, 8);
        }
        let stream = builder.finish();
        let arena = Arena::new(20 << 20).expect("20 MiB");
        let floor = all()
            .into_iter()
            .find(|one| one.name == "floor")
            .expect("it is there");
        let found = smallest(&stream, &floor, &arena, Duration::from_secs(60));
        assert_eq!(found, Ok(125 * STEP));
    }
}
