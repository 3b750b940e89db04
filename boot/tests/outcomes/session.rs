//! Running the program and looking at what it said.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct End {
    /// The exit code; `None` for a signal.
    pub(crate) code: Option<i32>,
    /// The standard output: the serial console.
    pub(crate) console: String,
    /// The error output: the program's own words.
    pub(crate) said: String,
}

impl End {
    /// Requires an exit code, and that the program said something with `words`.
    #[track_caller]
    pub(crate) fn must_be(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(
            self.said.contains(words),
            "`{words}` was not said: {self:#?}"
        );
    }

    /// Requires that the console shows `words` so many times.
    #[track_caller]
    pub(crate) fn must_show(&self, words: &str, times: usize) {
        let found = self.console.matches(words).count();
        assert_eq!(found, times, "`{words}` in {self:#?}");
    }
}

/// Runs to the end, `input` coming from a pipe.
pub(crate) fn run(command: Command, input: &str) -> End {
    let (child, mut pipe) = start(command);
    // It fails where the program has ended without reading, which the test will see.
    drop(pipe.write_all(input.as_bytes()));
    drop(pipe);
    end(child)
}

/// Runs to the end, with an input from which nothing ever comes.
pub(crate) fn run_with_open_input(command: Command) -> End {
    let (child, pipe) = start(command);
    let end = end(child);
    drop(pipe);
    end
}

/// Starts with pipes at both ends.
fn start(mut command: Command) -> (Child, ChildStdin) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("can start");
    let input = child.stdin.take().expect("a pipe");
    (child, input)
}

/// Waits for the end.
fn end(child: Child) -> End {
    let output = child.wait_with_output().expect("can wait");
    End {
        code: output.status.code(),
        console: String::from_utf8_lossy(&output.stdout).into_owned(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A run under way, with an input that stays open.
#[derive(Debug)]
pub(crate) struct Running {
    /// The process.
    child: Child,
    /// Its input.
    _input: ChildStdin,
    /// Its output.
    console: BufReader<ChildStdout>,
    /// How QEMU is called, so that it can be found.
    name: String,
}

impl Running {
    /// Starts, and waits for the kernel's line `ready`. `name` names QEMU, uniquely among all processes.
    pub(crate) fn until_ready(mut command: Command, name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let mut child = command
            .args(["--qemuflags", &format!("-name {name}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("can start");
        let mut running = Self {
            _input: child.stdin.take().expect("a pipe"),
            console: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
            name,
        };
        let mut line = String::new();
        while line.trim_end() != "ready" {
            line.clear();
            let count = running.console.read_line(&mut line).expect("can read");
            assert!(count > 0, "ended before the kernel was ready");
        }
        running
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).expect("can send a signal");
    }

    /// Closes the program's standard output.
    pub(crate) fn stop_reading(self) -> (Child, ChildStdin, String) {
        (self.child, self._input, self.name)
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        (self.child.wait().expect("can wait"), self.name)
    }

    /// Returns the process of QEMU, which must be there.
    pub(crate) fn qemu(&self) -> rustix::process::Pid {
        *find(&self.name).first().expect("QEMU is running")
    }
}

/// Returns the processes that were started with `-name NAME` and have not ended.
pub(crate) fn find(name: &str) -> Vec<rustix::process::Pid> {
    let has_name = |process: &rustix::process::Pid| {
        std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| {
            let words: Vec<_> = words.split(|&byte| byte == 0).collect();
            words
                .windows(2)
                .any(|pair| pair == [b"-name", name.as_bytes()])
        })
    };
    std::fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(rustix::process::Pid::from_raw)
        .filter(has_name)
        .collect()
}
