//! How a run of the kernel ended, as a message for people and as an exit code for programs.
//!
//! | exit code | outcome |
//! |---|---|
//! | 0 | passed: the kernel left by `exit`, or every test passed |
//! | 1 to 63 | the code given to `exit`; 1 is also a test run with a failed test |
//! | 2 | trouble before QEMU started (a bad flag, no firmware, no kernel); not an outcome, see `main` |
//! | 101 | the kernel panicked |
//! | 102 | triple fault: the machine reset itself |
//! | 124 | out of time |
//! | 125 | QEMU is missing, would not start, broke down, or ended at a reboot |
//! | 128 + N | stopped from outside by signal N (130 is Ctrl-C) |
//! | 141 | nobody reads the standard output any more; not an outcome either, see [`crate::output`] |

use core::time::Duration;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::protocol::Exit;

/// The exit code of a run that was out of time.
const EXIT_TIMED_OUT: u8 = 124;

/// What the number of a signal is added to.
const EXIT_SIGNAL: u8 = 128;

/// Says whether an exit code is that of a run that was stopped, by a limit or a signal, before it had ended by itself.
pub(crate) fn is_stop(exit_code: u8) -> bool {
    exit_code == EXIT_TIMED_OUT || exit_code > EXIT_SIGNAL
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The kernel left by itself with code 0.
    Passed,
    /// The kernel left by itself with another code.
    Failed(u8),
    /// The kernel panicked, and has said so.
    Panicked,
    /// The machine reset itself: the processor could not even report a fault.
    TripleFault,
    /// The machine was reset as the kernel had asked, and QEMU ended instead of starting it again.
    Reset,
    /// The kernel was still running when its time was up.
    TimedOut {
        /// How long it was waited for.
        limit: Duration,
        /// What it was doing, as far as it had said.
        during: String,
    },
    /// This program got a signal.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// There is no QEMU on this machine.
    QemuMissing {
        /// The program that was looked for.
        program: String,
    },
    /// QEMU ended for a reason of its own.
    QemuFailed {
        /// The status of its process.
        status: String,
        /// What it wrote to its error output.
        complaint: String,
    },
}

impl Outcome {
    /// Reads the outcome from the status of a QEMU process that ended by itself, and from what it wrote to its error
    /// output.
    ///
    /// `-no-reboot` makes QEMU end with status 0 when the machine resets, and the kernel's own exits never give 0.
    pub(crate) fn from_status(status: ExitStatus, complaint: &str) -> Self {
        match status.code() {
            Some(0) => Self::TripleFault,
            Some(code) => match Exit::from_status(code) {
                Some(Exit::Code(0)) => Self::Passed,
                Some(Exit::Code(code)) => Self::Failed(code),
                Some(Exit::Panicked) => Self::Panicked,
                None => Self::qemu_failed(format!("status {code}"), complaint),
            },
            None => {
                let signal = status.signal().unwrap_or_default();
                Self::qemu_failed(format!("signal {signal}"), complaint)
            }
        }
    }

    /// Returns the outcome of a run whose kernel had asked for a reboot that was not granted.
    pub(crate) fn after_reboot_request(self) -> Self {
        match self {
            Self::TripleFault => Self::Reset,
            other => other,
        }
    }

    /// Names a QEMU that ended for a reason of its own.
    fn qemu_failed(status: String, complaint: &str) -> Self {
        Self::QemuFailed {
            status,
            complaint: complaint.trim().to_owned(),
        }
    }

