//! Bytes from a terminal or a pipe, edited into lines. Pure: it says what to send to the terminal and never touches one.
//!
//! ```text
//! bytes ──▶ keys ──▶ LineEditor ──▶ Event: what to send to the terminal, or that a line is there
//!                     │      ▲
//!                    text   history, choices for Tab
//! ```
//!
//! | keys | do |
//! |---|---|
//! | left, right, Home, End, Ctrl-A, Ctrl-E | move the cursor |
//! | Backspace, Delete, Ctrl-W, Ctrl-U, Ctrl-K | erase a character, a word, what is before or behind the cursor |
//! | up, down, Ctrl-P, Ctrl-N | go through the lines typed before; the line that was being typed comes last |
//! | Tab | completes the word; a second one lists the choices |
//! | Ctrl-L | clears the screen |
//! | Ctrl-C | gives the line up |
//! | Ctrl-D | on an empty line, ends the input; else like Delete |
#![forbid(unsafe_code)]

mod change;
mod completion;
mod history;
mod keys;
mod text;

pub use change::Change;
pub use completion::Choices;
pub use history::{History, LONGEST_HISTORY};
pub use keys::{Key, Keys};
pub use text::LONGEST_LINE;
use text::Text;

/// What a byte did to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing to show.
    Ignored,
    /// The line has changed: send this.
    Changed(Change<'a>),
    /// The screen is to be cleared; then the prompt and [`LineEditor::whole`] are to be sent.
    ClearScreen,
    /// The choices for these characters are to be listed; then the prompt and [`LineEditor::whole`] are to be sent.
    ListChoices,
    /// The line is complete: read it with [`LineEditor::line`], then [`clear`](LineEditor::clear).
    Complete,
    /// The line is complete, but characters did not fit: refuse it.
    TooLong,
    /// The line is given up.
    Cancelled,
    /// The input ended on an empty line.
    EndOfInput,
}

/// A line being typed.
#[derive(Debug, Default)]
pub struct LineEditor {
    /// The bytes of keys that are not complete yet.
    keys: Keys,
    /// The line.
    text: Text,
    /// Characters were dropped because the line was full.
    overflowed: bool,
    /// The line of the history that is shown, if one is.
    recalled: Option<usize>,
    /// What was being typed before a line of the history was shown.
    draft: Text,
    /// The last key was a Tab that had nothing to add.
    after_tab: bool,
}

impl LineEditor {
    /// Takes the next byte of input.
    pub fn push(&mut self, byte: u8, history: &History, choices: &impl Choices) -> Event<'_> {
        let Some(key) = self.keys.push(byte) else {
            return Event::Ignored;
        };
        let after_tab = core::mem::take(&mut self.after_tab);
        let before = self.text;
        match key {
            Key::Enter if self.overflowed => return Event::TooLong,
            Key::Enter => return Event::Complete,
            Key::Cancel => return Event::Cancelled,
            Key::EndOfInput if self.text.is_empty() && !self.overflowed => {
                return Event::EndOfInput;
            }
            Key::ClearScreen => return Event::ClearScreen,
            Key::Tab => {
                self.after_tab = !completion::complete(&mut self.text, choices);
                if after_tab && self.after_tab {
                    return Event::ListChoices;
                }
            }
            Key::Character(byte) => self.overflowed |= !self.text.insert(byte),
            Key::EraseBefore => self.text.erase_before(),
            Key::EraseAt | Key::EndOfInput => self.text.erase_at(),
            Key::EraseToEnd => self.text.erase_to_end(),
            Key::EraseToStart => self.text.erase_to_start(),
            Key::EraseWord => self.text.erase_word(),
            Key::Left => self.text.move_left(),
            Key::Right => self.text.move_right(),
            Key::Home => self.text.move_to_start(),
            Key::End => self.text.move_to_end(),
            Key::Earlier => self.recall_earlier(history),
            Key::Later => self.recall_later(history),
        }
        let change = Change::between(&before, &self.text);
        if change.is_nothing() {
            Event::Ignored
        } else {
            Event::Changed(change)
        }
    }

    /// Returns the characters of the line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.text.as_str()
    }

    /// Returns the characters before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        self.text.before_cursor()
    }

    /// Returns what shows the line behind a fresh prompt.
    #[must_use]
    pub fn whole(&self) -> Change<'_> {
        Change::whole(&self.text)
    }

    /// Begins the next line.
    pub fn clear(&mut self) {
        self.text = Text::default();
        self.overflowed = false;
        self.recalled = None;
    }

    /// Shows the line of the history before the one that is shown.
    fn recall_earlier(&mut self, history: &History) {
        let next = self.recalled.unwrap_or(history.len());
        let Some(earlier) = next.checked_sub(1) else {
            return;
        };
        if let Some(line) = history.get(earlier) {
            if self.recalled.is_none() {
                self.draft = self.text;
            }
            self.recalled = Some(earlier);
            self.text.replace(line);
        }
    }

    /// Shows the line of the history behind the one that is shown; behind the last one, what was being typed.
    fn recall_later(&mut self, history: &History) {
        let Some(recalled) = self.recalled else {
            return;
        };
        match history.get(recalled + 1) {
            Some(line) => {
                self.recalled = Some(recalled + 1);
                self.text.replace(line);
            }
            None => {
                self.recalled = None;
                self.text = self.draft;
            }
        }
    }
}

#[cfg(test)]
mod tests;
