//! A typed line, taken apart. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use crate::protocol::LARGEST_EXIT_CODE;

/// Splits a line into the command and the text behind it; `None` for a blank line.
#[must_use]
pub fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (command, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((command, arguments.trim_start()))
}

/// What is wrong with the text behind a command. Displays as one sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentError<'a> {
    /// The command takes none.
    Unwanted(&'a str),
    /// This is no exit code.
    NoExitCode(&'a str),
}

impl fmt::Display for ArgumentError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted(text) => {
                write!(f, "This command takes no arguments; leave out `{text}`.")
            }
            Self::NoExitCode(text) => {
                write!(
                    f,
                    "`{text}` is not an exit code; type `exit` followed by a number from 0 to {LARGEST_EXIT_CODE}."
                )
            }
        }
    }
}

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

/// Reads the code behind `exit`; nothing means 0.
///
/// # Errors
///
/// [`ArgumentError::NoExitCode`] if it is not a number from 0 to [`LARGEST_EXIT_CODE`].
pub fn exit_code(arguments: &str) -> Result<u8, ArgumentError<'_>> {
    if arguments.is_empty() {
        return Ok(0);
    }
    arguments
        .parse()
        .ok()
        .filter(|&code| code <= LARGEST_EXIT_CODE)
        .ok_or(ArgumentError::NoExitCode(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_trimmed() {
        assert_eq!(split("  exit   3 \t"), Some(("exit", "3")));
        assert_eq!(split("heap"), Some(("heap", "")));
        assert_eq!(split(" \t "), None);
    }

    #[test]
    fn exit_codes_are_0_to_63() {
        assert_eq!(exit_code(""), Ok(0));
        assert_eq!(exit_code("63"), Ok(63));
        for wrong in ["64", "256", "-1", "banana", "1 2", "0x1"] {
            assert_eq!(exit_code(wrong), Err(ArgumentError::NoExitCode(wrong)));
        }
        assert_eq!(no_arguments("x"), Err(ArgumentError::Unwanted("x")));
    }
}
