//! What the kernel and the program that runs it say to each other.
//!
//! The one definition of both sides: the kernel compiles this file as a module, and `boot` includes the same file
//! by path. It is pure text and numbers, so that either side can test it.
//!
//! # Leaving
//!
//! The kernel ends a run by writing a byte to QEMU's `isa-debug-exit` device; QEMU's process then ends with the status
//! `(byte << 1) | 1`. The bytes stay away from 0, because status 1 is also what QEMU itself says when it cannot start.
//!
//! # Arguments
//!
//! QEMU's `fw_cfg` device holds the file [`ARGUMENTS_FILE`]: text, one argument a line, absent in an ordinary run.
//!
//! | line | says |
//! |---|---|
//! | `mode list` | print the plan and leave |
//! | `mode ordinary` | print the plan, then run every chosen ordinary test in this one boot |
//! | `mode isolated` | run the one isolated test that `only` names |
//! | `filter TEXT` | choose tests whose name contains TEXT; several lines choose the union; none chooses all |
//! | `skip TEXT` | leave out tests whose name contains TEXT |
//! | `exact` | `filter` and `skip` compare whole names |
//! | `after NAME` | do not print the plan; start behind this ordinary test (it brought the last boot down) |
//! | `only NAME` | the isolated test to run |
//! | `log LEVEL` | how much the kernel tells of itself: `off`, `error`, `warn`, `info`, `debug`, `trace`; any image reads it |
//!
//! # Lines on the serial console
//!
//! Lines that start with [`CONTROL_PREFIX`] are for the runner and never shown as they are.
//!
//! | line | says |
//! |---|---|
//! | `@image 0x…` | the address that the kernel image was loaded at, for symbols |
//! | `@test plan NAME ordinary` / `… isolated` | this test is chosen |
//! | `@test start NAME` | the test begins |
//! | `@test message TEXT` | why the running test failed: `file:line:column: message`, one line |
//! | `@test pass NAME` / `@test fail NAME` | the verdict |
//! | `@test done` | no more tests in this boot |
//! | `@ask nmi COUNT` | inject so many non-maskable interrupts, one after the other: [`Ask::Nmi`] |
//! | `@ask type TEXT` | type these bytes on the console's input: [`Ask::Type`] |
//! | `@reboot` | reset the machine and start it again; without an answer, the kernel resets it by itself after a while |
//!
//! What the kernel asks for with `@ask` is done a little later, while it runs on; it sees the effects, there is no answer.
//! It may ask in a test run as well as in an ordinary one. In a test run nothing else comes in on the console, and nobody
//! answers `@reboot`: the boot ends there.
//!
//! When the kernel is about to read its first command it prints the line [`READY_LINE`], and whenever it begins to read a
//! command, [`PROMPT`] at the start of a line. A runner that feeds it from a pipe waits for both, and gives one line of input
//! for each prompt: so what stands behind a `reboot` in the pipe is still there after it, and no command eats the next one.

use core::fmt;

/// The I/O port of QEMU's `isa-debug-exit` device.
pub const EXIT_PORT: u16 = 0xf4;

/// The `fw_cfg` file that holds the kernel's arguments.
pub const ARGUMENTS_FILE: &str = "opt/stack_alloc/arguments";

/// The first byte of every line that is meant for the runner alone.
pub const CONTROL_PREFIX: char = '@';

/// The line the kernel prints right before it reads its first command.
pub const READY_LINE: &str = "ready";

/// What the kernel prints at the start of a line when it begins to read a command.
pub const PROMPT: &str = "> ";

/// The line that asks for a reboot.
pub const REBOOT_LINE: &str = "@reboot";

/// How a line starts that asks for something else.
pub const ASK_PREFIX: &str = "@ask ";

/// What the kernel can ask the runner for. Displays as the line to print, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Inject so many non-maskable interrupts. At least one arrives; of those that come while another one is pending or
    /// handled, the machine forgets all but one.
    Nmi(u32),
    /// Type these bytes on the console's input. In the line, a byte that is no printable ASCII is `\xNN`, and a backslash `\\`.
    Type(&'a [u8]),
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nmi(count) => write!(f, "{ASK_PREFIX}nmi {count}"),
            Self::Type(bytes) => {
                write!(f, "{ASK_PREFIX}type ")?;
                bytes.iter().try_for_each(|&byte| match byte {
                    b'\\' => f.write_str("\\\\"),
                    b' '..=b'~' => write!(f, "{}", char::from(byte)),
                    _ => write!(f, "\\x{byte:02x}"),
                })
            }
        }
    }
}

/// The largest number that `exit CODE` takes.
pub const LARGEST_EXIT_CODE: u8 = 63;

/// How the kernel says it wants to end, as the byte it writes to [`EXIT_PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The user typed `exit CODE`, or every test passed (code 0) or not (code 1). 0 to [`LARGEST_EXIT_CODE`].
    Code(u8),
    /// The kernel panicked, or met an exception it could not go on from, and has printed its report.
    Panicked,
}

impl Exit {
    /// The byte for [`Exit::Panicked`].
    const PANICKED: u8 = 0x11;
    /// The byte for `Exit::Code(0)`; the others follow it.
    const FIRST_CODE: u8 = 0x40;

    /// Returns the byte to write to [`EXIT_PORT`]. A code above [`LARGEST_EXIT_CODE`] counts as the largest.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Code(code) if code > LARGEST_EXIT_CODE => Self::FIRST_CODE + LARGEST_EXIT_CODE,
            Self::Code(code) => Self::FIRST_CODE + code,
            Self::Panicked => Self::PANICKED,
        }
    }

    /// Reads QEMU's process status back into what the kernel said; `None` where the kernel said nothing.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a status is checked to be at most 0xff"
    )]
    pub const fn from_status(status: i32) -> Option<Self> {
        if status & 1 == 0 || status < 0 || status > 0xff {
            return None;
        }
        match (status >> 1) as u8 {
            Self::PANICKED => Some(Self::Panicked),
            byte if byte >= Self::FIRST_CODE => Some(Self::Code(byte - Self::FIRST_CODE)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn asking_is_one_line_of_printable_text() {
        assert_eq!(Ask::Nmi(100).to_string(), "@ask nmi 100");
        assert_eq!(
            Ask::Type(b"heap map\r\n").to_string(),
            r"@ask type heap map\x0d\x0a"
        );
        assert_eq!(
            Ask::Type(b"a\\x41\x04\xff").to_string(),
            r"@ask type a\\x41\x04\xff"
        );
    }
}
