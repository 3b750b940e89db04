//! Counts of a clock and what time they are. Pure.
#![forbid(unsafe_code)]

use core::time::Duration;

/// Nanoseconds of a second.
const NANOS: u128 = 1_000_000_000;

/// Returns how often a second something counts that has counted `ticks` while a clock of `reference_hz` counted
/// `reference`; `None` where that one has not counted.
#[must_use]
pub fn measured_hz(ticks: u64, reference: u64, reference_hz: u64) -> Option<u64> {
    let scaled = u128::from(ticks) * u128::from(reference_hz);
    let half = u128::from(reference / 2);
    let hz = (scaled + half).checked_div(u128::from(reference))?;
    u64::try_from(hz).ok()
}

/// Returns what a CPU's time-stamp counter counts a second, by what the CPU says: the ratio to its crystal, as denominator and
/// numerator, and the crystal's Hz; and its base frequency in MHz. Each is 0 where it does not say.
#[must_use]
pub fn time_stamps_hz(
    [denominator, numerator, crystal_hz]: [u32; 3],
    base_mhz: u32,
) -> Option<u64> {
    let exact = u64::from(crystal_hz) * u64::from(numerator);
    let exact = exact.checked_div(u64::from(denominator));
    let round = u64::from(base_mhz) * 1_000_000;
    exact
        .filter(|hz| *hz > 0)
        .or(Some(round))
        .filter(|hz| *hz > 0)
}

/// Returns how long `ticks` of a clock of `hz` take; `None` where that is not known, or nearly for ever.
#[must_use]
pub fn duration(ticks: u64, hz: u64) -> Option<Duration> {
    let nanos = (u128::from(ticks) * NANOS).checked_div(u128::from(hz))?;
    let seconds = u64::try_from(nanos / NANOS).ok()?;
    let rest = u32::try_from(nanos % NANOS).ok()?;
    Some(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_a_reference() {
        assert_eq!(
            measured_hz(10_000_000, 11_932, 1_193_182),
            Some(999_984_915)
        );
        assert_eq!(measured_hz(5, 2, 1), Some(3), "it is rounded");
        assert_eq!(measured_hz(5, 0, 1), None);
        assert_eq!(measured_hz(u64::MAX, 1, u64::MAX), None);
    }

    #[test]
    fn time_stamps_follow_from_the_crystal_or_the_base_frequency() {
        let crystal = [2, 216, 24_000_000];
        assert_eq!(time_stamps_hz(crystal, 2600), Some(2_592_000_000));
        assert_eq!(time_stamps_hz([2, 216, 0], 2600), Some(2_600_000_000));
        assert_eq!(time_stamps_hz([0, 216, 24_000_000], 0), None);
        assert_eq!(time_stamps_hz([u32::MAX; 3], 0), Some(u64::from(u32::MAX)));
        assert_eq!(time_stamps_hz([0; 3], 0), None);
    }

    #[test]
    fn durations_do_not_overflow() {
        assert_eq!(
            duration(3_000_000_001, 3_000_000_000),
            Some(Duration::new(1, 0))
        );
        assert_eq!(duration(1, 4), Some(Duration::from_millis(250)));
        assert_eq!(duration(1, 0), None);
        assert_eq!(duration(u64::MAX, 1), Some(Duration::from_secs(u64::MAX)));
    }
}
