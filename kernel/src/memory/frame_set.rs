//! Up to 64 frames of one block, wherever in it they are: what scattered memory is taken and given back in.
#![forbid(unsafe_code)]

use super::frame::Frame;
use super::frame_allocator::FRAMES_PER_BLOCK;

/// Some frames of one block. Iterates over them in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameSet {
    /// The number of the block: its first frame's number by [`FRAMES_PER_BLOCK`].
    block: u64,
    /// One bit a frame.
    bits: u64,
}

impl FrameSet {
    /// Returns the frames of block number `block` whose bits are set.
    #[must_use]
    pub(super) const fn from_bits(block: u64, bits: u64) -> Self {
        Self { block, bits }
    }

    /// Returns the number of the block.
    #[must_use]
    pub(super) const fn block(self) -> u64 {
        self.block
    }

    /// Returns one bit a frame.
    #[must_use]
    pub(super) const fn bits(self) -> u64 {
        self.bits
    }

    /// Returns how many frames there are.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.bits.count_ones() as u64
    }

    /// Returns whether there is no frame.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Takes frames from an iterator as long as they are of one block.
    #[inline]
    pub fn take_from(frames: &mut (impl Iterator<Item = Frame> + Clone)) -> Self {
        let mut set = Self::default();
        loop {
            let mut ahead = frames.clone();
            if !ahead.next().is_some_and(|frame| set.insert(frame)) {
                return set;
            }
            *frames = ahead;
        }
    }

    /// Adds a frame, if the set is empty or the frame is of the same block; else returns `false`.
    fn insert(&mut self, frame: Frame) -> bool {
        let (block, bit) = (
            frame.number() / FRAMES_PER_BLOCK,
            1 << (frame.number() % FRAMES_PER_BLOCK),
        );
        if self.bits == 0 {
            *self = Self::from_bits(block, bit);
            return true;
        }
        if block == self.block {
            self.bits |= bit;
        }
        block == self.block
    }
}

impl Iterator for FrameSet {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        if self.bits == 0 {
            return None;
        }
        let number = self.block * FRAMES_PER_BLOCK + u64::from(self.bits.trailing_zeros());
        self.bits &= self.bits - 1;
        Some(Frame::from_number(number))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn frames_of_one_block_gather() {
        let mut set = FrameSet::default();
        assert!(
            [130, 191, 128]
                .into_iter()
                .all(|number| set.insert(Frame::from_number(number)))
        );
        assert!(!set.insert(Frame::from_number(192)) && !set.insert(Frame::from_number(127)));
        assert_eq!(set.count(), 3);
        let numbers: Vec<_> = set.map(Frame::number).collect();
        assert_eq!(numbers, [128, 130, 191]);
        assert_eq!(FrameSet::default().next(), None);
        let mut frames = [70, 64, 127, 128, 64].into_iter().map(Frame::from_number);
        let counts = core::array::from_fn(|_| FrameSet::take_from(&mut frames).count());
        assert_eq!(counts, [3, 1, 1, 0]);
    }
}
