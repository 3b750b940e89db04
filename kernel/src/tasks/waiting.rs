//! Waiting: until something has come, or for a while.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use x86_64::instructions::interrupts;

use super::{MOST_TASKS, scheduler, table};
use crate::interrupts::timer;

/// The tick at which each task that waits is woken, at the latest.
static DEADLINES: [AtomicU64; MOST_TASKS] = [const { AtomicU64::new(NEVER) }; MOST_TASKS];

/// No tick.
const NEVER: u64 = u64::MAX;

/// No task.
const NOBODY: usize = usize::MAX;

/// A place where one task waits until something has come, and others say that it may have.
///
/// **No wake-up is lost**, wherever the two run: the task writes itself down, *then* looks, and waits if it sees nothing. Whoever
/// brings something does so *then* looks who is written down, and wakes it. All in an order that all CPUs agree on: if the task
/// saw nothing, it is seen.
#[derive(Debug)]
pub struct Waiter(AtomicUsize);

impl Waiter {
    /// Nobody waits here.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(NOBODY))
    }

    /// Waits until `look` sees something, and returns that. Only one task at a time waits here.
    ///
    /// `look` is called once more whenever somebody [wakes](Self::wake) this, and, because wake-ups may be meant for an earlier
    /// wait, at other times too.
    ///
    /// # Panics
    ///
    /// Where [`yield_now`](super::yield_now) does.
    #[track_caller]
    pub fn wait_for<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        self.wait(look, || NEVER)
    }

    /// The same, for something that may come without anybody saying so: looks at each tick too.
    ///
    /// # Panics
    ///
    /// Where [`yield_now`](super::yield_now) does.
    #[track_caller]
    pub fn wait_and_look_for<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        self.wait(look, || timer::ticks() + 1)
    }

    /// Something has come: whoever waits here is to look. Can be called in a handler of interrupts.
    pub fn wake(&self) {
        let task = self.0.load(Ordering::SeqCst);
        if task != NOBODY {
            scheduler::wake(task);
        }
    }

    /// Waits until `look` sees something, looking again at the tick `deadline`.
    #[track_caller]
    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>, mut deadline: impl FnMut() -> u64) -> T {
        scheduler::assert_may_wait();
        let seen = loop {
            self.0.store(scheduler::running_index(), Ordering::SeqCst);
            if let Some(seen) = look() {
                break seen;
            }
            wait_until(deadline());
        };
        self.0.store(NOBODY, Ordering::SeqCst);
        seen
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets others run for at least `duration`; at most two ticks longer, if nobody else has more to do.
///
/// # Panics
///
/// Where [`yield_now`](super::yield_now) does.
#[track_caller]
pub fn sleep(duration: Duration) {
    let ticks = (duration.as_nanos() * u128::from(timer::FREQUENCY_HZ)).div_ceil(1_000_000_000);
    // Of the present tick, some has passed already.
    let ticks = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1);
    let until = timer::ticks().saturating_add(ticks);
    scheduler::assert_may_wait();
    while timer::ticks() < until {
        wait_until(until);
    }
}

/// Wakes the tasks whose deadline is `now` or was before, with interrupts masked.
pub(super) fn wake_sleepers(now: u64) {
    for (task, deadline) in DEADLINES.iter().enumerate() {
        let until = deadline.load(Ordering::SeqCst);
        if until > now {
            continue;
        }
        // Once. If the task has another one meanwhile, that is its own.
        let is_same = deadline.compare_exchange(until, NEVER, Ordering::SeqCst, Ordering::SeqCst);
        if is_same.is_ok() {
            scheduler::wake(task);
        }
    }
}

/// Lets others run until this task is woken, or the tick `deadline` has come, or, because of an earlier wake-up, not at all.
fn wait_until(deadline: u64) {
    interrupts::without_interrupts(|| {
        let task = scheduler::running_index();
        assert!(
            !scheduler::is_idle(task),
            "a CPU's idle context waits for something"
        );
        // Written down before the task waits: a tick that comes in between wakes it, and that is kept.
        DEADLINES[task].store(deadline, Ordering::SeqCst);
        let _ = scheduler::wait_masked(table::life(task));
        DEADLINES[task].store(NEVER, Ordering::SeqCst);
    });
}
