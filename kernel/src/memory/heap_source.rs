//! Where kernel and heap meet: frames as the memory that `stack_alloc` asks for, and the global allocator itself.

use core::ptr::NonNull;

use stack_alloc::{Allocator, MemorySource, PAGE_SIZE};

use super::frame::{FRAME_SIZE, Frame, FrameRange};
use super::frame_allocator::FreeError;
use super::physical::{frame_of, frame_pointer, try_with_frames};
use crate::interrupts::masked::HeapLock;
use crate::lock::MaskingLock;

/// The kernel's heap: `Box`, `Vec` and all others allocate here, in interrupt handlers too. How long its lock masks
/// interrupts is measured: see [`masked`](crate::interrupts::masked).
#[global_allocator]
pub static HEAP: Allocator<FrameSource, MaskingLock<HeapLock>> = Allocator::new(FrameSource);

/// Physical frames, seen through the mapping of all physical memory. Has nothing to give before they are known.
#[derive(Clone, Copy, Debug)]
pub struct FrameSource;

// SAFETY:
// 1. Frames are mapped for good and have one owner: the frame allocator gives a free one once until it is back.
// 2. A block is 64 frames whose first number is a multiple of 64, and the mapping's base is aligned to far more.
// 3. There are no parts.
// 4. A region has as many frames as asked; its first number is a multiple of the alignment in frames. It grows by exactly
//    the frames behind it, if all of them are free, and shrinks by giving back its last ones. Neighbouring frames are
//    neighbours in the mapping.
// 5. Frames are not said to be zero.
unsafe impl MemorySource for FrameSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        try_with_frames(|frames| frames.allocate_block().ok())?.map(frame_pointer)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        let released =
            frame_of(block).and_then(|first| try_with_frames(|frames| frames.free_block(first)));
        report(released);
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (frames, align_frames) = ((size / PAGE_SIZE) as u64, (align / PAGE_SIZE) as u64);
        let region =
            try_with_frames(|allocator| allocator.allocate_region(frames, align_frames).ok())?;
        region.map(|region| frame_pointer(region.first))
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let frames = (size / PAGE_SIZE) as u64;
        let released = frame_of(region).and_then(|first| {
            let range = FrameRange::from_numbers(first.number(), first.number() + frames);
            try_with_frames(|allocator| allocator.free_region(range))
        });
        report(released);
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        let Some(first) = frame_of(region).map(Frame::number) else {
            return false;
        };
        let end = first + (size / PAGE_SIZE) as u64;
        let new_end = first + (new_size / PAGE_SIZE) as u64;
        if new_end > end {
            let behind = FrameRange::from_numbers(end, new_end);
            return try_with_frames(|frames| frames.allocate_range(behind).is_ok()) == Some(true);
        }
        let tail = FrameRange::from_numbers(new_end, end);
        report(try_with_frames(|frames| frames.free_region(tail)));
        true
    }

    fn largest_region(&self) -> usize {
        let frames = try_with_frames(|frames| frames.statistics().largest_run).unwrap_or(0);
        usize::try_from(frames * FRAME_SIZE).unwrap_or(usize::MAX)
    }
}

/// Notices a release that the frame allocator refuses: the contract of [`MemorySource`] excludes it, so the heap itself
/// would be broken. In a release build the frames are then lost rather than handed out twice.
fn report(released: Option<Result<(), FreeError>>) {
    debug_assert_eq!(
        released,
        Some(Ok(())),
        "the heap gave back memory that it does not have"
    );
}

/// Pages and frames are of one size.
const _: () = assert!(PAGE_SIZE as u64 == FRAME_SIZE);
