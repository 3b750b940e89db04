//! Readers of the outputs that stall, as `| less` does, in front of a shell script that plays QEMU and a kernel.

use core::time::Duration;
use std::io::{PipeReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::fakes::{PASSED, fake_qemu};
use super::{run_kernel, with_kernel};

/// What the script writes where it writes much: far more than all pipes on the way take.
const FLOOD: usize = 1_000_000;

/// A script that writes [`FLOOD`] bytes in lines of 50 and then makes the file `written` beside itself.
fn flood() -> String {
    format!(
        "yes 'a line that goes to somebody who does not read it' | head -c {FLOOD}
        touch \"$(dirname \"$0\")/written\""
    )
}

/// A run whose console nobody reads yet.
struct Unread {
    /// The process.
    program: Child,
    /// The pipe of its standard output.
    console: PipeReader,
    /// Beside QEMU: there when it has written all.
    written: std::path::PathBuf,
}

impl Unread {
    /// Starts `command` with `qemu`, and waits until the pipe of its output is full. `is_all` connects the error output to the
    /// same pipe.
    fn start(mut command: Command, qemu: &Path, is_all: bool) -> Self {
        let (console, writer) = std::io::pipe().expect("a pipe");
        command.arg("--qemu").arg(qemu).stdin(Stdio::null());
        if is_all {
            command.stderr(writer.try_clone().expect("a second end"));
        } else {
            command.stderr(Stdio::piped());
        }
        let program = command.stdout(writer).spawn().expect("can start");
        // Else the pipe would stay open.
        drop(command);
        let unread = Self {
            program,
            console,
            written: qemu.with_file_name("written"),
        };
        unread.wait_until_full();
        unread
    }

    /// Waits until much has come, and then no more.
    fn wait_until_full(&self) {
        let mut before = 0;
        loop {
            let now = rustix::io::ioctl_fionread(&self.console).expect("a pipe");
            if now == before && now > 32 * 1024 {
                return;
            }
            before = now;
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for the end, which must come though nobody has read anything, and requires that QEMU was held back.
    #[track_caller]
    fn must_end_unread(mut self, code: i32) -> String {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.program.try_wait().expect("can wait") {
                break status;
            }
            if start.elapsed() > Duration::from_secs(60) {
                self.program.kill().expect("can kill");
                panic!("still running after a minute");
            }
            thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        if let Some(mut stream) = self.program.stderr.take() {
            stream.read_to_string(&mut said).expect("can read");
        }
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(!self.written.exists(), "the output was piled up in memory");
        said
    }

    /// Sends the program SIGTERM.
    fn terminate(&self) {
        kill_process(Pid::from_child(&self.program), Signal::TERM).expect("can send a signal");
    }
}

#[test]
fn limit_ends_a_run_that_nobody_reads() {
    let qemu = fake_qemu("unread-limit", &format!("{}\nsleep 1000", flood()));
    let unread = Unread::start(run_kernel(&["--limit", "2"]), &qemu, false);
    let said = unread.must_end_unread(124);
    assert!(said.contains("Timed out after 2 s of running"), "{said}");
}

#[test]
fn signal_ends_a_run_of_which_nobody_reads_anything() {
    let qemu = fake_qemu("unread-signal", &format!("{}\nsleep 1000", flood()));
    let unread = Unread::start(run_kernel(&[]), &qemu, true);
    unread.terminate();
    unread.must_end_unread(143);
}

#[test]
fn signal_ends_a_test_run_that_nobody_reads() {
    let script = format!(
        "printf '@test %s\\n' 'plan a ordinary' 'start a'\n{}",
        flood()
    );
    let qemu = fake_qemu("unread-test", &format!("{script}\nsleep 1000"));
    let command = with_kernel("test", &["--boot", "bios", "--nocapture"]);
    let unread = Unread::start(command, &qemu, true);
    unread.terminate();
    unread.must_end_unread(143);
}

#[test]
fn late_reader_gets_everything() {
    let qemu = fake_qemu("read-late", &format!("{}\nexit {PASSED}", flood()));
    let mut unread = Unread::start(run_kernel(&[]), &qemu, false);
    let mut console = String::new();
    unread
        .console
        .read_to_string(&mut console)
        .expect("can read");
    assert_eq!(unread.program.wait().expect("can wait").code(), Some(0));
    assert_eq!(console.len(), FLOOD);
}

#[test]
fn late_reader_is_not_the_fault_of_a_test() {
    let script = format!(
        "printf '@test %s\\n' 'plan a ordinary' 'start a'
        {}
        printf '@test %s\\n' 'pass a' done; exit {PASSED}",
        flood()
    );
    let qemu = fake_qemu("tested-late", &script);
    let words = ["--boot", "bios", "--nocapture", "--test-limit", "1"];
    let mut unread = Unread::start(with_kernel("test", &words), &qemu, true);
    // Longer than the limit.
    thread::sleep(Duration::from_millis(2500));
    let mut console = String::new();
    unread
        .console
        .read_to_string(&mut console)
        .expect("can read");
    assert_eq!(unread.program.wait().expect("can wait").code(), Some(0));
    assert!(console.contains("test result: ok. 1 passed;"), "{console}");
}
