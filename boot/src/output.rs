//! Writing to the standard output and to the error output.
//!
//! Who reads the standard output may stop at any time (`make image | head -1`): no panic then, but the end of the program,
//! in good order. Nobody who has closed the error output can be told.
//!
//! While a machine runs, a thread does the writing ([`crate::writer`]): a reader may also stall, and signals and limits must
//! be served all the same.

use core::fmt;
use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::events::Receipt;
use crate::writer::{Item, Writer};

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

/// The thread's queue, while there is one.
static WRITER: Mutex<Option<Arc<Writer>>> = Mutex::new(None);

/// Leaves the writing to a thread from now on. It tells `report` where the standard output cannot be written.
pub(crate) fn start_writer(report: impl Fn(ErrorKind) + Send + 'static) {
    let writer = Arc::new(Writer::default());
    let at_work = Arc::clone(&writer);
    thread::spawn(move || at_work.work(io::stdout(), io::stderr(), report));
    *place() = Some(writer);
}

/// Ends what [`start_writer`] began: waits until all is written, no longer than `patience` where there is one. What is said
/// later is written at once. An error says why the standard output could not be written.
pub(crate) fn finish(patience: Option<Duration>) -> anyhow::Result<()> {
    let Some(writer) = place().take() else {
        return Ok(());
    };
    let (result, notes) = writer.finish(patience);
    if let Some(patience) = patience.filter(|_| !notes.is_empty()) {
        // The thread is stuck, most likely at the standard output. Another one may have more luck with the error output.
        let (done, written) = channel();
        thread::spawn(move || done.send(io::stderr().write_all(&notes)));
        drop(written.recv_timeout(patience));
    }
    result.map_err(unwritable)
}

/// Drops `receipt` when all that was said so far is written.
pub(crate) fn give(receipt: Receipt) {
    if let Some(writer) = writer() {
        writer.put(Item::Receipt(receipt));
    }
}

/// Returns how long who reads our output has stalled since this was called last; `None` where that is not worth counting.
pub(crate) fn take_stall() -> Option<Duration> {
    writer()?.take_stall()
}

/// Returns the thread's queue, if there is one.
fn writer() -> Option<Arc<Writer>> {
    place().clone()
}

/// Returns the place of the thread's queue. A thread that panicked cannot have left it half changed.
fn place() -> MutexGuard<'static, Option<Arc<Writer>>> {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to the standard output, or has it written. [`Closed`] is the error where nobody reads it.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(writer) = writer() {
        writer.put(Item::Output(bytes.to_vec()));
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(unwritable)
}

/// Returns the error for a standard output that cannot be written. A closed pipe gets its name.
pub(crate) fn unwritable(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::Error::new(error).context("cannot write to the standard output"),
    }
}

/// Writes a line to the error output, where anybody reads it.
pub(crate) fn write_note(text: fmt::Arguments<'_>) {
    let line = format!("{text}\n");
    match writer() {
        Some(writer) => writer.put(Item::Note(line.into_bytes())),
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_pipe_is_told_from_other_errors() {
        assert!(unwritable(ErrorKind::BrokenPipe.into()).is::<Closed>());
        let full = unwritable(ErrorKind::StorageFull.into());
        assert!(!full.is::<Closed>());
        assert!(full.to_string().contains("standard output"));
    }

    #[test]
    fn nothing_is_left_to_the_thread_behind_the_end() {
        start_writer(|_| {});
        assert!(writer().is_some());
        finish(None).expect("nothing was written");
        assert!(writer().is_none());
    }
}
