//! What each CPU has done with its turns. Pure: counters that a CPU raises for itself, and anybody reads.
#![forbid(unsafe_code)]

use core::ops::Sub;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::{MOST_CPUS, Own, PerCpu};

/// What a CPU has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Switches to a task.
    pub switches: u64,
    /// Those to a task that waited for another CPU.
    pub steals: u64,
    /// Ticks of its timer.
    pub ticks: u64,
    /// Those at which it had nothing to do.
    pub idle_ticks: u64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            switches: self.switches - earlier.switches,
            steals: self.steals - earlier.steals,
            ticks: self.ticks - earlier.ticks,
            idle_ticks: self.idle_ticks - earlier.idle_ticks,
        }
    }
}

/// The counters of a CPU.
#[derive(Debug)]
struct Counters {
    /// See [`Counts::switches`].
    switches: AtomicU64,
    /// See [`Counts::steals`].
    steals: AtomicU64,
    /// See [`Counts::ticks`].
    ticks: AtomicU64,
    /// See [`Counts::idle_ticks`].
    idle_ticks: AtomicU64,
}

/// Those of all CPUs.
static COUNTERS: PerCpu<Counters> = PerCpu::new(
    [const {
        Own::new(Counters {
            switches: AtomicU64::new(0),
            steals: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            idle_ticks: AtomicU64::new(0),
        })
    }; MOST_CPUS],
);

/// Counts a switch to a task.
pub fn count_switch(cpu: usize, is_stolen: bool) {
    let counters = COUNTERS.of(cpu);
    counters.switches.fetch_add(1, Ordering::Relaxed);
    counters
        .steals
        .fetch_add(u64::from(is_stolen), Ordering::Relaxed);
}

/// Counts a tick.
pub fn count_tick(cpu: usize, is_idle: bool) {
    let counters = COUNTERS.of(cpu);
    counters.ticks.fetch_add(1, Ordering::Relaxed);
    counters
        .idle_ticks
        .fetch_add(u64::from(is_idle), Ordering::Relaxed);
}

/// Returns what a CPU has done so far.
#[must_use]
pub fn counts_of(cpu: usize) -> Counts {
    let counters = COUNTERS.of(cpu);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Counts {
        switches: read(&counters.switches),
        steals: read(&counters.steals),
        ticks: read(&counters.ticks),
        idle_ticks: read(&counters.idle_ticks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_counts_for_itself() {
        let before = counts_of(1);
        count_switch(1, true);
        count_switch(1, false);
        count_tick(1, true);
        count_tick(1, false);
        let counts = Counts {
            switches: 2,
            steals: 1,
            ticks: 2,
            idle_ticks: 1,
        };
        assert_eq!(
            (counts_of(1) - before, counts_of(2)),
            (counts, Counts::default())
        );
    }
}
