//! Colours of text on a terminal: the one place that writes their codes. Pure.
//!
//! The kernel always sends them; the runner takes them out where there is no terminal or `NO_COLOR` is set, and
//! [`PlainText`] takes them out of text that is kept. So colour may only say again what the text says.
#![forbid(unsafe_code)]

use core::fmt;

/// Clears the screen and moves the cursor to its upper left corner.
pub const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

/// What text looks like: the number of a colour code ("select graphic rendition").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Style {
    /// A heading.
    Bold = 1,
    /// Less important.
    Dim = 2,
    /// Something is wrong.
    Red = 31,
    /// All is well.
    Green = 32,
    /// Look here.
    Yellow = 33,
    /// Blue.
    Blue = 34,
    /// Magenta.
    Magenta = 35,
    /// Cyan.
    Cyan = 36,
}

impl Style {
    /// Gives `text` this look.
    pub const fn paint<T>(self, text: T) -> Painted<T> {
        Painted { style: self, text }
    }
}

/// Text with a look.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    /// The look.
    style: Style,
    /// The text.
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    /// Width and alignment are those of the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\x1b[{}m", self.style as u8)?;
        self.text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}

/// Passes text on to `W` without escape codes.
#[derive(Debug)]
pub struct PlainText<W> {
    /// Who gets the text.
    inner: W,
    /// The text is in the middle of a code.
    is_in_code: bool,
}

impl<W> PlainText<W> {
    /// Passes text on to `inner`.
    pub const fn new(inner: W) -> Self {
        Self {
            inner,
            is_in_code: false,
        }
    }

    /// Returns who got the text.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: fmt::Write> fmt::Write for PlainText<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        if self.is_in_code {
            // `ESC [`, parameters, and a letter.
            self.is_in_code = !character.is_ascii_alphabetic();
            return Ok(());
        }
        if character == '\x1b' {
            self.is_in_code = true;
            return Ok(());
        }
        self.inner.write_char(character)
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write;
    use std::format;
    use std::string::String;

    use super::*;

    #[test]
    fn width_is_that_of_the_text() {
        let painted = Style::Green.paint("ok");
        assert_eq!(format!("[{painted:>4}]"), "[\x1b[32m  ok\x1b[0m]");
    }

    #[test]
    fn plain_text_has_no_codes() {
        let mut plain = PlainText::new(String::new());
        let painted = Style::Red.paint("bad — ▒");
        write!(plain, "a {painted} b\x1b[2").expect("a string takes all text");
        plain.write_str("Jc").expect("a string takes all text");
        assert_eq!(plain.into_inner(), "a bad — ▒ bc");
    }
}
