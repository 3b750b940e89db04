//! Frames below 1 MiB: a CPU that starts sees no others.

use core::fmt;

use crate::memory::frame::{Frame, FrameRange};
use crate::memory::physical::{memory_map, try_with_frames};

/// Frames that a start needs: one of code, and three of page tables.
const FRAMES: u64 = 4;

/// The frame behind the last one that a CPU can start in: from there on up to 1 MiB are devices and firmware.
const END: u64 = 0xa0;

/// Neighbouring frames below 1 MiB that are nobody else's. They go back to the frame allocator when this drops.
///
/// # Invariants
/// - The frame allocator gave `range` away, to this.
pub struct LowMemory {
    /// The frames.
    range: FrameRange,
}

impl LowMemory {
    /// Takes frames from the frame allocator; `None` where none are free. At boot, to be called before others take them: the
    /// lowest go first.
    #[must_use]
    pub fn reserve() -> Option<Self> {
        let map = memory_map()?;
        let ranges = map.usable_ranges();
        let ranges = ranges.take_while(|range| range.first.number() < END);
        let mut firsts = ranges.flat_map(|range| {
            let last = range.end.number().min(END).saturating_sub(FRAMES);
            range.first.number()..=last
        });
        firsts.find_map(|first| {
            let range = FrameRange::from_numbers(first, first + FRAMES);
            let taken = try_with_frames(|frames| frames.allocate_range(range))?;
            // INVARIANT: it was just given.
            taken.ok().map(|()| Self { range })
        })
    }

    /// Returns the frame of the code.
    pub(super) const fn code(&self) -> Frame {
        self.range.first
    }

    /// Returns the frames of the page tables, that of level 4 first.
    pub(super) fn tables(&self) -> [Frame; 3] {
        let first = self.range.first.number();
        [1, 2, 3].map(|index| FrameRange::from_numbers(first + index, first + FRAMES).first)
    }
}

impl Drop for LowMemory {
    fn drop(&mut self) {
        let freed = try_with_frames(|frames| frames.free_region(self.range));
        debug_assert_eq!(freed, Some(Ok(())), "the frames were this one's");
    }
}

impl fmt::Debug for LowMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowMemory({})", self.range.first)
    }
}
