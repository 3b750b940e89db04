//! Something that each CPU has one of. Pure.
#![forbid(unsafe_code)]

use super::MOST_CPUS;

/// One for each CPU, far enough apart that a CPU which writes its own does not slow others down that read theirs.
///
/// ```
/// # use kernel::cpu::{Own, PerCpu};
/// # use core::sync::atomic::AtomicU64;
/// static TICKS: PerCpu<AtomicU64> = PerCpu::new([const { Own::new(AtomicU64::new(0)) }; 16]);
/// ```
///
/// It is an array that anybody may read: nothing keeps a CPU from that of another one. So what is in it must be made for being
/// shared (`Sync`), as in any static.
#[derive(Debug)]
pub struct PerCpu<T>([Own<T>; MOST_CPUS]);

/// What one CPU has: alone in its cache lines. (Two of 64 bytes: processors fetch them in pairs.)
#[derive(Debug)]
#[repr(align(128))]
pub struct Own<T>(T);

impl<T> Own<T> {
    /// Puts a value into lines of its own.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> PerCpu<T> {
    /// Makes one of what each CPU has, by number.
    pub const fn new(values: [Own<T>; MOST_CPUS]) -> Self {
        Self(values)
    }

    /// Returns that of the CPU with this number.
    ///
    /// # Panics
    ///
    /// If the number is not below [`MOST_CPUS`].
    #[inline]
    pub fn of(&self, cpu: usize) -> &T {
        &self.0[cpu].0
    }

    /// Returns those of all CPUs, by number, of such that do not run too.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|own| &own.0)
    }

    /// Returns that of the CPU which runs this code.
    ///
    /// **It stays this CPU's only while the code cannot be moved to another one**: with interrupts masked, in a handler, or where
    /// nothing preempts. Elsewhere the answer may be old when it comes: it is some CPU's then, which is as sound, because
    /// whatever is in a static must be made for being shared; but what needs to be exact masks interrupts first.
    #[cfg(target_os = "none")]
    #[inline(always)]
    pub fn here(&self) -> &T {
        // The number is below `MOST_CPUS`: see `current`. The remainder by a power of two is one instruction, and spares the
        // code that panics where it is not.
        &self.0[super::current() % MOST_CPUS].0
    }
}

/// `here` and the heap's use of the number count on that.
const _: () = assert!(MOST_CPUS.is_power_of_two());

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn each_cpu_has_its_own_in_lines_of_its_own() {
        static COUNTS: PerCpu<AtomicU64> =
            PerCpu::new([const { Own::new(AtomicU64::new(7)) }; MOST_CPUS]);
        COUNTS.of(3).fetch_add(1, Ordering::Relaxed);
        let values: Vec<u64> = COUNTS
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(values.len(), MOST_CPUS);
        assert_eq!(values.iter().sum::<u64>(), 7 * MOST_CPUS as u64 + 1);
        assert_eq!(values[3], 8);
        let address = |cpu| core::ptr::from_ref(COUNTS.of(cpu)).addr();
        assert_eq!(address(0) % 128, 0);
        assert_eq!(address(1) - address(0), 128);
    }
}
