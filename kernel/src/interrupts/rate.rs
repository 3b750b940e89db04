//! Counts of a clock and what time they are. Pure.
#![forbid(unsafe_code)]

use core::time::Duration;

/// Nanoseconds of a second.
const NANOS: u128 = 1_000_000_000;

/// Returns how often a second something counts that has counted `ticks` while a clock of `reference_hz` counted
/// `reference`; `None` where that one has not counted.
#[must_use]
pub fn measured_hz(ticks: u64, reference: u64, reference_hz: u32) -> Option<u64> {
    let scaled = u128::from(ticks) * u128::from(reference_hz);
    let half = u128::from(reference / 2);
    let hz = (scaled + half).checked_div(u128::from(reference))?;
    u64::try_from(hz).ok()
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
        assert_eq!(measured_hz(u64::MAX, 1, u32::MAX), None);
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
