//! Kernel threads: contexts with call stacks of their own that take turns on the CPUs.
//!
//! Each CPU goes round the tasks that are ready in its own queue, and takes from another CPU's where that has more: a task goes
//! on wherever there is room. The timer's interrupt ends a task's turn, wherever it is (with interrupts masked it is nowhere: a
//! task that holds a lock is not preempted); a task that sleeps or waits gives its turn up. So whatever tasks share, they share
//! as with interrupt handlers: behind a lock that masks interrupts, and that other CPUs wait for.
//!
//! ```text
//!   spawn ──▶ ready ◀────── it is woken: its time has come, or what it waits for ────── waiting
//!               │  ▲                                                                      ▲
//!      its turn │  │ the timer ends its turn, or it yields                                │ sleep, join, `Waiter`
//!               ▼  │                                                                      │
//!            running ─────────────────────────────────────────────────────────────────────┘
//!               │ its function returns
//!               ▼
//!            finished ──▶ its stack goes back with its join, or, if nobody holds it, with the next join or spawn
//! ```
//!
//! Each arrow that leaves *running* has a moment in it when the task's CPU is still on its stack: [`life`] says how nobody
//! else takes that stack, or goes on with the task, too early. The code that boots is task 0, the prompt's.
//!
//! **A task may be moved to another CPU at any instruction where interrupts are enabled.** Whoever asks for the number of the CPU,
//! or for something of it, and needs the answer to stay true, masks interrupts first.
//!
//! A task's call stack is a [guarded stack](crate::memory::guarded_stack): an overflow runs into a page that is not mapped. What
//! the task runs lies at the top of that stack, so starting one takes nothing from the heap, and needs nothing of it: `stress`
//! depends on that.
//!
//! Cost: a switch takes a step or two under the lock of one queue, and looks at the length of each; a tick of the first CPU looks at
//! all [`MOST_TASKS`] places once. Interrupts are masked meanwhile.
//!
//! | module | knows |
//! |---|---|
//! | [`life`] | what one task is doing, in steps that CPUs take at once: pure |
//! | [`turns`] | whose turn is next on which CPU: pure |
//! | [`counts`] | what each CPU has done: pure |
//! | [`context`] | how one context is left and another one taken up: the assembly |
//! | [`scheduler`] | turns on the machine: switching, and what CPUs do that have no task |
//! | [`waiting`] | how a task waits, and is woken |
//! | [`table`] | the tasks that there are: starting and ending them |

pub mod counts;
#[cfg(test)]
mod interruptible_lock;
pub mod life;
pub mod turns;

#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod scheduler;
#[cfg(target_os = "none")]
pub mod table;
#[cfg(target_os = "none")]
pub mod waiting;

pub use counts::{Counts, counts_of};

#[cfg(target_os = "none")]
pub use scheduler::{init, preempt, run_this_cpu, running_index, waiting_on, yield_now};
#[cfg(target_os = "none")]
pub use table::{SpawnError, Task, count, current_of, is_idle, reap, running_name, spawn};
#[cfg(target_os = "none")]
pub use waiting::{Waiter, sleep};

/// The most tasks at a time, the one that boots included.
pub const MOST_TASKS: usize = 64;
