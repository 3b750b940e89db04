//! Rounds, as in [`rounds`](crate::rounds): each heap has its turn in each, and another one is first every time.

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::replay::OutOfMemory;
use crate::rounds::{Outcome, Settings, per_operation};
use crate::statistics::Quartiles;
use crate::threads::crew::Time;
use crate::threads::processors::Processors;
use crate::threads::{Round, THREADS, Workload, crew};
use crate::workloads::Extent;

/// How much less is done to see whether a heap can do it.
const TRIAL: u32 = 20;
/// How much less is done in a quick run.
const QUICK: u32 = 4;

/// What came out for one heap: nanoseconds for an operation, of all threads together, round by round.
#[derive(Clone, Debug)]
pub(super) struct Outcomes {
    /// With all threads.
    pub(super) together: Outcome,
    /// With one, in the same rounds. None, if one alone cannot do it.
    pub(super) alone: Vec<f64>,
    /// In how many rounds another program took a processor away.
    pub(super) disturbed: usize,
}

impl Outcomes {
    /// Returns how many times the throughput of one thread all of them have. `None` where one alone was not measured.
    pub(super) fn speed_up(&self) -> Option<Quartiles> {
        Quartiles::of_ratios(&self.alone, self.together.rounds())
    }

    /// Returns how many times as long as another heap it takes. `None` where one was left out.
    pub(super) fn over(&self, other: &Self) -> Option<Quartiles> {
        Quartiles::of_ratios(self.together.rounds(), other.together.rounds())
    }
}

/// What a workload is measured with.
pub(super) struct Bench<'a> {
    /// The heaps.
    pub(super) contenders: &'a [Contender],
    /// Their memory.
    pub(super) arena: &'a Arena,
    /// Where threads run.
    pub(super) processors: &'a Processors,
    /// How it is timed.
    pub(super) settings: Settings,
    /// How much is done.
    pub(super) extent: Extent,
}

impl Bench<'_> {
    /// Measures a workload on every heap. The outcomes are in the order of the heaps.
    pub(super) fn measure(&self, workload: &Workload) -> Vec<Outcomes> {
        let divisor = match self.extent {
            Extent::Whole => 1,
            Extent::Quick => QUICK,
        };
        let try_out = |contender| Outcomes {
            together: self.try_out(workload, contender, divisor * TRIAL),
            alone: Vec::new(),
            disturbed: 0,
        };
        let mut outcomes: Vec<_> = self.contenders.iter().map(try_out).collect();
        for number in 1..=self.settings.rounds {
            for turn in 0..outcomes.len() {
                let index = (usize::from(number) + turn) % outcomes.len();
                let round = Round {
                    threads: THREADS,
                    seed: u64::from(number),
                    divisor,
                };
                self.take_turn(
                    workload,
                    round,
                    &self.contenders[index],
                    &mut outcomes[index],
                );
            }
        }
        outcomes
    }

    /// Times a heap in a round, if it was not left out before.
    fn take_turn(
        &self,
        workload: &Workload,
        round: Round,
        contender: &Contender,
        outcomes: &mut Outcomes,
    ) {
        let Outcome::Timed(rounds) = &mut outcomes.together else {
            return;
        };
        let alone = workload.is_for_one.then(|| {
            self.time(
                workload,
                Round {
                    threads: 1,
                    ..round
                },
                contender,
            )
        });
        let timed = alone.transpose().and_then(|alone| {
            let together = self.time(workload, round, contender)?;
            Ok((alone, together))
        });
        match timed {
            Ok((alone, (together, time))) => {
                rounds.push(together);
                let preemptions = alone.map_or(0, |(_, time)| time.preemptions);
                outcomes.disturbed += usize::from(preemptions + time.preemptions > 0);
                outcomes.alone.extend(alone.map(|(alone, _)| alone));
            }
            Err(error) => outcomes.together = Outcome::OutOfMemory(error),
        }
    }

    /// Does a part of the work. An outcome without rounds means that the heap can do it.
    fn try_out(&self, workload: &Workload, contender: &Contender, divisor: u32) -> Outcome {
        let round = Round {
            threads: THREADS,
            seed: 0,
            divisor,
        };
        match self.time(workload, round, contender) {
            Err(error) => Outcome::OutOfMemory(error),
            Ok((nanoseconds, time)) if time.elapsed * TRIAL > self.settings.patience => {
                Outcome::TooSlow(nanoseconds)
            }
            Ok(_) => Outcome::Timed(Vec::new()),
        }
    }

    /// Returns how many nanoseconds an operation takes on a new heap, and how long all of them do.
    fn time(
        &self,
        workload: &Workload,
        round: Round,
        contender: &Contender,
    ) -> Result<(f64, Time), OutOfMemory> {
        // SAFETY: the heap before is not used any more: all threads that did have ended.
        let heap = unsafe { (contender.make)(self.arena.whole()) };
        let parts = (workload.make)(round);
        let operations = parts.iter().map(|part| part.operations()).sum();
        let time = crew::time(parts, &*heap, self.processors)?;
        Ok((per_operation(time.elapsed, operations), time))
    }
}
