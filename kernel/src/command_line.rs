//! The text behind a command, taken apart. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use crate::protocol::LARGEST_EXIT_CODE;

/// What is wrong with the text behind a command. Displays as one sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentError<'a> {
    /// The command takes nothing more.
    Unwanted(&'a str),
    /// Something is missing: this.
    Missing(&'static str),
    /// This is not what is wanted.
    Wrong {
        /// What was typed.
        text: &'a str,
        /// What is wanted, as it follows "is not": `a size; type …`.
        wanted: &'static str,
    },
    /// This is none of the choices.
    NoChoice {
        /// What was typed.
        text: &'a str,
        /// What there is.
        choices: &'static [&'static str],
    },
}

impl fmt::Display for ArgumentError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted(text) => write!(
                f,
                "There is nothing to be done with `{text}`; leave it out."
            ),
            Self::Missing(what) => write!(f, "This command needs {what}."),
            Self::Wrong { text, wanted } => write!(f, "`{text}` is not {wanted}."),
            Self::NoChoice { text, choices } => {
                write!(f, "`{text}` is none of the choices; type one of")?;
                for (number, choice) in choices.iter().enumerate() {
                    let opening = if number == 0 { " " } else { ", " };
                    write!(f, "{opening}{choice}")?;
                }
                f.write_str(".")
            }
        }
    }
}

/// What is wanted where a size is.
const SIZE: &str = "a size; type a number of bytes such as 100, 0x40, 4K, 2M or 1G";

/// What is wanted where an allocation or an address is.
const PLACE: &str = "an address or an allocation; type an address such as 0xffff800000001000, or the number that `alloc` gave, such as 3";

/// Checks that nothing follows a command.
///
/// # Errors
///
/// [`ArgumentError::Unwanted`] with what follows it.
pub fn no_arguments(arguments: &str) -> Result<(), ArgumentError<'_>> {
    if arguments.is_empty() {
        Ok(())
    } else {
        Err(ArgumentError::Unwanted(arguments))
    }
}

/// Splits the first word off; `None` where there is none.
#[must_use]
pub fn next_word(arguments: &str) -> Option<(&str, &str)> {
    let arguments = arguments.trim();
    if arguments.is_empty() {
        return None;
    }
    let (word, rest) = arguments
        .split_once(char::is_whitespace)
        .unwrap_or((arguments, ""));
    Some((word, rest.trim_start()))
}

/// Reads a single word, or nothing.
///
/// # Errors
///
/// [`ArgumentError::Unwanted`] with what follows it.
pub fn at_most_one_word(arguments: &str) -> Result<Option<&str>, ArgumentError<'_>> {
    let Some((word, rest)) = next_word(arguments) else {
        return Ok(None);
    };
    no_arguments(rest)?;
    Ok(Some(word))
}

/// Reads the code behind `exit`; nothing means 0.
///
/// # Errors
///
/// [`ArgumentError::Wrong`] if it is not a number from 0 to [`LARGEST_EXIT_CODE`].
pub fn exit_code(arguments: &str) -> Result<u8, ArgumentError<'_>> {
    const _: () = assert!(LARGEST_EXIT_CODE == 63, "the sentence below says so");
    if arguments.is_empty() {
        return Ok(0);
    }
    let code = arguments.parse().ok();
    code.filter(|&code| code <= LARGEST_EXIT_CODE)
        .ok_or(ArgumentError::Wrong {
            text: arguments,
            wanted: "an exit code; type `exit` followed by a number from 0 to 63",
        })
}

/// Reads a number of bytes: `100`, `0x40`, `4K`, `2M`, `1G`, also as `4KiB`.
///
/// # Errors
///
/// [`ArgumentError::Wrong`]
pub fn size(text: &str) -> Result<usize, ArgumentError<'_>> {
    let wrong = ArgumentError::Wrong { text, wanted: SIZE };
    if let Some(digits) = hexadecimal(text) {
        return usize::from_str_radix(digits, 16).map_err(|_| wrong);
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "m" | "MiB" => 20,
        "G" | "g" | "GiB" => 30,
        _ => return Err(wrong),
    };
    let number: usize = digits.parse().map_err(|_| wrong)?;
    number.checked_mul(1 << shift).ok_or(wrong)
}

/// Reads an alignment: a size that is a power of two.
///
/// # Errors
///
/// [`ArgumentError::Wrong`]
pub fn alignment(text: &str) -> Result<usize, ArgumentError<'_>> {
    let align = size(text).ok().filter(|align| align.is_power_of_two());
    align.ok_or(ArgumentError::Wrong {
        text,
        wanted: "an alignment; type a power of two such as 16, 4K or 2M",
    })
}

