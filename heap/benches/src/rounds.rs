//! Times a stream on every heap, round by round.
//!
//! In a round each heap has its turn, every time another one first, so that what disturbs the machine for a while hits all
//! of them. In its turn, a heap is made anew over the same memory, does the stream once untimed and then three times;
//! the fastest counts, since a disturbance only ever adds. The number of a heap is the median of its rounds, a ratio the
//! median of the rounds' ratios.

use core::time::Duration;
use std::time::Instant;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::heap::Heap;
use crate::operation::Stream;
use crate::replay::{Objects, OutOfMemory};
use crate::statistics::median;

/// Timed passes of a turn.
const PASSES: usize = 3;
/// Operations between two looks at the clock in the untimed pass.
const STRIDE: usize = 1000;

/// How it is timed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many rounds.
    pub rounds: usize,
    /// How long the untimed pass may take, until the heap is left out.
    pub patience: Duration,
}

/// What came out for one heap.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nanoseconds for an operation, round by round.
    Timed(Vec<f64>),
    /// It took longer than anybody waits: at least so many nanoseconds for an operation.
    TooSlow(f64),
    /// The arena was too small for it.
    OutOfMemory(OutOfMemory),
}

impl Outcome {
    /// Returns the median of the rounds.
    #[must_use]
    pub fn nanoseconds(&self) -> Option<f64> {
        median(self.rounds())
    }

    /// Returns the rounds. None, if it was left out.
    #[must_use]
    pub fn rounds(&self) -> &[f64] {
        match self {
            Self::Timed(rounds) => rounds,
            Self::TooSlow(_) | Self::OutOfMemory(_) => &[],
        }
    }

    /// Returns how many times as long as `other` it takes: the median of the rounds' ratios. `None` where one was left out.
    #[must_use]
    pub fn over(&self, other: &Self) -> Option<f64> {
        let pairs = self.rounds().iter().zip(other.rounds());
        median(
            &pairs
                .map(|(mine, theirs)| mine / theirs)
                .collect::<Vec<_>>(),
        )
    }
}

/// Times `stream` on every heap. The outcomes are in the order of `contenders`.
#[must_use]
pub fn measure(
    stream: &Stream,
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Timed(Vec::new()); contenders.len()];
    for round in 0..settings.rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let Outcome::Timed(rounds) = &mut outcomes[index] else {
                continue;
            };
            match time(stream, &contenders[index], arena, settings.patience) {
                Ok(nanoseconds) => rounds.push(nanoseconds),
                Err(outcome) => outcomes[index] = outcome,
            }
        }
    }
    outcomes
}

/// Returns the nanoseconds that an operation takes in one turn, or why there are none.
fn time(
    stream: &Stream,
    contender: &Contender,
    arena: &Arena,
    patience: Duration,
) -> Result<f64, Outcome> {
    // SAFETY: the heap before is not used any more.
    let heap = unsafe { (contender.make)(arena.whole()) };
    warm_up(&*heap, stream, patience)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..PASSES {
        fastest = fastest.min(pass(&*heap, stream).map_err(Outcome::OutOfMemory)?);
    }
    Ok(fastest)
}

/// Does the stream once, as long as that takes no longer than `patience`.
fn warm_up(heap: &dyn Heap, stream: &Stream, patience: Duration) -> Result<(), Outcome> {
    let mut objects = Objects::of(stream);
    let start = Instant::now();
    let mut done = 0;
    for operations in [&stream.setup, &stream.body, &stream.teardown] {
        for some in operations.chunks(STRIDE) {
            // SAFETY: the parts in order are the stream.
            unsafe { heap.replay(some, &mut objects) }.map_err(Outcome::OutOfMemory)?;
            done += some.len();
            let elapsed = start.elapsed();
            if elapsed > patience {
                return Err(Outcome::TooSlow(per_operation(elapsed, done)));
            }
        }
    }
    Ok(())
}

/// Does the stream once, and returns the nanoseconds that an operation of its body took.
fn pass(heap: &dyn Heap, stream: &Stream) -> Result<f64, OutOfMemory> {
    let mut objects = Objects::of(stream);
    // SAFETY: the stream's first part.
    unsafe { heap.replay(&stream.setup, &mut objects) }?;
    let start = Instant::now();
    // SAFETY: the part behind it.
    unsafe { heap.replay(&stream.body, &mut objects) }?;
    let elapsed = start.elapsed();
    // SAFETY: the last part.
    unsafe { heap.replay(&stream.teardown, &mut objects) }?;
    Ok(per_operation(elapsed, stream.body.len()))
}

/// Returns nanoseconds for each of `operations`.
fn per_operation(elapsed: Duration, operations: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / operations as f64
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Settings, measure};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::operation::StreamBuilder;
    use core::time::Duration;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mine = Outcome::Timed(vec![10.0, 20.0, 40.0]);
        let theirs = Outcome::Timed(vec![20.0, 80.0, 40.0]);
        assert_eq!(mine.nanoseconds(), Some(20.0));
        assert_eq!(mine.over(&theirs), Some(0.5));
        assert_eq!(mine.over(&Outcome::TooSlow(1.0)), None);
    }

    #[test]
    fn who_lacks_memory_or_time_is_left_out() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let contenders: Vec<_> = all()
            .into_iter()
            .filter(|one| one.name == "floor")
            .collect();
        let mut builder = StreamBuilder::new();
        builder.allocate(0, 100, 8);
        let small = builder.finish();
        let settings = |patience| Settings {
            rounds: 2,
            patience,
        };
        let minute = Duration::from_secs(60);
        let outcomes = measure(&small, &contenders, &arena, settings(minute));
        assert_eq!(outcomes[0].rounds().len(), 2);
        let outcomes = measure(&small, &contenders, &arena, settings(Duration::ZERO));
        assert!(matches!(outcomes[..], [Outcome::TooSlow(_)]));

        let mut builder = StreamBuilder::new();
        builder.allocate(0, 2 << 20, 8);
        let outcomes = measure(&builder.finish(), &contenders, &arena, settings(minute));
        assert!(matches!(outcomes[..], [Outcome::OutOfMemory(_)]));
    }
}
