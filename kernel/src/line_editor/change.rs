//! What to send to a terminal so that it shows a line as it is now.
#![forbid(unsafe_code)]

use core::fmt;

use super::text::Text;

/// The way from the line that a terminal shows to the one that it should show. Displays as what to send.
///
/// It is the shortest one can write without knowing the terminal: characters added at the end are sent as they are, so what
/// is piped in is echoed without any code. A line that is wider than the terminal cannot be edited across its rows: no
/// terminal moves the cursor back to the row above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Columns to go, to the right, before anything is written; negative ones go to the left.
    columns: isize,
    /// What to write there.
    text: &'a str,
    /// Whether characters of the old line stand behind that, and must go.
    erases: bool,
    /// Columns to go back at the end.
    back: usize,
}

impl<'a> Change<'a> {
    /// Returns the way from `before` to `now`.
    pub(super) fn between(before: &Text, now: &'a Text) -> Self {
        if before.as_str() == now.as_str() {
            return Self {
                columns: distance(before.cursor(), now.cursor()),
                text: "",
                erases: false,
                back: 0,
            };
        }
        let kept = common_prefix(before.as_str(), now.as_str());
        Self {
            columns: distance(before.cursor(), kept),
            text: &now.as_str()[kept..],
            erases: before.len() > now.len(),
            back: now.len() - now.cursor(),
        }
    }

    /// Returns the way from nothing, at the place where the line begins, to `now`.
    pub(super) fn whole(now: &'a Text) -> Self {
        Self {
            columns: 0,
            text: now.as_str(),
            erases: false,
            back: now.len() - now.cursor(),
        }
    }

    /// Returns whether there is nothing to send.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.columns == 0 && self.text.is_empty() && !self.erases && self.back == 0
    }
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.columns {
            0 => {}
            columns @ 1.. => write!(f, "\x1b[{columns}C")?,
            columns => write!(f, "\x1b[{}D", columns.unsigned_abs())?,
        }
        f.write_str(self.text)?;
        if self.erases {
            f.write_str("\x1b[K")?;
        }
        match self.back {
            0 => Ok(()),
            back => write!(f, "\x1b[{back}D"),
        }
    }
}

/// Returns how many bytes two texts have in common at their starts.
fn common_prefix(first: &str, second: &str) -> usize {
    let pairs = first.bytes().zip(second.bytes());
    pairs.take_while(|(first, second)| first == second).count()
}

/// Returns the columns from `from` to `to`.
fn distance(from: usize, to: usize) -> isize {
    to.checked_signed_diff(from).unwrap_or_default()
}
