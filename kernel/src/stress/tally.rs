//! What has been done so far, counted on the CPU that did it. Pure: counters in lines of their own, so that counting does not make
//! CPUs wait for each other.
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{AtomicU64, Ordering};

use super::report::Counts;
use crate::cpu::{MOST_CPUS, Own, PerCpu};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A step of a task.
    Step,
    /// An object that a task allocated.
    Allocation,
    /// An object resized.
    Resize,
    /// A request that was answered with null.
    Null,
    /// An object taken by another one than had left it.
    Exchange,
    /// An object that was allocated on another CPU, and freed here.
    Crossing,
    /// A run of an interrupt's handler.
    HandlerRun,
}

/// How many kinds there are.
const KINDS: usize = What::HandlerRun as usize + 1;

/// The counters, by kind.
static COUNTERS: PerCpu<[AtomicU64; KINDS]> =
    PerCpu::new([const { Own::new([const { AtomicU64::new(0) }; KINDS]) }; MOST_CPUS]);

/// It is time to stop.
#[cfg(target_os = "none")]
pub(super) static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Returns whether it is time to stop.
#[cfg(target_os = "none")]
pub(super) fn is_over() -> bool {
    IS_OVER.load(Ordering::SeqCst)
}

/// Counts one on a CPU. Returns how many there were on it.
pub fn count_on(cpu: usize, what: What) -> u64 {
    COUNTERS.of(cpu)[what as usize].fetch_add(1, Ordering::Relaxed)
}

/// Counts one on this CPU. Returns how many there were on it.
#[cfg(target_os = "none")]
pub(super) fn count(what: What) -> u64 {
    count_on(crate::cpu::current(), what)
}

/// Forgets what was counted.
pub fn reset() {
    for counter in COUNTERS.iter().flatten() {
        counter.store(0, Ordering::Relaxed);
    }
}

/// Returns what a CPU has counted.
#[must_use]
pub fn counts_of(cpu: usize) -> Counts {
    let read = |what: What| COUNTERS.of(cpu)[what as usize].load(Ordering::Relaxed);
    Counts {
        steps: read(What::Step),
        allocations: read(What::Allocation),
        resizes: read(What::Resize),
        nulls: read(What::Null),
        exchanged: read(What::Exchange),
        crossed: read(What::Crossing),
        handler_runs: read(What::HandlerRun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_counts_each_thing() {
        reset();
        assert_eq!(count_on(2, What::Crossing), 0);
        assert_eq!(count_on(2, What::Crossing), 1);
        count_on(2, What::HandlerRun);
        let counts = Counts {
            crossed: 2,
            handler_runs: 1,
            ..Counts::default()
        };
        assert_eq!((counts_of(2), counts_of(1)), (counts, Counts::default()));
        reset();
        assert_eq!(counts_of(2), Counts::default());
    }
}
