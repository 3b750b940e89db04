//! A line of text with a cursor in it, and what editing does to them.
#![forbid(unsafe_code)]

/// The longest line in bytes.
pub const LONGEST_LINE: usize = 256;

/// A line of text.
///
/// # Invariants
/// - The first `length` bytes of `bytes` are printable ASCII; `length` is at most [`LONGEST_LINE`].
/// - `cursor` is at most `length`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// The characters.
    bytes: [u8; LONGEST_LINE],
    /// How many there are.
    length: usize,
    /// How many stand before the cursor.
    cursor: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST_LINE],
            length: 0,
            cursor: 0,
        }
    }
}

impl Text {
    /// Returns the characters.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Returns the characters before the cursor.
    #[must_use]
    pub(super) fn before_cursor(&self) -> &str {
        &self.as_str()[..self.cursor]
    }

    /// Returns how many characters stand before the cursor.
    #[must_use]
    pub(super) const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Returns how many characters there are.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Returns whether there are none.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Becomes `text`, with the cursor behind it. What cannot be shown or does not fit is left out.
    pub(super) fn replace(&mut self, text: &str) {
        *self = Self::default();
        for byte in text.bytes().filter(|byte| matches!(byte, b' '..=b'~')) {
            self.insert(byte);
        }
    }

    /// Inserts a printable character at the cursor; returns whether it fits.
    pub(super) fn insert(&mut self, byte: u8) -> bool {
        if self.length == LONGEST_LINE {
            return false;
        }
        self.bytes
            .copy_within(self.cursor..self.length, self.cursor + 1);
        self.bytes[self.cursor] = byte;
        self.length += 1;
        self.cursor += 1;
        true
    }

    /// Removes the character before the cursor.
    pub(super) fn erase_before(&mut self) {
        self.erase_back_to(self.cursor.saturating_sub(1));
    }

    /// Removes the character at the cursor.
    pub(super) fn erase_at(&mut self) {
        if self.cursor < self.length {
            self.cursor += 1;
            self.erase_before();
        }
    }

    /// Removes everything from the cursor on.
    pub(super) fn erase_to_end(&mut self) {
        self.length = self.cursor;
    }

    /// Removes everything before the cursor.
    pub(super) fn erase_to_start(&mut self) {
        self.erase_back_to(0);
    }

    /// Removes the word before the cursor, and the blanks behind that word.
    pub(super) fn erase_word(&mut self) {
        let before = self.before_cursor().trim_end();
        self.erase_back_to(before.rfind(' ').map_or(0, |blank| blank + 1));
    }

    /// Moves the cursor by a character to the left.
    pub(super) fn move_left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    /// Moves the cursor by a character to the right.
    pub(super) fn move_right(&mut self) {
        self.cursor = self.length.min(self.cursor + 1);
    }

    /// Moves the cursor before the first character.
    pub(super) fn move_to_start(&mut self) {
        self.cursor = 0;
    }

    /// Moves the cursor behind the last character.
    pub(super) fn move_to_end(&mut self) {
        self.cursor = self.length;
    }

    /// Removes the characters from `from`, which is not behind the cursor, up to the cursor.
    fn erase_back_to(&mut self, from: usize) {
        self.bytes.copy_within(self.cursor..self.length, from);
        self.length -= self.cursor - from;
        self.cursor = from;
    }
}
