//! Whose turn is next: a queue for each CPU, and who takes from whose. Pure: the kind of lock is a parameter.
//!
//! ```text
//!   CPU 0   running: b    queue: e c ◀── put: by CPU 0 alone
//!                                  │
//!                                  ╰─ take: by CPU 0; or steal: by a CPU that has nobody, or at its tick fewer than CPU 0
//!   CPU 1   running: d    queue: ──▶ steals c
//!   CPU 2   resting               (IDLE: 0b100; CPU 0, when it puts, wakes it)
//! ```
//!
//! **Fair shares.** A CPU whose tick comes, and which has fewer tasks waiting than another one, takes its next task from the other's queue.
//! So a queue that is longer than others gets shorter all the time, and tasks wander: with two CPUs and three busy tasks, each has
//! a CPU for two thirds of the time. Where no more tasks are busy than there are CPUs, nobody waits, and nobody wanders.
//!
//! **Locks.** Each queue has its own, held for one push or pop; no one holds two. How long a queue is can be read without it.
//!
//! **Nobody sleeps while a task waits**, for long: see `Resting`. (Should a CPU lose the race for tasks again and again, it rests with
//! some still waiting: until its next tick.)
#![forbid(unsafe_code)]

mod resting;

use core::cmp::Reverse;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::{Mutex, RawMutex};

use resting::Resting;

use super::MOST_TASKS;
use crate::cpu::{MOST_CPUS, Own, PerCpu};
use crate::ring::Ring;

/// The queues of all CPUs.
#[derive(Debug)]
pub struct Turns<R: RawMutex> {
    /// The queues.
    queues: PerCpu<Queue<R>>,
    /// The CPUs that have found nothing.
    resting: Resting,
}

/// The tasks that wait for a turn on a CPU, by their places, the one that waits longest first.
///
/// # Invariants
/// - `length` is that of `waiting` whenever the lock is free. Only the queue's own CPU makes it longer.
#[derive(Debug)]
struct Queue<R: RawMutex> {
    /// The tasks.
    waiting: Mutex<R, Ring<MOST_TASKS>>,
    /// How many there are.
    length: AtomicUsize,
}

/// A task that was taken from a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its place.
    pub task: usize,
    /// It waited in another CPU's queue.
    pub is_stolen: bool,
}

const _: () = assert!(MOST_TASKS <= 1 << 8, "a place is a byte in a queue");

impl<R: RawMutex> Default for Turns<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: RawMutex> Turns<R> {
    /// Nobody waits, and no CPU rests.
    #[must_use]
    pub const fn new() -> Self {
        let queues = [const {
            Own::new(Queue {
                waiting: Mutex::new(Ring::new()),
                length: AtomicUsize::new(0),
            })
        }; MOST_CPUS];
        Self {
            queues: PerCpu::new(queues),
            resting: Resting::new(),
        }
    }

    /// Puts a task that is ready into the queue of `cpu`, which is the one that calls. Returns another CPU to be woken, if there is
    /// one that rests.
    #[must_use = "a CPU that rests does so until it is woken"]
    pub fn put(&self, cpu: usize, task: usize) -> Option<usize> {
        self.queues.of(cpu).push(task);
        self.resting.to_be_woken(cpu, self.waiting(cpu))
    }

    /// Takes the next task for `cpu`, which is the one that calls: its own first, then the longest queue's.
    pub fn take(&self, cpu: usize) -> Option<Taken> {
        let own = self.queues.of(cpu).pop().map(Taken::own);
        let taken = own.or_else(|| self.steal(cpu, 0))?;
        self.resting.note_busy(cpu);
        Some(taken)
    }

    /// Takes the next task for `cpu`, which is the one that calls, at its tick: that of a longer queue, if there is one.
    pub fn take_at_tick(&self, cpu: usize) -> Option<Taken> {
        let stolen = self.steal(cpu, self.waiting(cpu));
        let taken = stolen.or_else(|| self.queues.of(cpu).pop().map(Taken::own))?;
        self.resting.note_busy(cpu);
        Some(taken)
    }

    /// Takes the next task for `cpu`, which is the one that calls; or notes that the CPU rests. It is to sleep then, until an
    /// interrupt comes, and call again.
    pub fn take_or_rest(&self, cpu: usize) -> Option<Taken> {
        if let Some(taken) = self.take(cpu) {
            return Some(taken);
        }
        self.resting.rest_and_look(cpu, || self.take(cpu))
    }

    /// Returns how many tasks wait in the queue of a CPU.
    #[must_use]
    pub fn waiting(&self, cpu: usize) -> usize {
        self.queues.of(cpu).length()
    }

    /// Takes a task for `cpu` from the longest queue that has more than `own` tasks.
    fn steal(&self, cpu: usize, own: usize) -> Option<Taken> {
        // A queue may be found empty, because others steal too. Each time, another task has got its turn.
        for _ in 0..MOST_CPUS {
            let longest = self.longest_beside(cpu)?;
            if longest.length() <= own {
                return None;
            }
            if let Some(task) = longest.pop() {
                return Some(Taken {
                    task,
                    is_stolen: true,
                });
            }
        }
        None
    }

    /// Returns the longest queue of another CPU. Among equals it is the first behind `cpu`, another one for each CPU: else all
    /// would take from the same, and those who wait elsewhere would wait longer.
    fn longest_beside(&self, cpu: usize) -> Option<&Queue<R>> {
        let others = (1..MOST_CPUS).map(|distance| self.queues.of((cpu + distance) % MOST_CPUS));
        others.min_by_key(|queue| Reverse(queue.length()))
    }
}

impl<R: RawMutex> Queue<R> {
    /// Returns how many tasks wait.
    fn length(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }

    /// Adds a task.
    fn push(&self, task: usize) {
        let place = u8::try_from(task).unwrap_or(u8::MAX);
        let mut waiting = self.waiting.lock();
        // INVARIANT: one more.
        let has_room = waiting.push(place);
        self.length.fetch_add(1, Ordering::SeqCst);
        drop(waiting);
        assert!(has_room, "a queue has room for all tasks");
    }

    /// Takes the task that waits longest.
    fn pop(&self) -> Option<usize> {
        if self.length() == 0 {
            return None;
        }
        let mut waiting = self.waiting.lock();
        let place = waiting.pop()?;
        // INVARIANT: one less.
        self.length.fetch_sub(1, Ordering::SeqCst);
        Some(usize::from(place))
    }
}

impl Taken {
    /// A task of the CPU's own queue.
    const fn own(task: usize) -> Self {
        Self {
            task,
            is_stolen: false,
        }
    }
}

#[cfg(test)]
mod tests;
