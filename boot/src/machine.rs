//! One QEMU process: its output as events, its input, its end.
//!
//! Whatever happens to this program, QEMU ends with it: a dropped [`Machine`] is killed, and a killed program takes QEMU
//! along (see [`crate::leash`]).

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::ask::Request;
use crate::feed::{self, Gate, Portion};
use crate::monitor::{Job, Monitor};
use crate::outcome::Outcome;
use crate::output::note;

/// How many pieces of input may wait for the guest to take them.
const WAITING_PIECES: usize = 16;

/// Something happened outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// QEMU wrote to the serial console.
    Output(Vec<u8>),
    /// QEMU closed the serial console: it is ending.
    OutputEnd,
    /// QEMU's monitor has done a job, or could not.
    JobDone(Job, anyhow::Result<()>),
    /// This program got a signal.
    Signal(i32),
    /// The deadline came first.
    Timeout,
}

/// The one queue of events, which outlives the machines of a test run.
#[derive(Debug)]
pub(crate) struct Events {
    /// For the threads that wait outside.
    sender: Sender<Event>,
    /// For the main thread.
    receiver: Receiver<Event>,
}

impl Events {
    /// Makes the queue. From now on signals are events.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).context("cannot watch for signals")?;
        let to_main = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                drop(to_main.send(Event::Signal(signal)));
            }
        });
        Ok(Self { sender, receiver })
    }

    /// Waits for the next event, no longer than until `deadline`.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Event {
        let received = match deadline {
            None => self
                .receiver
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self
                .receiver
                .recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        received.unwrap_or(Event::Timeout)
    }
}

/// A running QEMU.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its process.
    qemu: Child,
    /// To the thread that types on the serial console's input.
    typist: SyncSender<Vec<u8>>,
    /// QEMU's monitor.
    monitor: Monitor,
    /// The thread that collects QEMU's own messages.
    complaints: Option<JoinHandle<String>>,
}

impl Machine {
    /// Starts QEMU; what it does arrives in `events`.
    pub(crate) fn start(
        qemu: &Path,
        arguments: Vec<OsString>,
        events: &Events,
    ) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let monitor = Monitor::new(events.sender.clone());
        let mut child = Command::new(own)
            .arg("leash")
            .arg(std::process::id().to_string())
            .arg(qemu)
            .args(arguments)
            .args(monitor.flags())
            // A group of its own: Ctrl-C is for this program, which then ends QEMU in good order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", qemu.display()))?;
        if let Some(output) = child.stdout.take() {
            let sender = events.sender.clone();
            thread::spawn(move || pass_output(output, &sender));
        }
        let complaints = child
            .stderr
            .take()
            .map(|stream| thread::spawn(move || collect(stream)));
        let (typist, pieces) = sync_channel(WAITING_PIECES);
        if let Some(input) = child.stdin.take() {
            thread::spawn(move || type_in(input, &pieces));
        }
        Ok(Self {
            typist,
            monitor,
            qemu: child,
            complaints,
        })
    }

    /// Connects this program's standard input to the serial console, through the gate that is returned. Its end becomes
    /// Ctrl-D.
    pub(crate) fn connect_input(&self) -> Arc<Gate> {
        let portion = if io::stdin().is_terminal() {
            Portion::Keys
        } else {
            Portion::Lines
        };
        let gate = Arc::new(Gate::new(portion));
        let (gate_of_thread, typist) = (Arc::clone(&gate), self.typist.clone());
        thread::spawn(move || {
            feed::run(&gate_of_thread, portion, io::stdin().lock(), |piece| {
                typist.send(piece).map_err(io::Error::other)
            });
        });
        gate
    }

    /// Types on the serial console's input.
    pub(crate) fn type_in(&self, bytes: &[u8]) -> anyhow::Result<()> {
        self.typist
            .try_send(bytes.to_vec())
            .context("the kernel does not take its input")
    }

    /// Has QEMU's monitor do a job. How it ends is an event.
    pub(crate) fn start_job(&self, job: Job) {
        self.monitor.start(job);
    }

    /// Does what the kernel asks for, or says what is in the way.
    pub(crate) fn grant(&self, request: Request) {
        match request {
            Request::Nmi(count) => self.start_job(Job::Nmi(count)),
            Request::Type(bytes) => {
                if let Err(error) = self.type_in(&bytes) {
                    note!("Cannot type what the kernel asks for: {error:#}.");
                }
            }
        }
    }

    /// Waits for a QEMU that has closed its output, and says how the run ended.
    pub(crate) fn wait(mut self) -> anyhow::Result<Outcome> {
        let status = self.qemu.wait().context("cannot wait for QEMU")?;
        let complaint = self
            .complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        Ok(Outcome::from_status(status, &complaint))
    }

    /// Ends QEMU and returns what it had complained about.
    pub(crate) fn kill(mut self, events: &Events) -> String {
        drop(self.qemu.kill());
        drop(self.qemu.wait());
        while !matches!(events.next(None), Event::OutputEnd) {}
        self.complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails where QEMU has ended already, which is as good.
        drop(self.qemu.kill());
        drop(self.qemu.wait());
    }
}

/// Makes events of what QEMU writes.
fn pass_output(mut output: ChildStdout, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(count @ 1..) => drop(events.send(Event::Output(buffer[..count].to_vec()))),
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    drop(events.send(Event::OutputEnd));
}

/// Collects what QEMU writes to its error output.
fn collect(mut stream: ChildStderr) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    drop(stream.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Types pieces in, one after the other. QEMU takes bytes only as the guest does, so nothing is lost.
fn type_in(mut input: ChildStdin, pieces: &Receiver<Vec<u8>>) {
    for piece in pieces {
        let typed = input.write_all(&piece).and_then(|()| input.flush());
        if typed.is_err() {
            // QEMU has ended.
            return;
        }
    }
    // Nobody types any more, and QEMU is ending: its input is closed only now.
}
