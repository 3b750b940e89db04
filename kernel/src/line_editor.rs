//! Bytes from a terminal or a pipe, gathered into lines. Pure: it says what to echo and never touches a device.
#![forbid(unsafe_code)]

/// The longest line in bytes.
pub const LONGEST_LINE: usize = 256;

/// End of transmission: what a terminal sends for Ctrl-D.
const END_OF_INPUT: u8 = 0x04;

/// What a byte did to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to show.
    Ignored,
    /// This character was added: echo it.
    Added(char),
    /// The last character is gone: rub it out on the screen.
    Erased,
    /// The line is complete: read it with [`LineEditor::line`], then [`clear`](LineEditor::clear).
    Complete,
    /// The line is complete, but characters did not fit: refuse it.
    TooLong,
    /// The input ended on an empty line.
    EndOfInput,
}

/// A line being typed.
///
/// # Invariants
/// - The first `length` bytes of `bytes` are printable ASCII; `length` is at most [`LONGEST_LINE`].
#[derive(Debug)]
pub struct LineEditor {
    /// The characters so far.
    bytes: [u8; LONGEST_LINE],
    /// How many there are.
    length: usize,
    /// Characters were dropped because the line was full.
    overflowed: bool,
    /// The last byte was `\r`, so a `\n` right behind it belongs to the same line end.
    after_return: bool,
}

impl Default for LineEditor {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST_LINE],
            length: 0,
            overflowed: false,
            after_return: false,
        }
    }
}

impl LineEditor {
    /// Takes the next byte of input.
    pub fn push(&mut self, byte: u8) -> Event {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => Event::Ignored,
            b'\r' | b'\n' if self.overflowed => Event::TooLong,
            b'\r' | b'\n' => Event::Complete,
            0x08 | 0x7f => self.erase(),
            END_OF_INPUT if self.length == 0 && !self.overflowed => Event::EndOfInput,
            b'\t' => self.add(b' '),
            b' '..=b'~' => self.add(byte),
            _ => Event::Ignored,
        }
    }

    /// Returns the characters of the line.
    #[must_use]
    pub fn line(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Begins the next line.
    pub fn clear(&mut self) {
        self.length = 0;
        self.overflowed = false;
    }

    /// Adds a printable character.
    fn add(&mut self, byte: u8) -> Event {
        let Some(slot) = self.bytes.get_mut(self.length) else {
            self.overflowed = true;
            return Event::Ignored;
        };
        *slot = byte;
        self.length += 1;
        Event::Added(char::from(byte))
    }

    /// Removes the last character.
    fn erase(&mut self) -> Event {
        if self.length == 0 {
            return Event::Ignored;
        }
        self.length -= 1;
        Event::Erased
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    /// The lines that `input` makes; a refused one is `!`.
    fn lines(input: &[u8]) -> Vec<String> {
        let mut editor = LineEditor::default();
        let mut lines = Vec::new();
        for &byte in input {
            match editor.push(byte) {
                Event::Complete => lines.push(editor.line().to_string()),
                Event::TooLong => lines.push("!".to_string()),
                Event::EndOfInput => lines.push("^D".to_string()),
                _ => continue,
            }
            editor.clear();
        }
        lines
    }

    #[test]
    fn every_line_end_ends_one_line() {
        assert_eq!(
            lines(b"a\nb\rc\r\nd\n\ne\r\r"),
            ["a", "b", "c", "d", "", "e", ""]
        );
    }

    #[test]
    fn erasing_stops_at_the_start() {
        assert_eq!(lines(b"ab\x7f\x08\x08c\n"), ["c"]);
    }

    #[test]
    fn end_of_input_counts_only_on_an_empty_line() {
        assert_eq!(lines(b"a\x04b\n\x04"), ["ab", "^D"]);
    }

    #[test]
    fn long_lines_are_refused_and_the_next_is_fine() {
        let mut input = [b'x'; LONGEST_LINE + 1].to_vec();
        input.extend(b"\nhelp\n");
        assert_eq!(lines(&input), ["!", "help"]);
        assert_eq!(lines(&input[1..]).len(), 2);
        assert_eq!(lines(&input[1..])[0].len(), LONGEST_LINE);
    }

    #[test]
    fn unprintable_bytes_are_dropped() {
        assert_eq!(lines(b"a\x1b\xff\0b\tc\n"), ["ab c"]);
    }
}
