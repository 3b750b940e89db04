//! What happens outside, in one queue for the main thread.
//!
//! The queue outlives the machines of a test run. Each event of a machine carries its number, so that a late word of one that
//! has ended is not taken for the next one's.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::monitor::Job;
use crate::output;

/// The signals that are events.
const SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Something happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// QEMU wrote to the serial console. It is not read from again before the receipt is dropped.
    Output(Vec<u8>, Receipt),
    /// QEMU closed the serial console: it is ending.
    OutputEnd,
    /// QEMU's monitor has done a job, or could not.
    JobDone(Job, anyhow::Result<()>),
    /// Our own standard output cannot be written.
    Unwritable(ErrorKind),
    /// This program got a signal.
    Signal(i32),
    /// The deadline came first.
    Timeout,
}

/// Says, by being dropped, that something was dealt with.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// Nothing is ever sent; the other end sees that this one is gone.
    _end: Sender<()>,
}

impl Receipt {
    /// Makes a receipt, and the end on which `recv` waits until it is dropped.
    pub(crate) fn new() -> (Self, Receiver<()>) {
        let (end, given) = channel();
        (Self { _end: end }, given)
    }
}

/// An event, and the number of its machine where it is about one.
pub(crate) type Numbered = (Option<u64>, Event);

/// The queue.
#[derive(Debug)]
pub(crate) struct Events {
    /// For those who wait outside.
    sender: Sender<Numbered>,
    /// For the main thread.
    receiver: Receiver<Numbered>,
    /// The number of the machine that was started last.
    machine: u64,
    /// Signals end this program, as if it had never asked for them.
    signals_end: Arc<AtomicBool>,
}

impl Events {
    /// Makes the queue. For as long as it lives signals are events, and from now on a thread does the writing.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        let signals_end = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            register_conditional_default(signal, Arc::clone(&signals_end))
                .context("cannot watch for signals")?;
        }
        let mut signals = Signals::new(SIGNALS).context("cannot watch for signals")?;
        let to_main = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                drop(to_main.send((None, Event::Signal(signal))));
            }
        });
        let to_main = sender.clone();
        output::start_writer(move |kind| drop(to_main.send((None, Event::Unwritable(kind)))));
        Ok(Self {
            sender,
            receiver,
            machine: 0,
            signals_end,
        })
    }

    /// Returns what a new machine reports with. Nothing is heard of the machines before it any more.
    pub(crate) fn reporter(&mut self) -> Reporter {
        self.machine += 1;
        Reporter {
            machine: self.machine,
            sender: self.sender.clone(),
        }
    }

    /// Waits for the next event, no longer than until `deadline`.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Event {
        loop {
            let received = match deadline {
                None => self
                    .receiver
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => self
                    .receiver
                    .recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match received {
                Ok((Some(machine), _)) if machine != self.machine => {}
                Ok((_, event)) => return event,
                Err(_) => return Event::Timeout,
            }
        }
    }
}

impl Drop for Events {
    /// Gives the signals their usual meaning back: there is nothing left that must be ended in good order.
    fn drop(&mut self) {
        self.signals_end.store(true, Ordering::SeqCst);
        for (_, event) in self.receiver.try_iter() {
            if let Event::Signal(signal) = event {
                drop(emulate_default_handler(signal));
            }
        }
    }
}

/// Reports the events of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    /// The machine's number.
    machine: u64,
    /// The way to the queue.
    sender: Sender<Numbered>,
}

impl Reporter {
    /// Reports an event. Once the queue is gone, nobody hears it.
    pub(crate) fn report(&self, event: Event) {
        drop(self.sender.send((Some(self.machine), event)));
    }
}

#[cfg(test)]
impl Reporter {
    /// Makes a reporter for a test, and the queue that it reports to.
    pub(crate) fn with_queue() -> (Self, Receiver<Numbered>) {
        let (sender, queue) = channel();
        (Self { machine: 0, sender }, queue)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use super::*;

    /// A queue without signals and without a thread that writes: those belong to the whole program.
    fn quiet() -> Events {
        let (sender, receiver) = channel();
        Events {
            sender,
            receiver,
            machine: 0,
            signals_end: Arc::default(),
        }
    }

    #[test]
    fn late_words_of_an_ended_machine_are_not_the_next_ones() {
        let mut events = quiet();
        let first = events.reporter();
        first.report(Event::OutputEnd);
        assert!(matches!(events.next(None), Event::OutputEnd));
        first.report(Event::JobDone(Job::Nmi(1), Ok(())));
        let second = events.reporter();
        first.report(Event::OutputEnd);
        second.report(Event::JobDone(Job::Nmi(2), Ok(())));
        assert!(matches!(
            events.next(None),
            Event::JobDone(Job::Nmi(2), Ok(()))
        ));
        first.report(Event::OutputEnd);
        assert!(matches!(events.next(Some(Instant::now())), Event::Timeout));
    }

    #[test]
    fn word_without_a_machine_is_heard_whatever_runs() {
        let mut events = quiet();
        events
            .sender
            .send((None, Event::Unwritable(ErrorKind::StorageFull)))
            .expect("there is a queue");
        events.reporter();
        assert!(matches!(
            events.next(None),
            Event::Unwritable(ErrorKind::StorageFull)
        ));
    }

    #[test]
    fn receipt_is_given_by_dropping_it() {
        let (receipt, given) = Receipt::new();
        assert_eq!(given.try_recv(), Err(TryRecvError::Empty));
        drop(receipt);
        assert!(given.recv().is_err());
    }
}
