//! How often each vector has come, on which CPU. Pure: counters, raised by handlers of all kinds.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use super::vector::{SPURIOUS_APIC, SPURIOUS_FIRST_PIC, SPURIOUS_SECOND_PIC};
use crate::cpu::{MOST_CPUS, Own, PerCpu};

/// Vectors of a CPU.
pub const VECTORS: usize = 256;

/// The counters of each CPU, by vector.
static COUNTS: PerCpu<[AtomicU64; VECTORS]> =
    PerCpu::new([const { Own::new([const { AtomicU64::new(0) }; VECTORS]) }; MOST_CPUS]);

/// Counts an interrupt or exception of this CPU. May be called anywhere, in an NMI too.
pub fn add(cpu: usize, vector: u8) {
    COUNTS.of(cpu)[usize::from(vector)].fetch_add(1, Ordering::Relaxed);
}

/// Returns how often a vector has come, on all CPUs together.
#[must_use]
pub fn of(vector: u8) -> u64 {
    COUNTS
        .iter()
        .map(|counts| counts[usize::from(vector)].load(Ordering::Relaxed))
        .sum()
}

/// Returns how often a vector has come on one CPU.
#[must_use]
pub fn of_cpu(cpu: usize, vector: u8) -> u64 {
    COUNTS.of(cpu)[usize::from(vector)].load(Ordering::Relaxed)
}

/// Returns how many interrupts and exceptions have come on one CPU.
#[must_use]
pub fn on_cpu(cpu: usize) -> u64 {
    let counts = COUNTS.of(cpu).iter();
    counts.map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Returns how many interrupts went away before the CPU asked which they were.
#[must_use]
pub fn spurious() -> u64 {
    of(SPURIOUS_FIRST_PIC) + of(SPURIOUS_SECOND_PIC) + of(SPURIOUS_APIC)
}

/// Returns all counts, by vector, of all CPUs together.
#[must_use]
pub fn all() -> [u64; VECTORS] {
    core::array::from_fn(|vector| {
        let counts = COUNTS.iter().map(|counts| &counts[vector]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vector_has_its_own_count_on_each_cpu() {
        let before = all();
        add(0, 200);
        add(3, 200);
        add(3, SPURIOUS_APIC);
        assert_eq!(of(200), before[200] + 2);
        assert_eq!((of_cpu(0, 200), of_cpu(1, 200), of_cpu(3, 200)), (1, 0, 1));
        assert_eq!(on_cpu(3), 2);
        assert_eq!(all()[201], before[201]);
        assert!(spurious() > 0);
    }
}
