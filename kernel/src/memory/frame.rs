//! Physical page frames, as numbers that cannot be mistaken for addresses.
#![forbid(unsafe_code)]

use core::fmt;

/// The size of a frame in bytes.
pub const FRAME_SIZE: u64 = 4096;

/// One physical page frame: [`FRAME_SIZE`] bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(u64);

impl Frame {
    /// Returns the frame with this number; frame 0 starts at address 0.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the frame that `address` lies in.
    #[must_use]
    pub const fn containing_address(address: u64) -> Self {
        Self(address / FRAME_SIZE)
    }

    /// Returns the number of the frame.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the physical address of the frame's first byte.
    #[must_use]
    pub const fn start_address(self) -> u64 {
        self.0 * FRAME_SIZE
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {:#x}", self.start_address())
    }
}

/// Neighbouring frames: from `first` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// The first frame of the range.
    pub first: Frame,
    /// The frame behind the last one.
    pub end: Frame,
}

impl FrameRange {
    /// Returns the range from frame number `first` up to, but not including, frame number `end`.
    #[must_use]
    pub const fn from_numbers(first: u64, end: u64) -> Self {
        Self {
            first: Frame(first),
            end: Frame(end),
        }
    }

    /// Returns the whole frames inside the addresses `start..end`: a frame that is only partly inside is left out.
    #[must_use]
    pub const fn inside_addresses(start: u64, end: u64) -> Self {
        Self::from_numbers(start.div_ceil(FRAME_SIZE), end / FRAME_SIZE)
    }

    /// Returns how many frames there are.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.0.saturating_sub(self.first.0)
    }

    /// Returns whether there is no frame in the range.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns whether `frame` is in the range.
    #[must_use]
    pub const fn contains(self, frame: Frame) -> bool {
        self.first.0 <= frame.0 && frame.0 < self.end.0
    }
}