/// Reads how often to do something: a number from 1 to `most`.
///
/// # Errors
///
/// [`ArgumentError::Wrong`], with what is `wanted`.
pub fn count<'a>(text: &'a str, most: u32, wanted: &'static str) -> Result<u32, ArgumentError<'a>> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or(ArgumentError::Wrong { text, wanted })
}

/// What a user points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address.
    Address(u64),
    /// An allocation of `alloc`, by its number.
    Allocation(u32),
}

/// Reads a place: `0x…` is an address, `3` or `#3` an allocation.
///
/// # Errors
///
/// [`ArgumentError::Wrong`]
pub fn place(text: &str) -> Result<Place, ArgumentError<'_>> {
    let place = match hexadecimal(text) {
        Some(digits) => address(digits).map(Place::Address),
        None => allocation(text).map(Place::Allocation),
    };
    place.ok_or(ArgumentError::Wrong {
        text,
        wanted: PLACE,
    })
}

/// Reads the number of an allocation: `3` or `#3`.
#[must_use]
pub fn allocation(text: &str) -> Option<u32> {
    text.strip_prefix('#').unwrap_or(text).parse().ok()
}

/// Reads the hexadecimal digits of an address, which may have `_` between them.
fn address(digits: &str) -> Option<u64> {
    let mut address = 0_u64;
    let mut count = 0;
    for digit in digits.chars().filter(|&digit| digit != '_') {
        address = address.checked_mul(16)? | u64::from(digit.to_digit(16)?);
        count += 1;
    }
    (count > 0).then_some(address)
}

/// Returns the digits behind `0x`.
fn hexadecimal(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn words_are_split_off() {
        assert_eq!(next_word("  4K   64 \t"), Some(("4K", "64")));
        assert_eq!(next_word("4K"), Some(("4K", "")));
        assert_eq!(next_word(" \t "), None);
        assert_eq!(at_most_one_word(" a "), Ok(Some("a")));
        assert_eq!(
            at_most_one_word("a b c"),
            Err(ArgumentError::Unwanted("b c"))
        );
    }

    #[test]
    fn exit_codes_are_0_to_63() {
        assert_eq!(exit_code(""), Ok(0));
        assert_eq!(exit_code("63"), Ok(63));
        for wrong in ["64", "256", "-1", "banana", "1 2", "0x1"] {
            assert!(exit_code(wrong).is_err(), "{wrong}");
        }
        assert_eq!(no_arguments("x"), Err(ArgumentError::Unwanted("x")));
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("0x100", 256),
            ("0XfF", 255),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("2M", 2 << 20),
            ("1G", 1 << 30),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "K",
            "-1",
            "1.5K",
            "4KB",
            "4 K",
            "0x",
            "0x4K",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn alignments_are_powers_of_two() {
        assert_eq!(alignment("4K"), Ok(4096));
        for wrong in ["0", "3", "12", "x"] {
            assert!(alignment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_addresses_or_allocations() {
        assert_eq!(
            place("0xffff_8000_0000_1000"),
            Ok(Place::Address(0xffff_8000_0000_1000))
        );
        assert_eq!(place("0x0"), Ok(Place::Address(0)));
        assert_eq!(place("3"), Ok(Place::Allocation(3)));
        assert_eq!(place("#3"), Ok(Place::Allocation(3)));
        for wrong in [
            "",
            "#",
            "0x",
            "0x_",
            "0xg",
            "0x1_0000_0000_0000_0000",
            "ffff8000",
            "-3",
            "#0x3",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!(count("60", 60, "x"), Ok(60));
        for wrong in ["0", "61", "", "x", "-1"] {
            assert!(count(wrong, 60, "x").is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (error, sentence) in [
            (
                ArgumentError::Unwanted("x"),
                "There is nothing to be done with `x`; leave it out.",
            ),
            (
                ArgumentError::Missing("a size, such as `alloc 4K`"),
                "This command needs a size, such as `alloc 4K`.",
            ),
            (
                ArgumentError::NoChoice {
                    text: "x",
                    choices: &["pf", "gp"],
                },
                "`x` is none of the choices; type one of pf, gp.",
            ),
        ] {
            assert_eq!(error.to_string(), sentence);
        }
        let sentence = size("4 apples").map_err(|error| error.to_string());
        assert_eq!(
            sentence,
            Err(
                "`4 apples` is not a size; type a number of bytes such as 100, 0x40, 4K, 2M or 1G."
                    .to_string()
            )
        );
    }
}
