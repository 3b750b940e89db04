//! A line of text that needs no heap.

use core::ffi::c_int;
use core::fmt::{self, Write};

/// A line of up to 511 bytes; what is longer is cut off.
pub(crate) struct Line {
    /// The text.
    bytes: [u8; 512],
    /// How many bytes of it there are.
    len: usize,
}

impl Line {
    /// Writes `text`, and a line feed.
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self {
            bytes: [0; 512],
            len: 0,
        };
        // It fails when the text is too long: then the line is full.
        let _ = line.write_fmt(text);
        line.bytes[line.len] = b'\n';
        line.len += 1;
        line
    }

    /// Writes the line to a file in one piece, so that it does not mix with those of other processes.
    pub(crate) fn write_to(&self, file: c_int) {
        let text = self.bytes.as_ptr().cast();
        // SAFETY: the line has as many bytes. Where it cannot be written, nobody can be told.
        unsafe { libc::write(file, text, self.len) };
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte is left for the line feed.
        let room = self.bytes.len() - 1 - self.len;
        let fits = text.len().min(room);
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
