//! The tasks of the CPU: starting them, ending them, and what they wait for.

use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence};
use core::time::Duration;

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use super::turns::{Slot, State, Turns};
use super::{MOST_TASKS, context};
use crate::cpu;
use crate::interrupts::timer;
use crate::lock::{MaskingLock, named_lock};
use crate::memory::guarded_stack::{GuardedStack, NoStack};

/// Bytes of a task's call stack: formatting in a debug build takes some KiB.
const STACK_BYTES: usize = 64 * 1024;

named_lock!(SchedulerLock, "the scheduler's lock");

/// All tasks.
static SCHEDULER: Mutex<MaskingLock<SchedulerLock>, Scheduler> = Mutex::new(Scheduler {
    turns: Turns::new(),
    stacks: [const { None }; MOST_TASKS],
    names: [""; MOST_TASKS],
});

/// Where each task that does not run has its saved registers. Written by the switch, with interrupts masked.
static STACK_POINTERS: [AtomicU64; MOST_TASKS] = [const { AtomicU64::new(0) }; MOST_TASKS];

/// The slot of the running task, for reports of failures: they take no lock.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// What the scheduler knows.
struct Scheduler {
    /// Whose turn it is.
    turns: Turns<MOST_TASKS>,
    /// The call stacks of tasks that are not reaped; the first task's is the boot loader's.
    stacks: [Option<GuardedStack>; MOST_TASKS],
    /// The names of the tasks.
    names: [&'static str; MOST_TASKS],
}

/// Why a task was not started. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// There are [`MOST_TASKS`] already.
    TooMany,
    /// There is no memory for its call stack.
    OutOfMemory,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "there are {MOST_TASKS} tasks, which is the most"),
            Self::OutOfMemory => f.write_str("there is no memory for the call stack of a task"),
        }
    }
}

impl core::error::Error for SpawnError {}

impl From<NoStack> for SpawnError {
    fn from(error: NoStack) -> Self {
        match error {
            NoStack::TooMany => Self::TooMany,
            NoStack::OutOfFrames | NoStack::TooLarge => Self::OutOfMemory,
        }
    }
}

/// A task that was started. Dropping it lets the task run on by itself.
#[derive(Debug)]
#[must_use = "`join` waits for the task; `drop` says that nobody does"]
pub struct Task(Slot);

impl Task {
    /// Waits until the task is finished.
    ///
    /// # Panics
    ///
    /// Where [`yield_now`] does.
    #[track_caller]
    pub fn join(self) {
        block(State::Waiting(self.0));
        reap();
    }
}

/// Starts a task that calls `function` and is then finished. A panic in it ends the kernel, as anywhere.
///
/// What `function` captures must fit half a call stack, which is found out when the kernel is compiled.
///
/// # Errors
///
/// [`SpawnError`]; nothing has changed then, and `function` is dropped.
pub fn spawn<F: FnOnce() + Send + 'static>(
    name: &'static str,
    function: F,
) -> Result<Task, SpawnError> {
    const { assert!(size_of::<F>() <= STACK_BYTES / 2 && align_of::<F>() <= 4096) }
    reap();
    let claimed = SCHEDULER.lock().turns.claim();
    let slot = claimed.ok_or(SpawnError::TooMany)?;
    let stack = match GuardedStack::new(name, STACK_BYTES) {
        Ok(stack) => stack,
        Err(error) => {
            SCHEDULER.lock().turns.set(slot, State::Vacant);
            return Err(error.into());
        }
    };
    let stack_pointer = context::prepare(&stack, function, finish);
    STACK_POINTERS[slot.index()].store(stack_pointer, Ordering::Relaxed);
    let mut scheduler = SCHEDULER.lock();
    scheduler.names[slot.index()] = name;
    scheduler.stacks[slot.index()] = Some(stack);
    scheduler.turns.set(slot, State::Ready);
    Ok(Task(slot))
}

/// Gives the rest of this task's turn up.
///
/// # Panics
///
/// If interrupts are masked, in an interrupt's handler or because a lock is held: another task might want that lock.
#[track_caller]
pub fn yield_now() {
    assert_may_wait();
    interrupts::without_interrupts(preempt);
}

