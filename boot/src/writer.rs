//! A thread that writes, so that a reader who stalls holds up nothing else.
//!
//! Both outputs go through one queue, in the order in which they were said. The queue has no bound of its own: QEMU's next
//! output is read only when the [`Receipt`] behind the last one was reached, so there is never more in it than what one piece
//! of QEMU's output makes the program say.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::events::Receipt;

/// A write that takes so long has to do with a reader who stalls. Others are no delay worth counting.
const STALL: Duration = Duration::from_millis(100);

/// Something in the queue.
#[derive(Debug)]
pub(crate) enum Item {
    /// Text for the standard output.
    Output(Vec<u8>),
    /// Text for the error output.
    Note(Vec<u8>),
    /// Is dropped when all before it is written.
    Receipt(Receipt),
}

/// The queue, and how far the thread is with it.
#[derive(Debug, Default)]
struct State {
    /// What is to be written.
    items: VecDeque<Item>,
    /// Since when the thread is writing something that it has taken out of the queue.
    writing_since: Option<Instant>,
    /// How long it was held up in ended writes, and was not asked about.
    stalled: Duration,
    /// Why the standard output could not be written.
    failure: Option<ErrorKind>,
}

impl State {
    /// Says whether something was not written yet.
    fn is_behind(&self) -> bool {
        self.writing_since.is_some() || !self.items.is_empty()
    }

    /// Counts the time of the present write in, if it has to do with a reader who stalls.
    fn count_stall(&mut self, now: Instant) {
        if let Some(since) = &mut self.writing_since
            && now - *since >= STALL
        {
            self.stalled += now - *since;
            *since = now;
        }
    }

    /// Takes note that the present write is over.
    fn end_write(&mut self, now: Instant, failure: Option<ErrorKind>) {
        self.count_stall(now);
        self.writing_since = None;
        self.failure = self.failure.or(failure);
    }
}

/// What the thread and the rest of the program have in common.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The queue.
    state: Mutex<State>,
    /// Wakes who waits for a change of it.
    changed: Condvar,
}

impl Writer {
    /// Has the thread write something when it has written all that came before.
    pub(crate) fn put(&self, item: Item) {
        self.change(|state| state.items.push_back(item));
    }

    /// Returns how long readers have stalled since this was called last; `None` where that is not worth counting.
    pub(crate) fn take_stall(&self) -> Option<Duration> {
        let mut state = self.state();
        state.count_stall(Instant::now());
        let stalled = core::mem::take(&mut state.stalled);
        (stalled >= STALL).then_some(stalled)
    }

    /// Does the thread's work, for ever. What comes behind a failure is not written; `report` is told of the failure.
    pub(crate) fn work(
        &self,
        mut output: impl Write,
        mut notes: impl Write,
        report: impl Fn(ErrorKind),
    ) {
        loop {
            let (item, has_failed) = self.take();
            let written = match item {
                Item::Output(bytes) if !has_failed => output
                    .write_all(&bytes)
                    .and_then(|()| output.flush())
                    .map_err(|error| error.kind()),
                Item::Note(bytes) => {
                    // Nobody who has closed the error output can be told.
                    drop(notes.write_all(&bytes));
                    Ok(())
                }
                Item::Output(_) => Ok(()),
                Item::Receipt(receipt) => {
                    drop(receipt);
                    Ok(())
                }
            };
            self.change(|state| state.end_write(Instant::now(), written.err()));
            if let Err(failure) = written {
                report(failure);
            }
        }
    }

