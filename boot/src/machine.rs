//! One QEMU process: its output as events, its input, its end.
//!
//! Whatever happens to this program, QEMU ends with it: a dropped [`Machine`] is killed, and a killed program takes QEMU
//! along (see [`crate::leash`]).

use core::time::Duration;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::ask::Request;
use crate::complaints::Complaints;
use crate::events::{Event, Events, Receipt, Reporter};
use crate::feed::{self, Gate, Portion};
use crate::monitor::{Job, Monitor};
use crate::outcome::Outcome;
use crate::output::note;

/// How many pieces of input may wait for the guest to take them.
const WAITING_PIECES: usize = 16;

/// How long a QEMU that has closed its output may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How long the last of QEMU's own messages may take to arrive behind its end.
const COMPLAINT_LIMIT: Duration = Duration::from_secs(1);

/// A running QEMU.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its process.
    qemu: Child,
    /// To the thread that types on the serial console's input.
    typist: SyncSender<Vec<u8>>,
    /// QEMU's monitor.
    monitor: Monitor,
    /// QEMU's own messages.
    complaints: Option<Complaints>,
    /// The process, and all that it has started, was ended.
    is_ended: bool,
}

impl Machine {
    /// Starts QEMU; what it does arrives in `events`.
    pub(crate) fn start(
        qemu: &Path,
        arguments: Vec<OsString>,
        events: &mut Events,
    ) -> anyhow::Result<Self> {
        let reporter = events.reporter();
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let monitor = Monitor::new(reporter.clone());
        let mut child = Command::new(own)
            .arg("leash")
            .arg(std::process::id().to_string())
            .arg(qemu)
            .args(arguments)
            .args(monitor.flags())
            // A group of its own: Ctrl-C is for this program, which then ends QEMU in good order, and with it whatever a
            // program that stands for QEMU has started.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", qemu.display()))?;
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || pass_output(output, &reporter));
        }
        let complaints = child.stderr.take().map(Complaints::collect);
        let (typist, pieces) = sync_channel(WAITING_PIECES);
        if let Some(input) = child.stdin.take() {
            thread::spawn(move || type_in(input, &pieces));
        }
        Ok(Self {
            typist,
            monitor,
            qemu: child,
            complaints,
            is_ended: false,
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

    /// Waits for a QEMU that has closed its output, and says how the run ended. One that does not end is ended.
    pub(crate) fn wait(mut self) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + END_LIMIT;
        while self.is_running() {
            if Instant::now() > deadline {
                note!(
                    "QEMU has closed the serial console but did not end within {} s.",
                    END_LIMIT.as_secs()
                );
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.end();
        // It has ended: this returns its status.
        let status = self.qemu.wait().context("cannot wait for QEMU")?;
        Ok(Outcome::from_status(status, &self.complaint()))
    }

    /// Ends QEMU and returns what it had complained about.
    pub(crate) fn kill(mut self) -> String {
        self.end();
        self.complaint()
    }

    /// Says whether the process has not ended. It stays there to be waited for, and so does its number.
    fn is_running(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(
            waitid(WaitId::Pid(Pid::from_child(&self.qemu)), options),
            Ok(None)
        )
    }

    /// Ends the process and those that it has started, unless that was done. Its number belongs to it until it is waited for,
    /// so nobody else is hit.
    fn end(&mut self) {
        if !core::mem::replace(&mut self.is_ended, true) {
            let _ = kill_process_group(Pid::from_child(&self.qemu), Signal::KILL);
            drop(self.qemu.wait());
        }
    }

    /// Returns what QEMU, which has ended, had complained about.
    fn complaint(&self) -> String {
        self.complaints
            .as_ref()
            .map(|complaints| complaints.take(COMPLAINT_LIMIT))
            .unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes events of what QEMU writes: reads a piece, and the next one when that was dealt with. Meanwhile QEMU has to wait,
/// as it would for a slow serial line.
fn pass_output(mut output: ChildStdout, reporter: &Reporter) {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(count @ 1..) => {
                let (receipt, given) = Receipt::new();
                reporter.report(Event::Output(buffer[..count].to_vec(), receipt));
                // An error, always, when the receipt is dropped.
                let _ = given.recv();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    reporter.report(Event::OutputEnd);
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