    /// Returns the exit code of this program for the outcome; see the table above.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed(code) => *code,
            Self::Panicked => 101,
            Self::TripleFault => 102,
            Self::TimedOut { .. } => EXIT_TIMED_OUT,
            Self::Reset | Self::QemuMissing { .. } | Self::QemuFailed { .. } => 125,
            Self::Interrupted { signal } => {
                u8::try_from(i32::from(EXIT_SIGNAL) + signal).unwrap_or(u8::MAX)
            }
        }
    }

    /// Returns one sentence (or, for QEMU's own complaints, a few lines) that tells a person what happened.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Passed => "The kernel ended with exit code 0.".to_owned(),
            Self::Failed(code) => format!("The kernel ended with exit code {code}."),
            Self::Panicked => "The kernel panicked; its report is above.".to_owned(),
            Self::TripleFault => {
                "The machine reset itself without a word from the kernel: a triple fault \
                (or a debugger or a closed window ended it)."
                    .to_owned()
            }
            Self::Reset => {
                "The machine was reset, as the kernel had asked; QEMU ended instead of starting it again."
                    .to_owned()
            }
            Self::TimedOut { limit, during } => {
                format!(
                    "Timed out after {} s {during}; QEMU was ended.",
                    limit.as_secs()
                )
            }
            Self::Interrupted { signal } => format!("Stopped by signal {signal}; QEMU was ended."),
            Self::QemuMissing { program } => format!(
                "QEMU is missing: there is no `{program}` on PATH. Install it (`make setup`; on Debian \
                `apt-get install qemu-system-x86`), or name it with --qemu or STACK_ALLOC_QEMU."
            ),
            Self::QemuFailed { status, complaint } if complaint.is_empty() => {
                format!("QEMU ended by itself with {status} and said nothing.")
            }
            Self::QemuFailed { status, complaint } => {
                format!("QEMU would not start or broke down ({status}). It said: {complaint}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a process that ended with `code`.
    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    /// The outcome of a QEMU process after the kernel wrote `exit` to the exit port.
    fn after(exit: Exit) -> Outcome {
        Outcome::from_status(exited(i32::from(exit.to_byte()) << 1 | 1), "")
    }

    #[test]
    fn every_exit_code_comes_back() {
        assert_eq!(after(Exit::Code(0)), Outcome::Passed);
        for code in 1..=crate::protocol::LARGEST_EXIT_CODE {
            assert_eq!(after(Exit::Code(code)), Outcome::Failed(code));
            assert_eq!(after(Exit::Code(code)).exit_code(), code);
        }
    }

    #[test]
    fn panic_is_told_from_a_failure() {
        assert_eq!(after(Exit::Panicked), Outcome::Panicked);
        assert_eq!(after(Exit::Panicked).exit_code(), 101);
    }

    #[test]
    fn silent_end_is_a_triple_fault() {
        assert_eq!(Outcome::from_status(exited(0), ""), Outcome::TripleFault);
    }

    #[test]
    fn silent_end_behind_a_reboot_is_none() {
        let outcome = Outcome::from_status(exited(0), "").after_reboot_request();
        assert_eq!(outcome, Outcome::Reset);
        assert_eq!(outcome.exit_code(), 125);
        assert_eq!(
            after(Exit::Code(3)).after_reboot_request(),
            Outcome::Failed(3)
        );
    }

    #[test]
    fn status_one_is_qemu_itself() {
        let outcome = Outcome::from_status(exited(1), "qemu: bad option\n");
        assert_eq!(outcome.exit_code(), 125);
        assert!(
            outcome.message().contains("It said: qemu: bad option"),
            "{}",
            outcome.message()
        );
    }

    #[test]
    fn killed_qemu_is_not_a_kernel_exit() {
        assert_eq!(
            Outcome::from_status(ExitStatus::from_raw(11), "").exit_code(),
            125
        );
    }

    #[test]
    fn every_kind_has_its_own_exit_code() {
        let outcomes = [
            Outcome::Passed,
            Outcome::Failed(1),
            Outcome::Panicked,
            Outcome::TripleFault,
            Outcome::TimedOut {
                limit: Duration::from_secs(1),
                during: String::new(),
            },
            Outcome::QemuMissing {
                program: String::new(),
            },
            Outcome::Interrupted { signal: 2 },
        ];
        let mut codes: Vec<u8> = outcomes.iter().map(Outcome::exit_code).collect();
        codes.dedup();
        assert_eq!(codes, [0, 1, 101, 102, 124, 125, 130]);
    }

    #[test]
    fn stopped_runs_are_told_from_those_that_ended_by_themselves() {
        for signal in [1, 2, 3, 15] {
            assert!(is_stop(Outcome::Interrupted { signal }.exit_code()));
        }
        assert!(is_stop(124));
        for code in [0, 1, 63, 101, 102, 125] {
            assert!(!is_stop(code), "{code}");
        }
    }

    #[test]
    fn time_out_names_what_was_running() {
        let outcome = Outcome::TimedOut {
            limit: Duration::from_secs(60),
            during: "in test `heap::grows`".to_owned(),
        };
        assert!(
            outcome.message().contains("60 s in test `heap::grows`"),
            "{}",
            outcome.message()
        );
    }
}
