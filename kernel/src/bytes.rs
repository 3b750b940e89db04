//! Numbers of bytes as a reader wants them: `512 B`, `1.5 KiB`, `3.2 MiB`. Pure.
#![forbid(unsafe_code)]

use core::fmt;

/// A number of bytes. Displays in the unit that suits it, cut (not rounded) to a tenth of it.
///
/// In a width, numbers are right-aligned and units left-aligned, so that columns read well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

impl Bytes {
    /// Returns whole units, tenths where there is a unit, and the unit's name.
    fn parts(self) -> (usize, Option<usize>, &'static str) {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        let Some(unit) = (self.0.max(1).ilog2() / 10).checked_sub(1) else {
            return (self.0, None, "B");
        };
        let unit = usize::try_from(unit)
            .unwrap_or_default()
            .min(UNITS.len() - 1);
        let shift = 10 * (unit + 1);
        let rest = self.0 & ((1 << shift) - 1);
        let tenths = (rest >> (shift - 10)) * 10 / 1024;
        (self.0 >> shift, Some(tenths), UNITS[unit])
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Characters of the longest unit.
        const UNIT: usize = 3;
        let (whole, tenths, unit) = self.parts();
        let Some(width) = f.width() else {
            return match tenths {
                Some(tenths) => write!(f, "{whole}.{tenths} {unit}"),
                None => write!(f, "{whole} {unit}"),
            };
        };
        let rest = width.saturating_sub(UNIT + 1);
        match tenths {
            Some(tenths) => write!(
                f,
                "{whole:>width$}.{tenths} {unit:<UNIT$}",
                width = rest.saturating_sub(2)
            ),
            None => write!(f, "{whole:>rest$} {unit:<UNIT$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn unit_suits_the_number() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (usize::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(format!("[{:10}]", Bytes(512)), "[   512 B  ]");
        assert_eq!(format!("[{:10}]", Bytes(1536)), "[   1.5 KiB]");
        assert_eq!(format!("[{:10}]", Bytes(1 << 20)), "[   1.0 MiB]");
    }
}
