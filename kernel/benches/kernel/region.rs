//! The memory of a heap under test.

use kernel::bench::run::BenchError;
use kernel::memory::frame::{FRAME_SIZE, FrameRange};
use kernel::memory::frame_allocator::FRAMES_PER_BLOCK;
use kernel::memory::physical::{frame_pointer, with_frames};

/// Bytes of a region.
pub(crate) const REGION_BYTES: usize = 16 << 20;

/// Neighbouring frames from the frame allocator, [`REGION_BYTES`] in all, given back when dropped.
///
/// # Invariants
/// - The frames are this value's alone.
#[derive(Debug)]
pub(crate) struct FrameRegion(FrameRange);

impl FrameRegion {
    /// Takes the frames.
    pub(crate) fn new() -> Result<Self, BenchError> {
        let frames = REGION_BYTES as u64 / FRAME_SIZE;
        // INVARIANT: the frame allocator gives a frame to one owner.
        with_frames(|allocator| allocator.allocate_region(frames, FRAMES_PER_BLOCK))
            .map(Self)
            .map_err(|_| BenchError::OutOfMemory)
    }

    /// Returns where the memory starts: [`REGION_BYTES`], as long as this value lives.
    pub(crate) fn start(&self) -> *mut u8 {
        frame_pointer(self.0.first).as_ptr()
    }
}

impl Drop for FrameRegion {
    fn drop(&mut self) {
        let freed = with_frames(|allocator| allocator.free_region(self.0));
        debug_assert_eq!(freed, Ok(()), "the frames are ours");
    }
}
