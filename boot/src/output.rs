//! Writing to the standard output and to the error output.
//!
//! Who reads the standard output may stop at any time (`make image | head -1`): no panic then, but the end of the program,
//! in good order. Nobody who has closed the error output can be told.

use core::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// The exit code where nobody reads the standard output any more: that of a program which a closed pipe kills.
pub(crate) const EXIT_CLOSED: u8 = 128 + 13;

/// Nobody reads the standard output any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the standard output any more")
    }
}

impl core::error::Error for Closed {}

/// Writes a line to the standard output; takes what `println!` takes, and returns a result.
macro_rules! say {
    ($($argument:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($argument)*)).to_string().as_bytes()) };
}

/// Writes a line to the error output; takes what `eprintln!` takes.
macro_rules! note {
    ($($argument:tt)*) => { $crate::output::write_note(format_args!($($argument)*)) };
}

pub(crate) use {note, say};

/// Writes to the standard output. [`Closed`] is the error where nobody reads it.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    named(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Gives a closed pipe its name.
fn named(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to the standard output"),
    }
}

/// Writes a line to the error output, where anybody reads it.
pub(crate) fn write_note(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_pipe_is_told_from_other_errors() {
        let closed = named(Err(ErrorKind::BrokenPipe.into())).expect_err("an error");
        assert!(closed.is::<Closed>());
        let full = named(Err(ErrorKind::StorageFull.into())).expect_err("an error");
        assert!(!full.is::<Closed>());
        assert!(full.to_string().contains("standard output"));
        assert!(named(Ok(())).is_ok());
    }
}
