//! The processor's own clock, for what takes nanoseconds.

use core::arch::x86_64::{__rdtscp, _mm_lfence};
use core::time::Duration;
use std::thread;
use std::time::Instant;

/// Empty stretches that are timed to learn what reading the clock takes.
const READINGS: usize = 10_000;

/// A clock that counts ticks of the processor's time stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What reading it twice takes, which is in every stretch and subtracted from it.
    pub overhead: u32,
    /// The least by which it advances: many processors count in steps.
    pub step: u32,
    /// How many ticks are a nanosecond.
    pub ticks_per_nanosecond: f64,
}

impl Clock {
    /// Measures the clock. Takes a twentieth of a second.
    #[must_use]
    pub fn new() -> Self {
        let bare = Self {
            overhead: 0,
            step: 1,
            ticks_per_nanosecond: 1.0,
        };
        let readings: Vec<u32> = (0..READINGS).map(|_| bare.time(|| ()).1).collect();
        let least = readings.iter().copied().min().unwrap_or(0);
        let above = readings.iter().map(|ticks| ticks - least);
        let step = above.filter(|ticks| *ticks > 0).min().unwrap_or(1);
        // Where it counts in steps, a reading takes a step more or less: their mean says what it takes. Interrupts do not count.
        let usual: Vec<u32> = readings
            .into_iter()
            .filter(|ticks| ticks - least <= step)
            .collect();
        let sum: usize = usual.iter().map(|ticks| *ticks as usize).sum();
        let overhead = u32::try_from(sum / usual.len().max(1)).unwrap_or(least);
        let (start, first) = (Instant::now(), now());
        thread::sleep(Duration::from_millis(50));
        let (elapsed, ticks) = (start.elapsed(), now() - first);
        Self {
            overhead,
            step,
            ticks_per_nanosecond: ticks as f64 / (elapsed.as_secs_f64() * 1e9),
        }
    }

    /// Does `work`, and returns what came out and the ticks that it took.
    ///
    /// Nothing of what comes before or after it is done meanwhile: so it is the time until the work is done, where a
    /// program that goes on at once may hide some of it.
    #[inline(always)]
    pub fn time<T>(self, work: impl FnOnce() -> T) -> (T, u32) {
        let start = now();
        let result = work();
        let ticks = now() - start;
        (
            result,
            u32::try_from(ticks)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.overhead),
        )
    }

    /// Returns ticks as nanoseconds.
    #[must_use]
    pub fn nanoseconds(self, ticks: u32) -> f64 {
        f64::from(ticks) / self.ticks_per_nanosecond
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the counter, when everything before is done and before anything behind is begun.
#[inline(always)]
fn now() -> u64 {
    let mut processor = 0;
    // SAFETY: every processor with 64 bits has the instruction.
    unsafe { _mm_lfence() };
    // SAFETY: and so has every one that this toolchain makes programs for, but some of before 2008.
    let ticks = unsafe { __rdtscp(&raw mut processor) };
    // SAFETY: see above.
    unsafe { _mm_lfence() };
    ticks
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use core::time::Duration;

    #[test]
    fn a_sleep_takes_longer_than_nothing() {
        let clock = Clock::new();
        let nothing = (0..100).map(|_| clock.time(|| ()).1).min();
        let ((), sleep) = clock.time(|| std::thread::sleep(Duration::from_millis(5)));
        assert!(Some(sleep) > nothing, "{sleep} ticks, {clock:?}");
        assert!(clock.nanoseconds(sleep) > 0.0);
    }
}
