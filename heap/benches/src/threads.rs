//! The question of many processors: how long does an operation take when two threads share a heap?
//!
//! ```text
//! own                 each thread allocates and frees objects of its own
//! producer_consumer   one thread allocates, the other frees
//! larson              threads replace objects of arrays that go round among them
//! bulk_remote         one thread allocates very many, then the other frees them all
//! parcel              an object that another thread may free
//! queue               hands things from one thread to the other
//! crew                threads that begin together, and how long they take
//! processors          where they run
//! measured            rounds, as in `rounds`, but with several threads
//! report              the tables
//! ```
//!
//! Time is that of a clock on the wall, from when the first thread begins to when the last one ends: who waits for a lock, or for
//! the other thread, takes time, asleep or not. So nothing else should be at work on the machine.

mod bulk_remote;
mod crew;
mod larson;
mod measured;
mod own;
mod parcel;
mod processors;
mod producer_consumer;
mod queue;
mod report;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::rounds::Settings;
use crate::workloads::Extent;
use crew::Part;
use measured::Bench;
use processors::Processors;
use report::Report;

pub use report::OVER_MIMALLOC;

/// The name of the question.
pub const NAME: &str = "threads";
/// Each thread allocates and frees objects of its own.
pub const OWN: &str = "own";
/// One thread allocates, the other frees.
pub const PRODUCER_CONSUMER: &str = "producer_consumer";
/// Arrays of objects go round among threads.
pub const LARSON: &str = "larson";
/// One thread allocates very many, then the other frees them.
pub const BULK_REMOTE: &str = "bulk_remote";
/// How many times the throughput of one thread two have.
pub const SPEED_UP: &str = "speed-up";
/// How many threads there are.
const THREADS: usize = 2;

/// What several threads do.
struct Workload {
    /// What it is called.
    name: &'static str,
    /// What it is, for the table.
    about: &'static str,
    /// Makes what each of so many threads does in the round of a seed. Every seed has other random numbers.
    make: fn(Round) -> Vec<Box<dyn Part>>,
    /// Whether one thread alone can do it, in which case that is measured too.
    is_for_one: bool,
}

/// One round of a workload.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// How many threads.
    threads: usize,
    /// What random numbers begin with.
    seed: u64,
    /// What the amount of work is divided by.
    divisor: u32,
}

impl Round {
    /// Returns how much is done where a whole round does `whole`.
    const fn amount(self, whole: usize) -> usize {
        whole / self.divisor as usize
    }

    /// Returns what the random numbers of one of the threads begin with.
    const fn seed_of(self, thread: usize) -> u64 {
        self.seed * THREADS as u64 + thread as u64
    }
}

/// All of them.
const WORKLOADS: [Workload; 4] = [
    Workload {
        name: OWN,
        about: "each thread replaces one of a thousand objects of its own after the other, of 16 to 4096 bytes",
        make: own::parts,
        is_for_one: true,
    },
    Workload {
        name: PRODUCER_CONSUMER,
        about: "one thread allocates objects of 16 to 256 bytes and hands them over in batches of 64; the other frees them",
        make: producer_consumer::parts,
        is_for_one: false,
    },
    Workload {
        name: LARSON,
        about: "each thread replaces objects of 8 to 1000 bytes in an array of a thousand, and hands it on after four thousand",
        make: larson::parts,
        is_for_one: false,
    },
    Workload {
        name: BULK_REMOTE,
        about: "one thread allocates 100,000 objects of 16 to 256 bytes, then the other frees them all, some times over",
        make: bulk_remote::parts,
        is_for_one: false,
    },
];

/// Returns the names that can be chosen.
#[must_use]
pub fn names() -> Vec<&'static str> {
    WORKLOADS.iter().map(|workload| workload.name).collect()
}

/// Measures those workloads that were chosen, prints their tables, and adds to the figures.
pub fn run(
    is_chosen: impl Fn(&str) -> bool,
    contenders: &[Contender],
    arena: &Arena,
    (settings, extent): (Settings, Extent),
    figures: &mut Figures,
) {
    let processors = &Processors::allowed();
    let bench = Bench {
        contenders,
        arena,
        processors,
        settings,
        extent,
    };
    for workload in WORKLOADS.iter().filter(|one| is_chosen(one.name)) {
        let name = workload.name;
        let (heaps, rounds) = (contenders.len(), settings.rounds);
        eprintln!("bench: {NAME}/{name}: {heaps} heaps, {rounds} rounds");
        let report = Report {
            workload,
            contenders,
            outcomes: &bench.measure(workload),
        };
        report.record(figures);
        report.print(processors);
    }
}

#[cfg(test)]
mod tests;
