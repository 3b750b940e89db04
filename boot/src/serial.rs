//! The serial console as the runner sees it: bytes in, lines out, with the lines that are for the runner told apart.
//!
//! Until the kernel's first line, `@image 0x…`, the console belongs to firmware and boot loader; what they write is kept
//! aside, for the report of a boot that never reaches the kernel.

use crate::ask::Request;
use crate::escape::without_escapes;
use crate::protocol::{ASK_PREFIX, CONTROL_PREFIX, PROMPT, READY_LINE, REBOOT_LINE};

/// What a line on the console turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text for the user, without its line end.
    Text(String),
    /// Text for the user that also says that the kernel reads commands from now on.
    Ready,
    /// The line that is still open is the prompt: the kernel begins to read a command.
    Prompt,
    /// A message for the runner.
    Control(Control),
}

/// A message from the kernel to the runner; see [`crate::protocol`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The address that the kernel's image was loaded at.
    Image(u64),
    /// A test is chosen.
    Plan {
        /// Its name.
        name: String,
        /// Whether it needs a boot of its own.
        isolated: bool,
    },
    /// A test begins.
    Start(String),
    /// Why the running test failed.
    Message(String),
    /// A test passed.
    Pass(String),
    /// A test failed.
    Fail(String),
    /// No more tests in this boot.
    Done,
    /// The kernel asks for something.
    Ask(Request),
    /// The kernel asks for a reset of the machine, and says no more.
    Reboot,
    /// A line with the prefix that this program does not know.
    Unknown(String),
}

impl Control {
    /// Reads a line that starts with the prefix.
    fn parse(line: &str) -> Self {
        Self::try_parse(line).unwrap_or_else(|| Self::Unknown(line.to_owned()))
    }

    /// Reads a line; `None` where it has no known form.
    fn try_parse(line: &str) -> Option<Self> {
        if line == REBOOT_LINE {
            return Some(Self::Reboot);
        }
        if line.starts_with(ASK_PREFIX) {
            return Request::parse(line).map(Self::Ask);
        }
        let line = line.strip_prefix(CONTROL_PREFIX)?;
        if let Some(address) = line.strip_prefix("image 0x") {
            return u64::from_str_radix(address.trim(), 16)
                .ok()
                .map(Self::Image);
        }
        let test = line.strip_prefix("test ")?;
        let (verb, rest) = test.split_once(' ').unwrap_or((test, ""));
        let name = || (!rest.is_empty()).then(|| rest.to_owned());
        match verb {
            "plan" => match rest.rsplit_once(' ')? {
                (name, "ordinary") => Some(Self::Plan {
                    name: name.to_owned(),
                    isolated: false,
                }),
                (name, "isolated") => Some(Self::Plan {
                    name: name.to_owned(),
                    isolated: true,
                }),
                _ => None,
            },
            "start" => name().map(Self::Start),
            "message" => Some(Self::Message(rest.to_owned())),
            "pass" => name().map(Self::Pass),
            "fail" => name().map(Self::Fail),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

/// Cuts the console's bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Serial {
    /// The kernel has written its first line, and not asked for a reboot since.
    is_kernel: bool,
    /// What came before that.
    firmware: Vec<u8>,
    /// The line that has no end yet.
    open_line: Vec<u8>,
    /// How much of the open line [`Serial::take_open_text`] has given out.
    given_out: usize,
    /// The open line was found to be a prompt.
    is_prompt: bool,
}

impl Serial {
    /// How the kernel's first line starts.
    const FIRST_LINE: &str = "@image 0x";
    /// How messages about tests start.
    const TEST_LINE: &str = "@test ";
    /// The longest line: a longer one is cut, so that what never ends does not fill the memory.
    const LONGEST_LINE: usize = 64 * 1024;
    /// The most that is kept of what comes before the kernel: its end.
    const KEPT_OF_FIRMWARE: usize = 64 * 1024;
    /// The longest prompt that is looked for, with its escape codes.
    const LONGEST_PROMPT: usize = 64;

    /// Takes bytes in and returns the lines that they end, and the prompts among them.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.open_line.push(byte);
            if byte == b'\n' || self.open_line.len() >= Self::LONGEST_LINE {
                let line = core::mem::take(&mut self.open_line);
                self.given_out = 0;
                self.is_prompt = false;
                self.end_line(&line, &mut lines);
            } else if self.becomes_prompt() {
                self.is_prompt = true;
                lines.push(Line::Prompt);
            }
        }
        lines
    }

