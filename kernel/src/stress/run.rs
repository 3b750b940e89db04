//! The whole run: tasks and handlers started, watched, ended, and the books compared.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use super::belt::MOST_PAIRS;
use super::report::{OfCpu, Report};
use super::worker::Worker;
use super::{belt, exchange, handlers, shadow, tally};
use crate::bench::clock;
use crate::cpu::{self, MOST_CPUS};
use crate::interrupts::timer;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::heap_check;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;
use crate::println;
use crate::tasks::{self, SpawnError, Task};

/// The least tasks that allocate and free for themselves.
const LEAST_WORKERS: usize = 6;

/// The most of them: two for each CPU.
const MOST_WORKERS: usize = 2 * MOST_CPUS;

/// The most tasks of a run: those, two for each belt, and the companion.
const MOST: usize = MOST_WORKERS + 2 * MOST_PAIRS + 1;

const _: () = assert!(
    MOST + 4 <= tasks::MOST_TASKS,
    "there is room for the kernel's own tasks"
);

/// The tasks of a run. (Not in the heap: that is what is tried.)
type Tasks = [Option<Task>; MOST];

/// The most bytes that the objects of all tasks have together.
const MOST_BYTES: usize = 32 << 20;

/// Seconds between two lines that say how far it is.
const PROGRESS_SECONDS: u64 = 5;

/// Why there was no stress. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StressError {
    /// A task could not be started.
    NoTask(SpawnError),
    /// There is no memory for a task's list of objects.
    OutOfMemory,
    /// The timer does not tick, so tasks would not take turns.
    NoTimer,
}

impl fmt::Display for StressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTask(error) => write!(f, "The stress did not begin: {error}."),
            Self::OutOfMemory => {
                f.write_str("The stress did not begin: there is too little memory for its tasks.")
            }
            Self::NoTimer => f.write_str("The stress did not begin: the timer does not tick."),
        }
    }
}

impl core::error::Error for StressError {}

impl From<SpawnError> for StressError {
    fn from(error: SpawnError) -> Self {
        Self::NoTask(error)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For how many seconds.
    pub seconds: u64,
    /// What the random streams start from.
    pub seed: u64,
    /// What one more task does: anything with the heap, until the flag that it is given says that it is over. It must free
    /// everything, too.
    pub companion: fn(&AtomicBool),
    /// Asked several times a second whether it is to end early.
    pub is_stopped: fn() -> bool,
}

impl Plan {
    /// Makes a plan of nothing special.
    #[must_use]
    pub const fn new(seconds: u64, seed: u64) -> Self {
        Self {
            seconds,
            seed,
            companion: |_| {},
            is_stopped: || false,
        }
    }
}

/// Stresses the heap, and says every few seconds how far it is. Returns the numbers when all of it has ended, everything is
/// freed, and no finding was made.
///
/// # Errors
///
/// [`StressError`]: nothing was stressed then.
///
/// # Panics
///
/// With the finding, if there is one.
pub fn run(plan: &Plan) -> Result<Report, StressError> {
    if !has_timer() {
        return Err(StressError::NoTimer);
    }
    // What others have left to be given back.
    tasks::reap();
    HEAP.trim();
    let before = Books::now();
    let crew = Crew::for_cpus(cpu::count());
    let turns = core::array::from_fn(tasks::counts_of);
    let tasks = start(crew, plan)?;
    let report_at = |seconds, checks| report(plan.seed, crew, &turns, seconds, checks);
    let seconds = look_on(plan, &report_at);
    stop(tasks);
    let report = report_at(seconds, seconds + 1);
    exchange::clear();
    belt::clear();
    check("behind it");
    before.compare();
    Ok(report)
}

/// Who is at work in a run.
#[derive(Clone, Copy, Debug)]
struct Crew {
    /// Tasks that allocate and free for themselves.
    workers: usize,
    /// Pairs of a producer and a consumer.
    pairs: usize,
}

impl Crew {
    /// Chooses who works on so many CPUs.
    fn for_cpus(cpus: usize) -> Self {
        Self {
            workers: (2 * cpus).clamp(LEAST_WORKERS, MOST_WORKERS),
            pairs: cpus.div_ceil(2).min(MOST_PAIRS),
        }
    }

