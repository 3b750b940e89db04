//! Bytes of a terminal as keys: the escape codes that it sends for arrows and the like, recognised byte by byte.
#![forbid(unsafe_code)]

/// A key, or a combination of keys that means one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Character(u8),
    /// The line is done.
    Enter,
    /// Tab.
    Tab,
    /// Backspace.
    EraseBefore,
    /// Delete, and Ctrl-D on a line with text.
    EraseAt,
    /// Cursor left, and Ctrl-B.
    Left,
    /// Cursor right, and Ctrl-F.
    Right,
    /// Home, and Ctrl-A.
    Home,
    /// End, and Ctrl-E.
    End,
    /// Cursor up, and Ctrl-P.
    Earlier,
    /// Cursor down, and Ctrl-N.
    Later,
    /// Ctrl-K.
    EraseToEnd,
    /// Ctrl-U.
    EraseToStart,
    /// Ctrl-W.
    EraseWord,
    /// Ctrl-L.
    ClearScreen,
    /// Ctrl-C.
    Cancel,
    /// Ctrl-D, which a runner also sends where a pipe ends.
    EndOfInput,
}

/// Where in an escape code the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In none.
    #[default]
    Plain,
    /// Behind ESC.
    Escape,
    /// Behind `ESC [`, with the number that was read so far.
    Csi(u8),
    /// Behind `ESC [` and something that no known code has: the rest is swallowed.
    UnknownCsi,
    /// Behind `ESC O`.
    Ss3,
}

/// Turns bytes into keys.
///
/// An ESC that no code follows does nothing. Codes of keys without a meaning here are swallowed whole, and a control
/// character ends any code and keeps its own meaning, so a line end always ends a line.
#[derive(Debug, Default)]
pub struct Keys {
    /// Where the last byte left off.
    state: State,
    /// The last byte was `\r`, so a `\n` right behind it belongs to the same line end.
    after_return: bool,
}

impl Keys {
    /// Takes the next byte; returns the key that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        const ESCAPE: u8 = 0x1b;
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        if byte == b'\n' && after_return {
            return None;
        }
        let state = core::mem::take(&mut self.state);
        match (state, byte) {
            (_, ESCAPE) => {
                self.state = State::Escape;
                None
            }
            (_, ..b' ' | 0x7f) => control(byte),
            (State::Plain, _) => character(byte),
            (State::Escape, b'[') => {
                self.state = State::Csi(0);
                None
            }
            (State::Escape, b'O') => {
                self.state = State::Ss3;
                None
            }
            (State::Escape, _) => character(byte),
            (State::Csi(_) | State::UnknownCsi, _) => self.push_csi(state, byte),
            (State::Ss3, _) => function(byte),
        }
    }

    /// Takes a byte behind `ESC [`: parameters until a byte from `@` to `~`.
    fn push_csi(&mut self, state: State, byte: u8) -> Option<Key> {
        match (state, byte) {
            (State::Csi(number), b'0'..=b'9') => {
                self.state = State::Csi(number.saturating_mul(10).saturating_add(byte - b'0'));
                None
            }
            (_, b' '..=b'?') => {
                self.state = State::UnknownCsi;
                None
            }
            (State::Csi(number), b'~') => numbered(number),
            (State::Csi(_), _) => function(byte),
            _ => None,
        }
    }
}

/// Returns what a control character means.
const fn control(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Cancel,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | 0x7f => Key::EraseBefore,
        0x0b => Key::EraseToEnd,
        0x0c => Key::ClearScreen,
        0x0e => Key::Later,
        0x10 => Key::Earlier,
        0x15 => Key::EraseToStart,
        0x17 => Key::EraseWord,
        _ => return None,
    })
}

/// Returns the key of a character, if it can be shown.
const fn character(byte: u8) -> Option<Key> {
    if matches!(byte, b' '..=b'~') {
        Some(Key::Character(byte))
    } else {
        None
    }
}

/// Returns what `ESC [ X` and `ESC O X` mean.
const fn function(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Earlier,
        b'B' => Key::Later,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

/// Returns what `ESC [ NUMBER ~` means.
const fn numbered(number: u8) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        3 => Key::EraseAt,
        4 | 8 => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The keys that `input` makes.
    fn keys(input: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        input.iter().filter_map(|&byte| keys.push(byte)).collect()
    }

    #[test]
    fn both_forms_of_the_arrows_are_known() {
        let arrows = [Key::Earlier, Key::Later, Key::Right, Key::Left];
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), arrows);
        assert_eq!(keys(b"\x1bOA\x1bOB\x1bOC\x1bOD"), arrows);
    }

    #[test]
    fn home_end_and_delete_have_many_forms() {
        for home in ["\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~", "\x01"] {
            assert_eq!(keys(home.as_bytes()), [Key::Home], "{home:?}");
        }
        for end in ["\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~", "\x05"] {
            assert_eq!(keys(end.as_bytes()), [Key::End], "{end:?}");
        }
        assert_eq!(keys(b"\x1b[3~"), [Key::EraseAt]);
    }

    #[test]
    fn unknown_codes_are_swallowed_whole() {
        // Page up, F5, Ctrl-right, the start of a paste, a mouse report, F1.
        let unknown = b"\x1b[5~\x1b[15~\x1b[1;5C\x1b[200~\x1b[<0;1;2M\x1bOP";
        assert_eq!(keys(unknown), []);
        assert_eq!(
            keys(b"\x1b[999999999999~x"),
            [Key::Character(b'x')],
            "a number too large for anything"
        );
    }

    #[test]
    fn escape_alone_does_nothing() {
        assert_eq!(keys(b"\x1bh"), [Key::Character(b'h')]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Earlier]);
    }

    #[test]
    fn line_end_ends_any_code() {
        for cut in ["\x1b\n", "\x1b[\n", "\x1b[1;\n", "\x1bO\n"] {
            assert_eq!(keys(cut.as_bytes()), [Key::Enter], "{cut:?}");
        }
    }

    #[test]
    fn return_and_newline_are_one_line_end() {
        assert_eq!(keys(b"\r\n\n\r"), [Key::Enter; 3]);
    }
}