    /// Waits until all is written, no longer than `patience` where there is one. Returns why the standard output could not be
    /// written, if it could not, and the notes that are left where patience is at its end.
    pub(crate) fn finish(&self, patience: Option<Duration>) -> (io::Result<()>, Vec<u8>) {
        let state = self.state();
        let mut state = match patience {
            None => self
                .changed
                .wait_while(state, |state| state.is_behind())
                .unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                self.changed
                    .wait_timeout_while(state, patience, |state| state.is_behind())
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        let left = state.items.drain(..).flat_map(|item| match item {
            Item::Note(bytes) => bytes,
            Item::Output(_) | Item::Receipt(_) => Vec::new(),
        });
        let left = left.collect();
        (state.failure.map_or(Ok(()), |kind| Err(kind.into())), left)
    }

    /// Waits for the next item. Returns also whether writing has failed before.
    fn take(&self) -> (Item, bool) {
        let mut state = self.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.writing_since = Some(Instant::now());
                return (item, state.failure.is_some());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Changes the state and wakes who waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Returns the state. A thread that panicked cannot have left it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, TryRecvError, channel};
    use std::thread;

    use super::*;

    /// More than a pipe takes.
    const MUCH: usize = 1 << 20;

    /// A writer at work on two pipes: what it wrote, its notes, and its failures.
    fn at_work() -> (Arc<Writer>, PipeReader, PipeReader, Receiver<ErrorKind>) {
        let pipe = || -> (PipeReader, PipeWriter) { io::pipe().expect("a pipe") };
        let ((output, output_end), (notes, notes_end)) = (pipe(), pipe());
        let (to_test, failures) = channel();
        let writer = Arc::new(Writer::default());
        let at_work = Arc::clone(&writer);
        thread::spawn(move || {
            at_work.work(output_end, notes_end, |kind| {
                to_test.send(kind).expect("the test goes on");
            });
        });
        (writer, output, notes, failures)
    }

    /// An item of the standard output.
    fn output(text: &str) -> Item {
        Item::Output(text.as_bytes().to_vec())
    }

    /// A note.
    fn note(text: &str) -> Item {
        Item::Note(text.as_bytes().to_vec())
    }

    /// Reads so many bytes.
    fn read(mut pipe: &PipeReader, count: usize) -> String {
        let mut bytes = vec![0; count];
        pipe.read_exact(&mut bytes).expect("can read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn all_is_written_when_finishing_is_over() {
        let (writer, mut output_end, mut notes, _) = at_work();
        for item in [output("one "), note("note"), output("two")] {
            writer.put(item);
        }
        let (result, left) = writer.finish(None);
        assert!(result.is_ok() && left.is_empty());
        assert!(!writer.state().is_behind());
        assert_eq!(read(&output_end, 7), "one two");
        assert_eq!(read(&notes, 4), "note");
        // The thread is still there, and so are the pipes.
        writer.put(output("three"));
        let mut bytes = [0; 8];
        assert_eq!(output_end.read(&mut bytes).expect("can read"), 5);
        writer.put(note("!"));
        assert_eq!(notes.read(&mut bytes).expect("can read"), 1);
    }

    #[test]
    fn receipt_comes_when_all_before_it_was_read_and_not_earlier() {
        let (writer, output_end, _notes, _) = at_work();
        let (receipt, given) = Receipt::new();
        writer.put(Item::Output(vec![b'x'; MUCH]));
        writer.put(Item::Receipt(receipt));
        read(&output_end, MUCH / 2);
        assert_eq!(given.try_recv(), Err(TryRecvError::Empty));
        assert!(writer.state().is_behind());
        read(&output_end, MUCH / 2);
        assert!(given.recv().is_err());
    }

    #[test]
    fn stalled_reader_costs_the_patience_and_no_note() {
        let (writer, _output, _notes, _) = at_work();
        writer.put(Item::Output(vec![b'x'; MUCH]));
        writer.put(note("It was "));
        writer.put(output("lost"));
        writer.put(note("ended."));
        let (result, left) = writer.finish(Some(Duration::from_millis(1)));
        assert!(result.is_ok());
        assert_eq!(left, b"It was ended.");
    }

    #[test]
    fn only_long_writes_count_as_stalls_and_only_once() {
        let start = Instant::now();
        let mut state = State {
            writing_since: Some(start),
            ..State::default()
        };
        state.end_write(start + STALL / 2, None);
        assert_eq!(state.stalled, Duration::ZERO);
        state.writing_since = Some(start);
        state.count_stall(start + 3 * STALL);
        state.count_stall(start + 4 * STALL);
        state.end_write(start + 9 * STALL, None);
        assert_eq!(state.stalled, 9 * STALL);
        state.count_stall(start + 20 * STALL);
        assert_eq!(state.stalled, 9 * STALL);
    }

    #[test]
    fn closed_output_is_reported_once_and_notes_go_on() {
        let (writer, output_end, notes, failures) = at_work();
        drop(output_end);
        for item in [output("one"), output("two"), note("note")] {
            writer.put(item);
        }
        let (result, _) = writer.finish(None);
        assert_eq!(
            result.expect_err("nobody reads").kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(read(&notes, 4), "note");
        assert_eq!(
            failures.try_iter().collect::<Vec<_>>(),
            [ErrorKind::BrokenPipe]
        );
    }
}
