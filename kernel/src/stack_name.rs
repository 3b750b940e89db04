//! Names of call stacks, small enough to be kept where nothing can be allocated. Pure.
#![forbid(unsafe_code)]

use core::fmt;

/// Words of a name.
pub const NAME_WORDS: usize = 3;

/// The most bytes of a name; what is longer is cut off.
pub const NAME_BYTES: usize = NAME_WORDS * 8;

/// The name of a call stack: up to [`NAME_BYTES`] bytes of text.
///
/// It is three words, so that it can be written down and read by an interrupt handler, an NMI's too, with no lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackName([u8; NAME_BYTES]);

impl StackName {
    /// Makes a name of the first whole characters of `text` that fit.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let end = text.floor_char_boundary(NAME_BYTES);
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self(bytes)
    }

    /// Makes a name of what is formatted, as far as it fits.
    #[must_use]
    pub fn from_fmt(text: fmt::Arguments<'_>) -> Self {
        /// The bytes, and how many there are.
        struct Bytes([u8; NAME_BYTES], usize);
        impl fmt::Write for Bytes {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let end = text.floor_char_boundary(NAME_BYTES - self.1);
                self.0[self.1..self.1 + end].copy_from_slice(&text.as_bytes()[..end]);
                self.1 += end;
                if end < text.len() {
                    Err(fmt::Error)
                } else {
                    Ok(())
                }
            }
        }
        let mut bytes = Bytes([0; NAME_BYTES], 0);
        // Fails where it does not fit.
        let _ = fmt::write(&mut bytes, text);
        Self(bytes.0)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&byte| byte == 0);
        let text = &self.0[..end.unwrap_or(NAME_BYTES)];
        // Only a name that was read while it was written can be no text.
        core::str::from_utf8(text).unwrap_or("?")
    }

    /// Returns the name as words.
    #[must_use]
    pub fn to_words(self) -> [u64; NAME_WORDS] {
        let (words, _) = self.0.as_chunks::<8>();
        core::array::from_fn(|index| u64::from_le_bytes(words[index]))
    }

    /// Returns the name with these words.
    #[must_use]
    pub fn from_words(words: [u64; NAME_WORDS]) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let (chunks, _) = bytes.as_chunks_mut::<8>();
        for (chunk, word) in chunks.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        Self(bytes)
    }
}

impl From<&str> for StackName {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn names_are_kept_or_cut_between_characters() {
        for (text, kept) in [
            ("", ""),
            ("boot", "boot"),
            ("exactly twenty-four byte", "exactly twenty-four byte"),
            ("more than twenty-four bytes", "more than twenty-four by"),
            ("a character across the é", "a character across the "),
        ] {
            let name = StackName::new(text);
            assert_eq!(name.to_string(), kept);
            assert_eq!(StackName::from_words(name.to_words()), name);
        }
        assert_eq!(StackName::from_words([u64::MAX; NAME_WORDS]).as_str(), "?");
    }

    #[test]
    fn names_are_formatted_as_far_as_they_fit() {
        let name = |cpu: usize, what| StackName::from_fmt(format_args!("CPU {cpu} {what}"));
        assert_eq!(name(15, "machine check").as_str(), "CPU 15 machine check");
        assert_eq!(
            name(7, "with a long, long name").as_str(),
            "CPU 7 with a long, long "
        );
    }
}
