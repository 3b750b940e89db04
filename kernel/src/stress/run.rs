//! The whole run: tasks and handlers started, watched, ended, and the books compared.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use super::report::{Counts, Report};
use super::worker::{Tally, Worker};
use super::{exchange, handlers, shadow};
use crate::bench::clock;
use crate::interrupts::timer;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::heap_check;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;
use crate::println;
use crate::tasks::{self, SpawnError, Task};

/// How many tasks allocate.
const WORKERS: usize = 6;

/// The tasks of a run: those, and the companion.
type Tasks = [Option<Task>; WORKERS + 1];

/// The most bytes that the objects of all tasks have together.
const MOST_BYTES: usize = 32 << 20;

/// Seconds between two lines that say how far it is.
const PROGRESS_SECONDS: u64 = 5;

/// What all tasks have done.
static TALLY: Tally = Tally::new();

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
    let budget = (bytes_free() / 4).min(MOST_BYTES) / WORKERS;
    let workers = start(plan.seed, budget, plan.companion)?;
    let seconds = look_on(plan);
    stop(workers);
    let report = report(seconds, plan.seed, seconds + 1);
    exchange::clear();
    check("behind it");
    before.compare();
    Ok(report)
}

/// Checks the heap once a second, until it is over. Returns how many seconds there were.
fn look_on(plan: &Plan) -> u64 {
    for second in 1..=plan.seconds {
        if is_stopped_within_a_second(plan.is_stopped) {
            return second - 1;
        }
        check("in the middle of it");
        if second % PROGRESS_SECONDS == 0 && second < plan.seconds {
            println!("stress: {}", report(second, plan.seed, second));
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
fn start(seed: u64, budget: usize, companion: fn(&AtomicBool)) -> Result<Tasks, StressError> {
    TALLY.reset();
    exchange::clear();
    let mut tasks = [const { None }; WORKERS + 1];
    if let Err(error) = start_all(&mut tasks, seed, budget, companion) {
        stop(tasks);
        return Err(error);
    }
    handlers::start();
    Ok(tasks)
}

/// Starts all tasks.
fn start_all(
    tasks: &mut Tasks,
    seed: u64,
    budget: usize,
    companion: fn(&AtomicBool),
) -> Result<(), StressError> {
    let beside = move || companion(&TALLY.is_over);
    tasks[WORKERS] = Some(tasks::spawn("companion", beside).map_err(StressError::NoTask)?);
    for (task, number) in tasks[..WORKERS].iter_mut().zip(0..) {
        *task = Some(start_one(seed.wrapping_add(number), budget)?);
    }
    Ok(())
}

/// Starts one task.
fn start_one(seed: u64, budget: usize) -> Result<Task, StressError> {
    let worker = Worker::new(seed, budget, &TALLY).ok_or(StressError::OutOfMemory)?;
    tasks::spawn("stress", || worker.run()).map_err(StressError::NoTask)
}

/// Ends everything, and waits until it has ended.
fn stop(tasks: Tasks) {
    handlers::stop();
    TALLY.is_over.store(true, Ordering::Relaxed);
    tasks.into_iter().flatten().for_each(Task::join);
}

/// Proves the heap's invariants.
fn check(when: &str) {
    if let Err(fault) = heap_check::check() {
        panic!("stress: the heap is broken {when}: {fault}");
    }
}

/// Returns the numbers so far.
fn report(seconds: u64, seed: u64, checks: u64) -> Report {
    let counts = Counts {
        steps: TALLY.steps.load(Ordering::Relaxed),
        allocations: TALLY.allocations.load(Ordering::Relaxed),
        resizes: TALLY.resizes.load(Ordering::Relaxed),
        nulls: TALLY.nulls.load(Ordering::Relaxed),
        exchanged: exchange::exchanged(),
        handler_runs: handlers::runs(),
        checks,
    };
    Report {
        seconds,
        seed,
        tasks: WORKERS,
        counts,
    }
}

/// Returns how many bytes of memory nobody has.
fn bytes_free() -> usize {
    usize::try_from(physical::counts().free * FRAME_SIZE).unwrap_or(usize::MAX)
}

/// What must be the same before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Books {
    /// Live objects.
    objects: u64,
    /// Free frames.
    frames: u64,
}

impl Books {
    /// Counts, when the heap keeps nothing in hand.
    fn now() -> Self {
        Self {
            objects: HEAP.statistics().live(),
            frames: physical::counts().free,
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
            (now.objects, now.frames),
            (self.objects, self.frames),
            "stress: live objects and free frames are not what they were before"
        );
        let account = physical::account();
        assert!(account.is_balanced(), "stress: {account}");
    }
}
