//! QEMU's monitor: NMIs, pictures of the screen, resets.
//!
//! QEMU speaks its machine protocol (QMP: a JSON object a line) on a socket in a folder that only this user may enter, and
//! that is gone with the machine. The connection is made when the first job comes. It is held by a thread of its own that
//! waits for QEMU with a limit, so a monitor that is missing, silent or broken costs the job and nothing else.

use core::fmt;
use core::time::Duration;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{Event, Reporter};
use crate::output::note;

/// How long QEMU may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The time between two NMIs: enough for the guest to take the first one, most of the time.
const NMI_PAUSE: Duration = Duration::from_millis(1);

/// The longest path of a socket that Linux takes, without the zero byte at its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// Something to be done by QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Inject so many NMIs.
    Nmi(u32),
    /// Reset the machine and let it start again, though QEMU was told to end at a reset (`-no-reboot`). From here on it may
    /// reset itself, as SeaBIOS does on its way.
    Reboot,
    /// End at a reset again.
    EndAtReset,
    /// Write a picture of the screen, as PNG, to a file.
    Screenshot(PathBuf),
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nmi(count) => write!(f, "inject {count} NMIs"),
            Self::Reboot => write!(f, "start the machine again"),
            Self::EndAtReset => write!(f, "make the next reset end the run"),
            Self::Screenshot(_) => write!(f, "take a picture of the screen"),
        }
    }
}

/// Says what is in the way of a job.
pub(crate) fn report(job: &Job, result: &anyhow::Result<()>) {
    if let Err(error) = result {
        note!("QEMU's monitor cannot {job}: {error:#}.");
    }
}

/// The monitor of one QEMU.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// The folder of the socket; `None` where none could be made.
    folder: Option<TempDir>,
    /// To the thread that holds the connection.
    jobs: Sender<Job>,
}

impl Monitor {
    /// Makes the folder for the socket, and the thread. How each job ends will be reported.
    pub(crate) fn new(reporter: Reporter) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("stack_alloc-")
            .tempdir()
            .ok()
            .filter(|folder| socket(folder.path()).as_os_str().len() <= LONGEST_SOCKET_PATH);
        let path = folder.as_ref().map(|folder| socket(folder.path()));
        let (jobs, to_do) = channel();
        thread::spawn(move || work(path.as_deref(), &to_do, &reporter));
        Self { folder, jobs }
    }

    /// Returns QEMU's flags that make it listen.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let mut value = OsString::from("unix:");
        value.push(doubled_commas(&socket(folder.path())));
        value.push(",server=on,wait=off");
        vec!["-qmp".into(), value]
    }

    /// Gives the thread a job.
    pub(crate) fn start(&self, job: Job) {
        // The thread takes jobs for as long as this lives.
        drop(self.jobs.send(job));
    }
}

/// Returns the path of the socket.
fn socket(folder: &Path) -> PathBuf {
    folder.join("monitor")
}

/// Returns a path as QEMU's comma-separated options want it.
fn doubled_commas(path: &Path) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(
        bytes
            .split(|&byte| byte == b',')
            .collect::<Vec<_>>()
            .join(&b",,"[..]),
    )
}

/// Does jobs until there is nobody left to give any.
fn work(socket: Option<&Path>, jobs: &Receiver<Job>, reporter: &Reporter) {
    let mut connection = None;
    while let Ok(job) = jobs.recv() {
        let result = run(socket, &mut connection, &job);
        if result.is_err() {
            // What comes next on it is anybody's guess.
            connection = None;
        }
        reporter.report(Event::JobDone(job, result));
    }
}

/// Does a job, and connects first if need be.
fn run(
    socket: Option<&Path>,
    connection: &mut Option<Connection>,
    job: &Job,
) -> anyhow::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let socket = socket.context(
                "there is no socket for it: a folder with a short path could not be made (set TMPDIR)",
            )?;
            connection.insert(Connection::new(socket)?)
        }
    };
    match job {
        Job::Nmi(count) => (0..*count).try_for_each(|_| {
            connection.execute("inject-nmi", &json!({}))?;
            thread::sleep(NMI_PAUSE);
            Ok(())
        }),
        Job::Reboot => {
            connection.execute("set-action", &json!({"reboot": "reset"}))?;
            connection.execute("system_reset", &json!({}))
        }
        Job::EndAtReset => connection.execute("set-action", &json!({"reboot": "shutdown"})),
        Job::Screenshot(path) => connection.execute(
            "screendump",
            &json!({"filename": path.to_string_lossy(), "format": "png"}),
        ),
    }
}

/// A connection that has agreed on the protocol.
#[derive(Debug)]
struct Connection {
    /// Both directions.
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects.
    fn new(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot connect")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut connection = Self {
            stream: BufReader::new(stream),
        };
        connection.wait_for(Message::Greeting)?;
        connection.execute("qmp_capabilities", &json!({}))?;
        Ok(connection)
    }

    /// Has QEMU execute a command, and waits until it has.
    fn execute(&mut self, command: &str, arguments: &Value) -> anyhow::Result<()> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .with_context(|| format!("cannot send `{command}`"))?;
        self.wait_for(Message::Return)
            .with_context(|| format!("`{command}` was not executed"))
    }

    /// Reads messages up to the one that is waited for. Events, which come at any time, are passed over.
    fn wait_for(&mut self, wanted: Message) -> anyhow::Result<()> {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => bail!("it has closed the connection"),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {
                    bail!("it has said nothing for {} s", ANSWER_LIMIT.as_secs())
                }
                Err(error) => return Err(error.into()),
            }
            match Message::parse(&line)? {
                Message::Event => {}
                Message::Error(description) => bail!("it said: {description}"),
                message if message == wanted => return Ok(()),
                message => bail!("it said {message:?} instead of {wanted:?}"),
            }
        }
    }
}

/// A line from QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// The first one.
    Greeting,
    /// A command was executed. What it returned is of no interest here.
    Return,
    /// A command was refused, for this reason.
    Error(String),
    /// Something happened in the machine.
    Event,
}

impl Message {
    /// Reads a line.
    fn parse(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line)
            .with_context(|| format!("it said what is not JSON: {}", line.trim()))?;
        if value.get("QMP").is_some() {
            Ok(Self::Greeting)
        } else if value.get("return").is_some() {
            Ok(Self::Return)
        } else if value.get("event").is_some() {
            Ok(Self::Event)
        } else if let Some(description) = value.pointer("/error/desc").and_then(Value::as_str) {
            Ok(Self::Error(description.to_owned()))
        } else {
            bail!("it said what makes no sense: {}", line.trim())
        }
    }
}

#[cfg(test)]
mod tests;
