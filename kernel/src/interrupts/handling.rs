//! Which interrupt each CPU is handling, for reports of failures: what begins and what ends.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU8, Ordering};

use super::counts;
use crate::cpu::{self, MOST_CPUS, Own, PerCpu};

/// The vector whose handler runs; 0, the divide error's, stands for none: handlers are of interrupts alone.
static CURRENT: PerCpu<AtomicU8> = PerCpu::new([const { Own::new(AtomicU8::new(0)) }; MOST_CPUS]);

/// Says, while it exists, that the handler of an interrupt runs on this CPU. Handlers are not moved to another one.
///
/// A handler that goes on with other code than the interrupted one, that of another task, drops it before.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Handling {
    /// The vector that was being handled before.
    before: u8,
}

impl Handling {
    /// Begins the handling of the interrupt with this vector, and counts it.
    pub fn begin(vector: u8) -> Self {
        counts::add(cpu::current(), vector);
        Self {
            before: CURRENT.here().swap(vector, Ordering::Relaxed),
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        CURRENT.here().store(self.before, Ordering::Relaxed);
    }
}

/// Returns the vector of the interrupt whose handler runs on this CPU; `None` in ordinary code.
#[must_use]
pub fn current() -> Option<u8> {
    Some(CURRENT.here().load(Ordering::Relaxed)).filter(|&vector| vector > 0)
}
