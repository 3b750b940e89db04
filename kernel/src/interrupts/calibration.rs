//! How fast the CPU's clocks run, measured with the first clock of known rate that is there and counts.

use super::rate::measured_hz;
use super::reference::Reference;
use crate::bench::clock;

/// Measurements a second, if there were no pause between them: each takes 10 ms.
const MEASUREMENTS_A_SECOND: u64 = 100;

/// How often the reference is read, with the same result, until it is known to stand still.
const PATIENCE: u32 = 10_000;

/// Times that everything is measured; the one in the middle counts. A host that stops the machine spoils one.
const TRIALS: usize = 3;

/// Times that a moment is taken; the quickest counts.
const TRIES: usize = 8;

/// Counts a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Of the time-stamp counter.
    pub(super) tsc_hz: u64,
    /// Of the counter that was measured beside it, which counts down.
    pub(super) other_hz: u64,
}

/// Measures the time-stamp counter, and the one that `other` reads. `None` where there is nothing to measure with. Needs
/// interrupts masked.
pub(super) fn measure(other: fn() -> u32) -> Option<Rates> {
    Reference::all().find_map(|reference| {
        let rates = measure_with(reference, other)?;
        log::debug!(
            "clock: the time-stamp counter counts {} kHz, measured with {reference}",
            rates.tsc_hz / 1000
        );
        Some(rates)
    })
}

/// Measures with one clock; `None` if it does not count.
fn measure_with(reference: Reference, other: fn() -> u32) -> Option<Rates> {
    reference.start();
    let mut rates = [None; TRIALS];
    for rate in &mut rates {
        *rate = Some(measure_once(reference, other)?);
    }
    rates.sort_unstable_by_key(|rate| rate.map(|rate| rate.tsc_hz));
    rates[TRIALS / 2]
}

/// Measures for 10 ms.
fn measure_once(reference: Reference, other: fn() -> u32) -> Option<Rates> {
    let start = Moment::now(reference, other);
    wait_from(reference, start.reference)?;
    let end = Moment::now(reference, other);
    let counted = reference.counted(start.reference, end.reference);
    let hz = |ticks| measured_hz(ticks, counted, reference.hz());
    Some(Rates {
        tsc_hz: hz(end.tsc.wrapping_sub(start.tsc))?,
        other_hz: hz(u64::from(start.other.wrapping_sub(end.other)))?,
    })
}

/// Waits until the reference has counted from `start` for 10 ms; `None` if it does not count.
fn wait_from(reference: Reference, start: u64) -> Option<()> {
    let (mut last, mut patience) = (start, PATIENCE);
    while reference.counted(start, last) < reference.hz() / MEASUREMENTS_A_SECOND {
        let now = reference.read();
        patience = if now == last {
            patience.checked_sub(1)?
        } else {
            PATIENCE
        };
        last = now;
    }
    Some(())
}

/// What three clocks say at one time.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// The reference.
    reference: u64,
    /// The time-stamp counter.
    tsc: u64,
    /// The other one.
    other: u32,
}

impl Moment {
    /// Reads all three, as close together as they can be.
    fn now(reference: Reference, other: fn() -> u32) -> Self {
        let read = |_| {
            let tsc = clock::now();
            let moment = Self {
                tsc,
                other: other(),
                reference: reference.read(),
            };
            (clock::now() - tsc, moment)
        };
        let first = read(0);
        let quickest =
            (1..TRIES).map(read).fold(
                first,
                |quickest, next| {
                    if next.0 < quickest.0 { next } else { quickest }
                },
            );
        quickest.1
    }
}
