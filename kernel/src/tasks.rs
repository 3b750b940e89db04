//! Kernel threads: contexts with call stacks of their own that take turns on the CPU.
//!
//! The scheduler is a small round robin. The timer's interrupt ends a task's turn, wherever it is (with interrupts masked it
//! is nowhere: a task that holds a lock is not preempted); a task that sleeps or waits gives its turn up. So whatever tasks
//! share, they share as with interrupt handlers: behind a lock that masks interrupts.
//!
//! ```text
//!   spawn ──▶ ready ◀──── its time has come, or the other one is finished ──── sleeping, waiting
//!               │  ▲                                                                 ▲
//!      its turn │  │ the timer ends its turn, or it yields                           │ sleep, join
//!               ▼  │                                                                 │
//!            running ────────────────────────────────────────────────────────────────┘
//!               │ its function returns
//!               ▼
//!            finished ──▶ its stack goes back with the next join or spawn
//! ```
//!
//! The code that boots is task 0, the prompt's. When nobody is ready, whoever ran last sleeps until the next interrupt.
//!
//! A task's call stack is a [guarded stack](crate::memory::guarded_stack): an overflow runs into a page that is not mapped. What the task runs lies at the
//! top of that stack, so starting one takes nothing from the heap, and needs nothing of it: `stress` depends on that.
//!
//! Cost: switching looks at all [`MOST_TASKS`] slots once, with interrupts masked.
//!
//! | module | knows |
//! |---|---|
//! | [`turns`] | whose turn is next: pure |
//! | [`context`] | how one context is left and another one taken up: the assembly |
//! | [`scheduler`] | the two together: starting, ending and waiting |

pub mod life;
pub mod turns;

#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod scheduler;

#[cfg(target_os = "none")]
pub use scheduler::{
    SpawnError, Task, count, preempt, reap, running_index, running_name, sleep, spawn,
    wait_for_interrupt, yield_now,
};

/// What a CPU does that has come up and has no task: it sleeps, and handles interrupts.
#[cfg(target_os = "none")]
pub fn run_this_cpu() -> ! {
    loop {
        x86_64::instructions::interrupts::enable_and_hlt();
    }
}

/// The most tasks at a time, the one that boots included.
pub const MOST_TASKS: usize = 64;
