//! Who has which part of the machine's memory, and whether that adds up. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use super::frame::FRAME_SIZE;

/// All usable frames of the machine, by who has them: each owner's own books, beside those of the frame allocator.
///
/// The figures come from different books, so that they agree is a finding: no frame was lost, none is somebody's twice. Displays
/// as a table that ends in a sentence on that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameAccount {
    /// The frames that the memory map calls usable.
    pub usable: u64,
    /// Those with the books of the frame allocator and the window, set aside when booting.
    pub books: u64,
    /// Those that the frame allocator has.
    pub free: u64,
    /// Those that the heap holds, as it says.
    pub heap: u64,
    /// Those with page tables for the window, as the mapper says.
    pub tables: u64,
    /// Those of guarded call stacks, as the table of stacks says.
    pub stacks: u64,
}

impl FrameAccount {
    /// Returns how many frames the frame allocator has given out.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.usable.saturating_sub(self.books + self.free)
    }

    /// Returns the sum of all that somebody says to have.
    #[must_use]
    pub const fn accounted(&self) -> u64 {
        self.books + self.free + self.heap + self.tables + self.stacks
    }

    /// Returns whether every usable frame is somebody's, and only once.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accounted() == self.usable
    }
}

impl fmt::Display for FrameAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>12}{:>16}", "frames", "count", "size")?;
        let rows = [
            ("usable", self.usable),
            ("  free", self.free),
            ("  held by the heap", self.heap),
            ("  page tables", self.tables),
            ("  call stacks", self.stacks),
            ("  books of all frames", self.books),
        ];
        for (name, frames) in rows {
            writeln!(f, "{name:<22}{frames:>12}{:>16}", Size(frames))?;
        }
        let accounted = self.accounted();
        match self.usable.checked_sub(accounted) {
            Some(0) => writeln!(f, "frames balance: every usable frame is accounted for."),
            Some(missing) => writeln!(
                f,
                "FRAMES DO NOT BALANCE: {missing} ({}) are used by nobody named here.",
                Size(missing)
            ),
            None => writeln!(
                f,
                "FRAMES DO NOT BALANCE: {} ({}) are somebody's twice.",
                accounted - self.usable,
                Size(accounted - self.usable)
            ),
        }
    }
}

/// So many frames, as KiB or MiB.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.0 * FRAME_SIZE / 1024;
        // The width is for number and unit together, which a nested `write!` would not keep.
        let width = f.width().unwrap_or(0).saturating_sub(4);
        if kib < 1024 {
            return write!(f, "{kib:>width$} KiB");
        }
        let tenths = kib * 10 / 1024;
        let width = width.saturating_sub(2);
        write!(f, "{:>width$}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// An account of 1000 frames that adds up.
    const BALANCED: FrameAccount = FrameAccount {
        usable: 1000,
        books: 2,
        free: 800,
        heap: 128,
        tables: 6,
        stacks: 64,
    };

    #[test]
    fn an_account_that_adds_up_says_so() {
        assert!(BALANCED.is_balanced());
        assert_eq!(BALANCED.used(), 198);
        let expected = "\
frames                       count            size
usable                        1000         3.9 MiB
  free                         800         3.1 MiB
  held by the heap             128         512 KiB
  page tables                    6          24 KiB
  call stacks                   64         256 KiB
  books of all frames            2           8 KiB
frames balance: every usable frame is accounted for.
";
        assert_eq!(BALANCED.to_string(), expected);
    }

    #[test]
    fn lost_frames_and_frames_of_two_are_said() {
        let lost = FrameAccount {
            free: 790,
            ..BALANCED
        };
        assert!(!lost.is_balanced());
        let text = lost.to_string();
        assert!(
            text.ends_with("BALANCE: 10 (40 KiB) are used by nobody named here.\n"),
            "{text}"
        );
        let twice = FrameAccount {
            heap: 129,
            ..BALANCED
        };
        let text = twice.to_string();
        assert!(
            text.ends_with("BALANCE: 1 (4 KiB) are somebody's twice.\n"),
            "{text}"
        );
    }
}
