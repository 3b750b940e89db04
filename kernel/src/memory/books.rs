//! Where the books of the frame allocator and of the window go, decided before there is a frame allocator. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use super::frame::{FRAME_SIZE, FrameRange};
use super::frame_allocator::{FrameAllocator, LARGEST_END};
use super::memory_map::MemoryMap;
use super::window::Window;

/// The least memory to go on with, in frames: room for a few blocks of the heap. 1 MiB.
pub const LEAST_FRAMES: u64 = 256;

/// The number behind the last frame below 1 MiB: what other CPUs start in. Books go elsewhere where they can.
const LOW_END: u64 = 0x100;

/// The place of the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// The frames they take: the first ones of the first usable range above 1 MiB that is long enough, or else below.
    pub frames: FrameRange,
    /// Words in them that the frame allocator uses, the first ones.
    pub words: usize,
    /// Words behind those, which the window uses.
    pub window_words: usize,
    /// The number behind the last frame that is written down in them.
    pub end: u64,
}

/// The machine has too little memory. Displays as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittleMemory {
    /// Usable frames that were found.
    pub found: u64,
    /// Frames that are needed.
    pub needed: u64,
}

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |frames: u64| frames * FRAME_SIZE / 1024;
        let (found, needed) = (kib(self.found), kib(self.needed));
        write!(
            f,
            "too little memory: {found} KiB are usable and the kernel needs {needed} KiB in large pieces; start the machine \
             with more (MEM=64M is plenty)"
        )
    }
}

impl core::error::Error for TooLittleMemory {}

impl Books {
    /// Finds a place for the books of all usable frames of a machine.
    ///
    /// # Errors
    ///
    /// [`TooLittleMemory`] where no range is long enough, or less than [`LEAST_FRAMES`] would be left.
    pub fn plan(map: MemoryMap<'_>) -> Result<Self, TooLittleMemory> {
        let end = map.usable_end().min(LARGEST_END);
        let words = FrameAllocator::words_for(end);
        let found = map.usable_frames();
        let window_words = Window::words_for(found);
        let length = ((words + window_words) as u64 * 8).div_ceil(FRAME_SIZE);
        let too_little = TooLittleMemory {
            found,
            needed: length + LEAST_FRAMES,
        };
        if too_little.found < too_little.needed {
            return Err(too_little);
        }
        let fits = |range: &FrameRange| range.len() >= length;
        let is_low = |range: &FrameRange| range.first.number() < LOW_END;
        let range = map
            .usable_ranges()
            .find(|range| fits(range) && !is_low(range))
            .or_else(|| map.usable_ranges().find(fits))
            .ok_or(too_little)?;
        let first = range.first.number();
        let frames = FrameRange::from_numbers(first, first + length);
        Ok(Self {
            frames,
            words,
            window_words,
            end,
        })
    }

    /// Splits a usable range into the pieces that are free to give: without the books, and below their end.
    #[must_use]
    pub fn without(self, range: FrameRange) -> [FrameRange; 2] {
        let (first, end) = (range.first.number(), range.end.number().min(self.end));
        if !range.contains(self.frames.first) {
            return [(first, end), (end, end)]
                .map(|(first, end)| FrameRange::from_numbers(first, end));
        }
        let (books, behind) = (self.frames.first.number(), self.frames.end.number());
        [(first, books), (behind, end)].map(|(first, end)| FrameRange::from_numbers(first, end))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use bootloader_api::info::{MemoryRegion, MemoryRegionKind::Usable};

    use super::*;

    /// Plans the books of a machine with these usable frames.
    fn plan(ranges: &[(u64, u64)]) -> Result<Books, TooLittleMemory> {
        let region = |&(first, end)| MemoryRegion {
            start: first * FRAME_SIZE,
            end: end * FRAME_SIZE,
            kind: Usable,
        };
        let mut regions: Vec<_> = ranges.iter().map(region).collect();
        Books::plan(MemoryMap::new(&mut regions))
    }

    #[test]
    fn books_take_the_first_range_that_is_long_enough() {
        // 5 GiB: 20,480 words twice, three trees over them, and the window's; 88 frames, so the first range is too short.
        let books = plan(&[(1, 0x50), (0x100, 0x14_0000)]).expect("there is memory");
        assert_eq!(books.frames, FrameRange::from_numbers(0x100, 0x100 + 88));
        assert_eq!(books.end, 0x14_0000);
        let pieces = books.without(FrameRange::from_numbers(0x100, 0x14_0000));
        assert_eq!(pieces[1], FrameRange::from_numbers(0x158, 0x14_0000));
        assert!(pieces[0].is_empty());
        let untouched = FrameRange::from_numbers(1, 0x50);
        assert_eq!(books.without(untouched)[0], untouched);
        let small = plan(&[(1, 0xa0), (0x100, 0x1000)]).expect("there is memory");
        assert_eq!(small.frames.first.number(), 0x100, "low memory stays free");
    }

    #[test]
    fn too_little_memory_is_one_sentence() {
        let error = plan(&[(1, 100)]).expect_err("99 frames are not enough");
        assert_eq!((error.found, error.needed), (99, 257));
        assert!(
            error
                .to_string()
                .starts_with("too little memory: 396 KiB are usable and the kernel needs 1028 KiB")
        );
        assert!(plan(&[]).is_err());
        assert!(plan(&[(1, 258)]).is_ok());
    }
}
