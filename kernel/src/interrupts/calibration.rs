//! How fast the CPU's clocks run, measured with the one clock whose rate every PC has: the 8254's.

use super::pit;
use super::rate::measured_hz;
use crate::bench::clock;

/// How long a measurement takes, in counts of the 8254: 10 ms. Its counter is through after 55 ms.
const REFERENCE_COUNTS: u16 = 11_932;

/// How often the 8254 is read, with the same result, until it is known to stand still.
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

/// Measures the time-stamp counter, and the one that `other` reads. `None` where there is no 8254. Needs interrupts masked.
pub(super) fn measure(other: fn() -> u32) -> Option<Rates> {
    pit::start_reference();
    let mut rates = [None; TRIALS];
    for rate in &mut rates {
        *rate = Some(measure_once(other)?);
    }
    rates.sort_unstable_by_key(|rate| rate.map(|rate| rate.tsc_hz));
    rates[TRIALS / 2]
}

/// Measures for 10 ms.
fn measure_once(other: fn() -> u32) -> Option<Rates> {
    let start = Moment::now(other);
    wait_from(start.reference)?;
    let end = Moment::now(other);
    let reference = u64::from(start.reference.wrapping_sub(end.reference));
    let hz = |ticks| measured_hz(ticks, reference, pit::INPUT_HZ);
    Some(Rates {
        tsc_hz: hz(end.tsc.wrapping_sub(start.tsc))?,
        other_hz: hz(u64::from(start.other.wrapping_sub(end.other)))?,
    })
}

/// Waits until the 8254 has counted from `start` for 10 ms; `None` if it does not count.
fn wait_from(start: u16) -> Option<()> {
    let (mut last, mut patience) = (start, PATIENCE);
    while start.wrapping_sub(last) < REFERENCE_COUNTS {
        let now = pit::reference();
        patience = if now == last {
            patience.checked_sub(1)?
        } else {
            PATIENCE
        };
        last = now;
    }
    Some(())
}

/// What three clocks say at one time. All but the time-stamp counter count down.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// The 8254.
    reference: u16,
    /// The time-stamp counter.
    tsc: u64,
    /// The other one.
    other: u32,
}

impl Moment {
    /// Reads all three, as close together as they can be.
    fn now(other: fn() -> u32) -> Self {
        let read = |_| {
            let tsc = clock::now();
            let moment = Self {
                tsc,
                other: other(),
                reference: pit::reference(),
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