    /// Returns the text of the open line that has not been given out yet, so that a prompt is seen before its line ends.
    /// A line that may be a message for the runner is held back.
    pub(crate) fn take_open_text(&mut self) -> Vec<u8> {
        if !self.is_kernel
            || self
                .open_line
                .first()
                .is_some_and(|&byte| char::from(byte) == CONTROL_PREFIX)
        {
            return Vec::new();
        }
        let text = self
            .open_line
            .get(self.given_out..)
            .unwrap_or_default()
            .to_vec();
        self.given_out = self.open_line.len();
        text
    }

    /// Says whether the kernel has been heard of.
    pub(crate) fn is_kernel(&self) -> bool {
        self.is_kernel
    }

    /// Returns the last lines before the kernel's first.
    pub(crate) fn firmware_tail(&self) -> String {
        let mut bytes = self.firmware.clone();
        if !self.is_kernel {
            bytes.extend(&self.open_line);
        }
        let text = without_escapes(&bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        lines
            .get(lines.len().saturating_sub(10)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Says whether the last byte has made the open line a prompt, which happens once in a line at most.
    fn becomes_prompt(&self) -> bool {
        self.is_kernel
            && !self.is_prompt
            && self.open_line.last() == PROMPT.as_bytes().last()
            && self.open_line.len() <= Self::LONGEST_PROMPT
            && without_escapes(&self.open_line) == PROMPT
    }

    /// Keeps a line from before the kernel, and lets the first ones go where there are too many.
    fn keep_firmware(&mut self, line: &[u8]) {
        self.firmware.extend(line);
        let surplus = self.firmware.len().saturating_sub(Self::KEPT_OF_FIRMWARE);
        if surplus > Self::KEPT_OF_FIRMWARE {
            self.firmware.drain(..surplus);
        }
    }

    /// Sorts a whole line.
    fn end_line(&mut self, line: &[u8], lines: &mut Vec<Line>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if !self.is_kernel {
            match text
                .find(Self::FIRST_LINE)
                .map(|start| Control::parse(&text[start..]))
            {
                Some(Control::Image(address)) => {
                    self.is_kernel = true;
                    lines.push(Line::Control(Control::Image(address)));
                }
                _ => self.keep_firmware(line),
            }
        } else if text.starts_with(CONTROL_PREFIX) {
            let control = Control::parse(text);
            if control == Control::Reboot {
                self.is_kernel = false;
                self.firmware.clear();
            }
            lines.push(Line::Control(control));
        } else if text == READY_LINE {
            lines.push(Line::Ready);
        } else if let Some(start) = text.find(Self::TEST_LINE) {
            // The kernel was in the middle of a line when something made it speak to the runner.
            lines.push(Line::Text(text[..start].to_owned()));
            lines.push(Line::Control(Control::parse(&text[start..])));
        } else {
            lines.push(Line::Text(text.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A console on which the kernel has spoken.
    fn with_kernel() -> Serial {
        let mut serial = Serial::default();
        serial.feed(b"@image 0xffff800000000000\r\n");
        serial
    }

    /// A line of text.
    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn firmware_is_kept_aside() {
        let mut serial = Serial::default();
        let lines = serial
            .feed(b"\x1b[2JBdsDxe: starting\r\n\x1b[0m@image 0xffff800000000000\r\nHello\r\n");
        assert_eq!(
            lines,
            [
                Line::Control(Control::Image(0xffff_8000_0000_0000)),
                text("Hello")
            ]
        );
        assert_eq!(serial.firmware_tail(), "BdsDxe: starting");
    }

    #[test]
    fn lines_cut_in_two_are_joined() {
        let mut serial = with_kernel();
        assert_eq!(serial.feed(b"@test sta"), []);
        assert_eq!(serial.feed(b"rt heap::grows\r"), []);
        assert_eq!(
            serial.feed(b"\n"),
            [Line::Control(Control::Start("heap::grows".to_owned()))]
        );
    }

    #[test]
    fn prompt_is_an_open_line_of_its_own() {
        let mut serial = with_kernel();
        assert_eq!(serial.feed(b"a > b\n"), [text("a > b")]);
        assert_eq!(serial.feed(b">"), []);
        assert_eq!(serial.feed(b" heap> \r"), [Line::Prompt]);
        // An editor that draws its line anew does not begin to read another command.
        assert_eq!(serial.feed(b"\x1b[K> heap\r\n").len(), 1);
        assert_eq!(serial.feed(b"\x1b[32m> \x1b[0m"), [Line::Prompt]);
    }

    #[test]
    fn firmware_writes_no_prompts() {
        let mut serial = Serial::default();
        assert_eq!(serial.feed(b"Shell\n> "), []);
    }

    #[test]
    fn console_is_the_firmwares_again_behind_a_reboot() {
        let mut serial = with_kernel();
        assert_eq!(
            serial.feed(b"> reboot\n@reboot\nSeaBIOS\n> \n"),
            [
                Line::Prompt,
                text("> reboot"),
                Line::Control(Control::Reboot)
            ]
        );
        assert!(!serial.is_kernel());
        assert_eq!(serial.firmware_tail(), "SeaBIOS\n>");
        assert_eq!(
            serial.feed(b"\x1b[0m@image 0x1000\nready\n"),
            [Line::Control(Control::Image(0x1000)), Line::Ready]
        );
        assert!(serial.is_kernel());
    }

    #[test]
    fn requests_are_known() {
        assert_eq!(Control::parse("@ask nmi 5"), Control::Ask(Request::Nmi(5)));
        assert_eq!(
            Control::parse(r"@ask type exit\x0a"),
            Control::Ask(Request::Type(b"exit\n".to_vec()))
        );
    }

    #[test]
    fn prompts_are_given_out_early_and_once() {
        let mut serial = with_kernel();
        serial.feed(b"> ");
        assert_eq!(serial.take_open_text(), b"> ");
        serial.feed(b"he");
        assert_eq!(serial.take_open_text(), b"he");
        assert_eq!(serial.feed(b"ap\n"), [text("> heap")]);
        serial.feed(b"@test");
        assert_eq!(serial.take_open_text(), b"");
    }

    #[test]
    fn ready_line_is_known() {
        assert_eq!(
            with_kernel().feed(b"ready\r\nalready\r\n"),
            [Line::Ready, text("already")]
        );
    }

    #[test]
    fn plan_says_which_tests_are_isolated() {
        let plan = |name: &str, isolated| Control::Plan {
            name: name.to_owned(),
            isolated,
        };
        assert_eq!(
            Control::parse("@test plan a::b ordinary"),
            plan("a::b", false)
        );
        assert_eq!(Control::parse("@test plan c isolated"), plan("c", true));
    }

    #[test]
    fn verdicts_and_messages_are_known() {
        assert_eq!(
            Control::parse("@test pass a"),
            Control::Pass("a".to_owned())
        );
        assert_eq!(
            Control::parse("@test fail a"),
            Control::Fail("a".to_owned())
        );
        assert_eq!(Control::parse("@test done"), Control::Done);
        assert_eq!(
            Control::parse("@test message src/x.rs:1:2: left is not right"),
            Control::Message("src/x.rs:1:2: left is not right".to_owned())
        );
    }

    #[test]
    fn flood_keeps_its_end_and_endless_lines_are_cut() {
        let mut serial = Serial::default();
        for _ in 0..100 {
            serial.feed(&[b'x'; Serial::LONGEST_LINE / 2]);
            serial.feed(b"\nbooting\n");
        }
        assert!(serial.firmware.len() <= 2 * Serial::KEPT_OF_FIRMWARE);
        assert!(serial.firmware_tail().ends_with("\nbooting"));
        let mut serial = with_kernel();
        let piece = [b'x'; Serial::LONGEST_LINE / 2];
        assert_eq!(serial.feed(&piece), []);
        assert_eq!(serial.take_open_text(), piece);
        let line = "x".repeat(Serial::LONGEST_LINE);
        assert_eq!(serial.feed(&piece), [text(&line)]);
        assert_eq!(serial.feed(b"x\n"), [text("x")]);
    }

    #[test]
    fn malformed_messages_are_not_believed() {
        for line in [
            "@test plan a sideways",
            "@test start",
            "@image 0xzz",
            "@what",
            "@reboot now",
            "@ask nmi many",
        ] {
            assert_eq!(Control::parse(line), Control::Unknown(line.to_owned()));
        }
    }

    #[test]
    fn message_in_the_middle_of_a_line_is_found() {
        let lines = with_kernel().feed(b"half a l@test fail a\n");
        assert_eq!(
            lines,
            [
                text("half a l"),
                Line::Control(Control::Fail("a".to_owned()))
            ]
        );
    }
}
