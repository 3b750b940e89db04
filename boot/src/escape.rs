//! Takes terminal escape codes out of a text.
//!
//! Firmware clears the screen and moves the cursor; a kernel may print colours, which a log file does not want. The
//! filter is a small state machine over bytes, so that a code cut in two by a pipe is still recognised.

/// Where in an escape code the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In plain text.
    #[default]
    Plain,
    /// Behind ESC.
    Escape,
    /// Behind ESC and intermediate bytes: one more byte ends the code.
    Intermediate,
    /// Behind `ESC [`: parameters until a byte from `@` to `~`.
    Csi,
    /// Behind `ESC ]`, `ESC P`, …: text until BEL or ESC \.
    String,
    /// Behind an ESC inside such a text.
    StringEscape,
}

/// Passes plain text and drops escape codes and control characters, except tab and newline.
#[derive(Debug, Default)]
pub(crate) struct EscapeFilter {
    /// Where the last byte left off.
    state: State,
}

impl EscapeFilter {
    /// The byte that starts every escape code.
    const ESC: u8 = 0x1b;
    /// The byte that ends a text such as a window title.
    const BEL: u8 = 0x07;

    /// Returns the plain text among `bytes`.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .copied()
            .filter(|&byte| self.keeps(byte))
            .collect()
    }

    /// Takes one byte in, and says whether it is plain text.
    fn keeps(&mut self, byte: u8) -> bool {
        let (state, kept) = match (self.state, byte) {
            (State::String, Self::ESC) => (State::StringEscape, false),
            (State::String, Self::BEL) | (State::StringEscape, b'\\') => (State::Plain, false),
            (State::String | State::StringEscape, _) => (State::String, false),
            (_, Self::ESC) => (State::Escape, false),
            (State::Plain, byte) => (
                State::Plain,
                !byte.is_ascii_control() || matches!(byte, b'\n' | b'\t'),
            ),
            (State::Escape, b'[') => (State::Csi, false),
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (State::String, false),
            (State::Escape | State::Intermediate, 0x20..=0x2f) => (State::Intermediate, false),
            (State::Escape | State::Intermediate, _) => (State::Plain, false),
            (State::Csi, 0x40..=0x7e) => (State::Plain, false),
            // A newline inside a code: the code was cut short by something else; do not swallow the line.
            (State::Csi, b'\n') => (State::Plain, true),
            (State::Csi, _) => (State::Csi, false),
        };
        self.state = state;
        kept
    }
}

/// Passes everything but colours: whoever types at the prompt needs the codes that move the cursor, coloured or not.
#[derive(Debug, Default)]
pub(crate) struct ColourFilter {
    /// The beginning of a code that may turn out to be a colour.
    held_back: Vec<u8>,
}

impl ColourFilter {
    /// Returns `bytes` without colours.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for &byte in bytes {
            self.take(byte, &mut passed);
        }
        passed
    }

    /// Takes one byte in, and passes what is known not to be a colour.
    fn take(&mut self, byte: u8, passed: &mut Vec<u8>) {
        let is_inside = match self.held_back.len() {
            0 => byte == EscapeFilter::ESC,
            1 => byte == b'[',
            _ => byte.is_ascii_digit() || byte == b';',
        };
        if is_inside {
            self.held_back.push(byte);
            return;
        }
        let is_colour = self.held_back.len() > 1 && byte == b'm';
        if is_colour {
            self.held_back.clear();
        } else {
            passed.append(&mut self.held_back);
            passed.push(byte);
        }
    }
}

/// Returns `text` without escape codes.
pub(crate) fn without_escapes(text: &[u8]) -> String {
    String::from_utf8_lossy(&EscapeFilter::default().pass(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_start_up_leaves_its_text() {
        let firmware = b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: starting Boot0002\r\n";
        assert_eq!(without_escapes(firmware), "BdsDxe: starting Boot0002\n");
    }

    #[test]
    fn colours_go_and_words_stay() {
        assert_eq!(
            without_escapes(b"\x1b[1;31mred\x1b[0m \tdone\n"),
            "red \tdone\n"
        );
    }

    #[test]
    fn colours_alone_go_where_the_cursor_is_to_move() {
        let mut filter = ColourFilter::default();
        let mut text = filter.pass(b"\x1b[1;31mred\x1b[0m\x1b[2Dx\x1b[K\r\x1b");
        text.extend(filter.pass(b"[3"));
        text.extend(filter.pass(b"2mgreen\x1bOA"));
        assert_eq!(text, b"red\x1b[2Dx\x1b[K\rgreen\x1bOA");
    }

    #[test]
    fn titles_and_charset_codes_go() {
        assert_eq!(
            without_escapes(b"\x1b]0;title\x07a\x1b(Bb\x1b]0;x\x1b\\c\x1b=d"),
            "abcd"
        );
    }

    #[test]
    fn codes_cut_in_two_are_recognised() {
        let mut filter = EscapeFilter::default();
        let mut text = filter.pass(b"a\x1b[3");
        text.extend(filter.pass(b"1mb\x1b"));
        text.extend(filter.pass(b"[0mc"));
        assert_eq!(text, b"abc");
    }

    #[test]
    fn letters_beyond_ascii_stay() {
        assert_eq!(without_escapes("─ é ✓".as_bytes()), "─ é ✓");
    }
}