/// Lets others run for at least `duration`; at most two ticks longer, if nobody else has more to do.
///
/// # Panics
///
/// Where [`yield_now`] does.
#[track_caller]
pub fn sleep(duration: Duration) {
    let ticks = (duration.as_nanos() * u128::from(timer::FREQUENCY_HZ)).div_ceil(1_000_000_000);
    // Of the present tick, some has passed already.
    let ticks = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1);
    block(State::Sleeping(timer::ticks().saturating_add(ticks)));
}

/// Lets another task run, or, where none is ready, the CPU sleep until the next interrupt. To be called with interrupts
/// masked, by one who has just seen that there is nothing to do; returns with interrupts enabled, when it is worth looking again.
pub fn wait_for_interrupt() {
    if switch_to_next() {
        interrupts::enable();
    } else {
        halt();
    }
}

/// Ends the running task's turn: the last act of the timer's handler, with interrupts masked.
pub fn preempt() {
    // Tasks run on the first CPU alone.
    if cpu::current() > 0 {
        return;
    }
    // Whether there is another task to run or not.
    let _ = switch_to_next();
}

/// Returns the place of the running task among all, without any lock. A task keeps it; a later one may have it too.
#[must_use]
pub fn running_index() -> usize {
    RUNNING.load(Ordering::Relaxed)
}

/// Returns the name of the running task, without any lock.
#[must_use]
pub fn running_name() -> &'static str {
    let index = RUNNING.load(Ordering::Relaxed);
    // Never waited for: whoever holds the lock has been interrupted by the failure that is being reported.
    let names = SCHEDULER.try_lock().map(|scheduler| scheduler.names);
    match names {
        Some(names) if index > 0 => names[index],
        Some(_) => "the first task",
        None => "the scheduler",
    }
}

/// Returns how many tasks there are, finished ones that were not reaped included.
#[must_use]
pub fn count() -> usize {
    SCHEDULER.lock().turns.count()
}

/// Refuses to wait where nobody may.
#[track_caller]
fn assert_may_wait() {
    assert!(
        interrupts::are_enabled(),
        "a task gave its turn up with interrupts masked: in an interrupt's handler, or while it holds a lock"
    );
}

/// Does not return before `state` is over.
#[track_caller]
fn block(state: State) {
    assert_may_wait();
    interrupts::without_interrupts(|| {
        let slot = {
            let mut scheduler = SCHEDULER.lock();
            let slot = scheduler.turns.running();
            scheduler.turns.set(slot, state);
            slot
        };
        while !SCHEDULER.lock().turns.resume(slot, timer::ticks()) {
            if !switch_to_next() {
                halt();
                interrupts::disable();
            }
        }
    });
}

/// Switches to the next task that is ready, if it is another one, with interrupts masked. Returns, when it is this task's turn
/// again, whether there was one.
fn switch_to_next() -> bool {
    let next = SCHEDULER.lock().turns.next(timer::ticks());
    let Some((from, to)) = next else { return false };
    RUNNING.store(to.index(), Ordering::Relaxed);
    let target = STACK_POINTERS[to.index()].load(Ordering::Relaxed);
    // SAFETY: (1) interrupts are masked, and no lock is held: the scheduler's was released. (2) `target` is where `to` saved
    // its registers when it was switched from, or what `prepare` made; each is used once, because `to` is not ready again
    // before it has run, and its stack lives until it is reaped, finished. (3) The place is `from`'s own.
    unsafe { context::switch(STACK_POINTERS[from.index()].as_ptr(), target) };
    true
}

/// Lets interrupts in, and has the CPU sleep until one comes.
fn halt() {
    // The instructions are said not to touch memory. Locks that were released before must be free for the handlers that come.
    compiler_fence(Ordering::SeqCst);
    interrupts::enable_and_hlt();
}

/// Ends the running task: what its context calls last.
extern "C" fn finish() -> ! {
    interrupts::disable();
    {
        let mut scheduler = SCHEDULER.lock();
        let slot = scheduler.turns.running();
        scheduler.turns.set(slot, State::Finished);
    }
    loop {
        if !switch_to_next() {
            // Nobody is ready: all others sleep or wait.
            halt();
            interrupts::disable();
        }
    }
}

/// Gives the stacks of finished tasks back, as [`spawn`] and [`Task::join`] do.
pub fn reap() {
    loop {
        let mut scheduler = SCHEDULER.lock();
        let Some(slot) = scheduler.turns.reap() else {
            break;
        };
        let stack = scheduler.stacks[slot.index()].take();
        // Behind the lock: it unmaps.
        drop(scheduler);
        drop(stack);
    }
}
