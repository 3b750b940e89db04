//! How much memory the machine gets, as a user writes it: `64M`, `5G`, `512` (mebibytes).

use core::fmt;
use core::str::FromStr;

/// A memory size in whole mebibytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemorySize {
    /// The size, in MiB.
    mebibytes: u64,
}

impl MemorySize {
    /// More than any machine has; keeps the arithmetic far from overflow, and QEMU from odd errors.
    const LARGEST_MEBIBYTES: u64 = 1 << 20;

    /// Returns the size in MiB.
    pub(crate) fn mebibytes(self) -> u64 {
        self.mebibytes
    }

    /// Returns the size in the form that QEMU's `-m` takes.
    pub(crate) fn to_qemu(self) -> String {
        format!("{}M", self.mebibytes)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mebibytes.is_multiple_of(1024) {
            write!(formatter, "{} GiB", self.mebibytes / 1024)
        } else {
            write!(formatter, "{} MiB", self.mebibytes)
        }
    }
}

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("`{text}` is not a memory size: write a whole number with M or G, such as 256M or 4G (at most 1024G)")
        })
    }
}

/// Reads digits and a unit: none or `M`, `MB`, `MiB` for mebibytes, and the same with `G` for gibibytes.
fn parse(text: &str) -> Option<MemorySize> {
    let digits_end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.parse().ok()?;
    let mebibytes = match unit.to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" => number,
        "g" | "gb" | "gib" => number.checked_mul(1024)?,
        _ => return None,
    };
    (1..=MemorySize::LARGEST_MEBIBYTES)
        .contains(&mebibytes)
        .then_some(MemorySize { mebibytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_mebibytes_and_gibibytes() {
        for (text, mebibytes) in [
            ("64M", 64),
            ("512", 512),
            ("5G", 5120),
            ("1GiB", 1024),
            ("128mb", 128),
        ] {
            assert_eq!(parse(text), Some(MemorySize { mebibytes }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "banana",
            "",
            "M",
            "-1M",
            "1.5G",
            "64K",
            "0",
            "64M ",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn refusal_says_what_to_write() {
        let refusal = "banana"
            .parse::<MemorySize>()
            .expect_err("banana is no size");
        assert!(refusal.contains("such as 256M"), "{refusal}");
    }
}
