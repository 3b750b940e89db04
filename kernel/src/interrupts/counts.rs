//! How often each vector has come. Pure: counters, raised by handlers of all kinds.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use super::vector::{SPURIOUS_APIC, SPURIOUS_FIRST_PIC, SPURIOUS_SECOND_PIC};

/// Vectors of a CPU.
pub const VECTORS: usize = 256;

/// The counters, by vector.
static COUNTS: [AtomicU64; VECTORS] = [const { AtomicU64::new(0) }; VECTORS];

/// Counts an interrupt or exception. May be called anywhere, in an NMI too.
pub fn add(vector: u8) {
    COUNTS[usize::from(vector)].fetch_add(1, Ordering::Relaxed);
}

/// Returns how often a vector has come.
#[must_use]
pub fn of(vector: u8) -> u64 {
    COUNTS[usize::from(vector)].load(Ordering::Relaxed)
}

/// Returns how many interrupts went away before the CPU asked which they were.
#[must_use]
pub fn spurious() -> u64 {
    of(SPURIOUS_FIRST_PIC) + of(SPURIOUS_SECOND_PIC) + of(SPURIOUS_APIC)
}

/// Returns all counts, by vector.
#[must_use]
pub fn all() -> [u64; VECTORS] {
    core::array::from_fn(|vector| COUNTS[vector].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vector_has_its_own_count() {
        let before = all();
        add(200);
        add(200);
        add(SPURIOUS_APIC);
        assert_eq!(of(200), before[200] + 2);
        assert_eq!(all()[201], before[201]);
        assert!(spurious() > 0);
    }
}