    /// Returns how many tasks that is.
    const fn tasks(self) -> usize {
        self.workers + 2 * self.pairs
    }
}

/// Checks the heap once a second, until it is over. Returns how many seconds there were.
fn look_on(plan: &Plan, report_at: &dyn Fn(u64, u64) -> Report) -> u64 {
    for second in 1..=plan.seconds {
        if is_stopped_within_a_second(plan.is_stopped) {
            return second - 1;
        }
        check("in the middle of it");
        if second % PROGRESS_SECONDS == 0 && second < plan.seconds {
            println!("stress: {}", report_at(second, second));
        }
    }
    plan.seconds
}

/// Lets a second pass, or less when it is to end early.
fn is_stopped_within_a_second(is_stopped: fn() -> bool) -> bool {
    const LOOKS: u32 = 20;
    (0..LOOKS).any(|_| {
        tasks::sleep(Duration::from_secs(1) / LOOKS);
        is_stopped()
    })
}

/// Returns whether the timer ticks. Right behind booting it may be yet to come: it is waited for a second or two.
fn has_timer() -> bool {
    const MOST_CYCLES: u64 = 1 << 32;
    let start = clock::now();
    while !timer::is_ticking() && clock::now() - start < MOST_CYCLES {
        core::hint::spin_loop();
    }
    timer::is_ticking()
}

/// Starts everything.
fn start(crew: Crew, plan: &Plan) -> Result<Tasks, StressError> {
    tally::reset();
    tally::IS_OVER.store(false, Ordering::SeqCst);
    exchange::clear();
    let mut tasks = [const { None }; MOST];
    let mut places = tasks.iter_mut();
    if let Err(error) = start_all(crew, plan, |task| {
        if let Some(place) = places.next() {
            *place = Some(task);
        }
    }) {
        stop(tasks);
        return Err(error);
    }
    handlers::start();
    Ok(tasks)
}

/// Starts all tasks, and gives each to `started`.
fn start_all(crew: Crew, plan: &Plan, mut started: impl FnMut(Task)) -> Result<(), StressError> {
    let budget = (bytes_free() / 4).min(MOST_BYTES) / crew.workers;
    let companion = plan.companion;
    started(tasks::spawn("companion", move || {
        companion(&tally::IS_OVER);
    })?);
    let mut next = plan.seed;
    let mut seed = || {
        let seed = next;
        next = next.wrapping_add(1);
        seed
    };
    for _ in 0..crew.workers {
        let worker = Worker::new(seed(), budget).ok_or(StressError::OutOfMemory)?;
        started(tasks::spawn("stress", || worker.run())?);
    }
    for pair in 0..crew.pairs {
        let seed = seed();
        started(tasks::spawn("consumer", move || belt::consume(pair))?);
        started(tasks::spawn("producer", move || belt::produce(pair, seed))?);
    }
    Ok(())
}

/// Ends everything, and waits until it has ended.
fn stop(tasks: Tasks) {
    handlers::stop();
    tally::IS_OVER.store(true, Ordering::SeqCst);
    // Behind that: who waits looks again.
    belt::wake_all();
    tasks.into_iter().flatten().for_each(Task::join);
}

/// Proves the heap's invariants.
fn check(when: &str) {
    if let Err(fault) = heap_check::check() {
        panic!("stress: the heap is broken {when}: {fault}");
    }
}

/// Returns the numbers so far; `turns` is what CPUs had done before.
fn report(
    seed: u64,
    crew: Crew,
    turns: &[tasks::Counts; MOST_CPUS],
    seconds: u64,
    checks: u64,
) -> Report {
    let of_cpu = |cpu| OfCpu {
        counts: tally::counts_of(cpu),
        turns: tasks::counts_of(cpu) - turns[cpu],
    };
    Report {
        seconds,
        seed,
        tasks: crew.tasks(),
        cpus: cpu::count(),
        checks,
        of_cpus: core::array::from_fn(of_cpu),
    }
}

/// Returns how many bytes of memory nobody has.
fn bytes_free() -> usize {
    usize::try_from(physical::counts().free * FRAME_SIZE).unwrap_or(usize::MAX)
}

/// What must be the same before and after. (Not the number of free frames: other tasks may come and go, with their call stacks.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    /// Live objects.
    objects: u64,
    /// Bytes that the heap holds.
    held: usize,
}

impl Books {
    /// Counts, when the heap keeps nothing in hand.
    fn now() -> Self {
        let statistics = HEAP.statistics();
        Self {
            objects: statistics.live(),
            held: statistics.bytes_held,
        }
    }

    /// Compares with what is there now, behind a run.
    ///
    /// # Panics
    ///
    /// If something is missing, or too much: a finding.
    fn compare(self) {
        let known = shadow::clear();
        assert_eq!(known, 0, "stress: {known} objects were never freed");
        HEAP.trim();
        let now = Self::now();
        assert_eq!(
            (now.objects, now.held),
            (self.objects, self.held),
            "stress: live objects and bytes that the heap holds are not what they were before"
        );
        let account = physical::account();
        assert!(account.is_balanced(), "stress: {account}");
    }
}
