//! Times a stream on every heap, round by round.
//!
//! In a round each heap has its turn, every time another one first, so that what disturbs the machine for a while hits all
//! of them. In its turn, a heap is made anew over the same memory, does a random stream as a warm-up, and is then timed
//! on the stream in question, once. Where a stream is random, it is another one in each round, and a recorded one is timed
//! once in a turn: a processor learns in a few repetitions what a hundred thousand branches do, and no program asks for the
//! same a second time.
//!
//! Time is that of the processor, without what it spends on others meanwhile. The number of a heap is the median of its
//! rounds, a ratio the median of the rounds' ratios.

use core::fmt;
use core::time::Duration;

use cpu_time::ThreadTime;

use crate::arena::{Arena, Memory};
use crate::contenders::Contender;
use crate::heap::Heap;
use crate::operation::Stream;
use crate::replay::{Objects, OutOfMemory};
use crate::statistics::median;
use crate::workloads::{Workload, warm_up};

/// Operations between two looks at the clock in the trial.
const STRIDE: usize = 1000;

/// How it is timed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many rounds.
    pub rounds: u16,
    /// How long a stream may take, until the heap is left out.
    pub patience: Duration,
}

/// What came out for one heap.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nanoseconds for an operation, round by round.
    Timed(Vec<f64>),
    /// It took longer than anybody waits: so many nanoseconds for an operation, until it was stopped.
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

/// Says why a heap was left out.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timed(_) => f.write_str("timed"),
            Self::TooSlow(nanoseconds) => {
                write!(f, "given up, after {nanoseconds:.0} ns for an operation")
            }
            Self::OutOfMemory(error) => write!(f, "left out: {error}"),
        }
    }
}

/// Times a workload on every heap. The outcomes are in the order of `contenders`.
#[must_use]
pub fn measure(
    workload: &Workload,
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
) -> Vec<Outcome> {
    let stream = workload.stream(0);
    let try_out = |contender| try_out(&stream, contender, arena, settings.patience);
    let mut outcomes: Vec<_> = contenders.iter().map(try_out).collect();
    for round in 1..=settings.rounds {
        let stream = workload.stream(u64::from(round));
        let before = warm_up(u64::from(round));
        for turn in 0..contenders.len() {
            let index = (usize::from(round) + turn) % contenders.len();
            let Outcome::Timed(rounds) = &mut outcomes[index] else {
                continue;
            };
            match time(&before, &stream, &contenders[index], arena) {
                Ok(nanoseconds) => rounds.push(nanoseconds),
                Err(error) => outcomes[index] = Outcome::OutOfMemory(error),
            }
        }
    }
    outcomes
}

/// Does a stream with an eye on the clock. An outcome without rounds means that the heap can do it.
pub(crate) fn try_out(
    stream: &Stream,
    contender: &Contender,
    arena: &Arena,
    patience: Duration,
) -> Outcome {
    try_out_in(arena.whole(), stream, contender, patience)
}

/// The same in a part of an arena.
pub(crate) fn try_out_in(
    memory: Memory,
    stream: &Stream,
    contender: &Contender,
    patience: Duration,
) -> Outcome {
    // SAFETY: the heap before is not used any more.
    let heap = unsafe { (contender.make)(memory) };
    let mut objects = Objects::of(stream);
    let start = ThreadTime::now();
    let mut done = 0;
    for operations in [&stream.setup, &stream.body, &stream.teardown] {
        for some in operations.chunks(STRIDE) {
            // SAFETY: the parts in order are the stream.
            if let Err(error) = unsafe { heap.replay(some, &mut objects) } {
                return Outcome::OutOfMemory(error);
            }
            done += some.len();
            let elapsed = start.elapsed();
            if elapsed > patience {
                return Outcome::TooSlow(per_operation(elapsed, done));
            }
        }
    }
    Outcome::Timed(Vec::new())
}

/// Returns the nanoseconds that an operation of `stream` takes on a new heap, after `before`.
fn time(
    before: &Stream,
    stream: &Stream,
    contender: &Contender,
    arena: &Arena,
) -> Result<f64, OutOfMemory> {
    // SAFETY: the heap before is not used any more.
    let heap = unsafe { (contender.make)(arena.whole()) };
    pass(&*heap, before)?;
    pass(&*heap, stream)
}

/// Does the stream once, and returns the nanoseconds that an operation of its body took.
pub(crate) fn pass(heap: &dyn Heap, stream: &Stream) -> Result<f64, OutOfMemory> {
    let mut objects = Objects::of(stream);
    // SAFETY: the stream's first part.
    unsafe { heap.replay(&stream.setup, &mut objects) }?;
    let start = ThreadTime::now();
    // SAFETY: the part behind it.
    unsafe { heap.replay(&stream.body, &mut objects) }?;
    let elapsed = start.elapsed();
    // SAFETY: the last part.
    unsafe { heap.replay(&stream.teardown, &mut objects) }?;
    Ok(per_operation(elapsed, stream.body.len()))
}

/// Returns nanoseconds for each of `operations`.
pub(crate) fn per_operation(elapsed: Duration, operations: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / operations as f64
}

#[cfg(test)]
mod tests {
    use super::{Outcome, time, try_out};
    use crate::arena::Arena;
    use crate::contenders::{Contender, all};
    use crate::operation::{Stream, StreamBuilder};
    use core::time::Duration;

    /// Returns a stream that allocates `size` bytes.
    fn stream(size: usize) -> Stream {
        let mut builder = StreamBuilder::new();
        builder.allocate(0, size, 8);
        builder.finish()
    }

    /// Returns the floor.
    fn floor() -> Contender {
        all()
            .into_iter()
            .find(|contender| contender.name == "floor")
            .expect("it is always there")
    }

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
        let try_out = |size, patience| try_out(&stream(size), &floor(), &arena, patience);
        let minute = Duration::from_secs(60);
        assert_eq!(try_out(100, minute), Outcome::Timed(Vec::new()));
        assert!(matches!(try_out(100, Duration::ZERO), Outcome::TooSlow(_)));
        assert!(matches!(try_out(2 << 20, minute), Outcome::OutOfMemory(_)));
        let time = |size| time(&stream(1), &stream(size), &floor(), &arena);
        assert!(time(100).is_ok_and(|nanoseconds| nanoseconds > 0.0));
        assert!(time(2 << 20).is_err());
    }
}
