//! The tasks that there are: starting them, waiting for their end, and giving their stacks back.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use super::life::{Life, Phase};
use super::waiting::Waiter;
use super::{MOST_TASKS, context, scheduler};
use crate::lock::{MaskingLock, named_lock};
use crate::memory::guarded_stack::{GuardedStack, NoStack};
use crate::stack_name::{NAME_WORDS, StackName};

/// Bytes of a task's call stack: formatting in a debug build takes some KiB.
pub(super) const STACK_BYTES: usize = 64 * 1024;

named_lock!(StackLock, "the lock of a task's call stack");

/// What else there is of a task.
struct Entry {
    /// Its call stack, from its start until it is reaped; the first task's is the boot loader's.
    stack: Mutex<MaskingLock<StackLock>, Option<GuardedStack>>,
    /// Its name, which is written before it starts.
    name: [AtomicU64; NAME_WORDS],
    /// Who waits for its end.
    ended: Waiter,
}

impl Entry {
    /// Makes a place for tasks.
    const fn new() -> Self {
        Self {
            stack: Mutex::new(None),
            name: [const { AtomicU64::new(0) }; NAME_WORDS],
            ended: Waiter::new(),
        }
    }

    /// Writes the name down.
    fn set_name(&self, name: StackName) {
        for (place, word) in self.name.iter().zip(name.to_words()) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Reads the name, without any lock.
    fn name(&self) -> StackName {
        StackName::from_words(core::array::from_fn(|word| {
            self.name[word].load(Ordering::Relaxed)
        }))
    }
}

/// What each task is doing, by place. The first one boots.
static LIVES: [Life; MOST_TASKS] = {
    let mut lives = [const { Life::vacant() }; MOST_TASKS];
    lives[0] = Life::running();
    lives
};

/// All tasks, by place.
static TASKS: [Entry; MOST_TASKS] = [const { Entry::new() }; MOST_TASKS];

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

/// A task that was started: its place, which no other task gets before this is dropped. Dropping it lets the task run on by
/// itself.
#[derive(Debug)]
#[must_use = "`join` waits for the task; `drop` says that nobody does"]
pub struct Task(usize);

impl Task {
    /// Waits until the task is finished, on whichever CPU.
    ///
    /// # Panics
    ///
    /// Where [`yield_now`](super::yield_now) does.
    #[track_caller]
    pub fn join(self) {
        ended(self.0).wait_for(|| (life(self.0).phase() == Phase::Finished).then_some(()));
        drop(self);
        reap();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        life(self.0).release();
    }
}

/// Starts a task that calls `function` and is then finished. A panic in it ends the kernel, as anywhere.
///
/// It begins on this CPU or on one that has nothing to do, and goes on wherever there is room. What `function` captures must fit
/// half a call stack, which is found out when the kernel is compiled.
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
    let place = LIVES.iter().position(Life::claim);
    let place = place.ok_or(SpawnError::TooMany)?;
    let (life, entry) = (life(place), &TASKS[place]);
    let stack = match GuardedStack::new(name, STACK_BYTES) {
        Ok(stack) => stack,
        Err(error) => {
            life.vacate();
            return Err(error.into());
        }
    };
    let stack_pointer = context::prepare(&stack, function, scheduler::switched, scheduler::finish);
    scheduler::set_stack_pointer(place, stack_pointer);
    entry.set_name(name.into());
    *entry.stack.lock() = Some(stack);
    interrupts::without_interrupts(|| {
        life.start();
        scheduler::put(place);
    });
    Ok(Task(place))
}

/// Gives the stacks back of finished tasks that nobody will wait for, as [`spawn`] and [`Task::join`] do.
pub fn reap() {
    for (life, entry) in LIVES.iter().zip(&TASKS).filter(|(life, _)| life.reap()) {
        let stack = entry.stack.lock().take();
        // Behind the lock: it unmaps.
        drop(stack);
        life.vacate();
    }
}

/// Returns how many tasks there are, finished ones that were not reaped included.
#[must_use]
pub fn count() -> usize {
    let is_there = |life: &&Life| life.phase() != Phase::Vacant;
    LIVES.iter().filter(is_there).count()
}

/// Returns the name of the running task, without any lock.
#[must_use]
pub fn running_name() -> StackName {
    name_of(scheduler::running_index())
}

/// Returns the name of the task that a CPU is running, without any lock: `idle` where it has none.
///
/// # Panics
///
/// If the number is not below [`MOST_CPUS`](crate::cpu::MOST_CPUS).
#[must_use]
pub fn current_of(cpu: usize) -> StackName {
    name_of(scheduler::running_on(cpu))
}

/// Returns whether a CPU has nothing to do, without any lock.
///
/// # Panics
///
/// As [`current_of`].
#[must_use]
pub fn is_idle(cpu: usize) -> bool {
    scheduler::is_idle(scheduler::running_on(cpu))
}

/// Returns the name of a context.
fn name_of(context: usize) -> StackName {
    match TASKS.get(context) {
        None => StackName::new("idle"),
        Some(_) if context == 0 => StackName::new("the first task"),
        Some(entry) => entry.name(),
    }
}

/// Returns what a task is doing.
pub(super) fn life(task: usize) -> &'static Life {
    &LIVES[task]
}

/// Returns who waits for the end of a task.
pub(super) fn ended(task: usize) -> &'static Waiter {
    &TASKS[task].ended
}
