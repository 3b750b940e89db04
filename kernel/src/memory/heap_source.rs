//! Where kernel and heap meet: frames as the memory that `stack_alloc` asks for, and the global allocator itself.

use core::ptr::NonNull;

use stack_alloc::{CurrentCpu, MemorySource, PAGE_SIZE, ShardedAllocator};
use x86_64::instructions::interrupts::without_interrupts;

use super::frame::{FRAME_SIZE, Frame, FrameRange};
use super::frame_allocator::{FRAMES_PER_BLOCK, FrameAllocator, FreeError};
use super::heap_check::note_refused;
use super::mapper::{self, UnmapError};
use super::page::Page;
use super::physical::{frame_of, frame_pointer, try_with_frames};
use crate::cpu::MOST_CPUS;
use crate::interrupts::masked::HeapLock;
use crate::interrupts::nmi;
use crate::lock::MaskingLock;
use crate::{cpu, failure};

/// The kernel's heap: `Box`, `Vec` and all others allocate here, on any CPU, in interrupt handlers too. How long its locks mask
/// interrupts is measured: see [`masked`](crate::interrupts::masked).
#[global_allocator]
pub static HEAP: ShardedAllocator<FrameSource, ThisCpu, MaskingLock<HeapLock>, MOST_CPUS> =
    ShardedAllocator::new(FrameSource);

/// Says to the heap which CPU asks.
#[derive(Debug)]
pub enum ThisCpu {}

impl CurrentCpu for ThisCpu {
    #[inline(always)]
    fn current_cpu() -> usize {
        cpu::current()
    }

    fn may_wait() -> bool {
        !nmi::is_handling() && !failure::has_begun()
    }

    fn without_interrupts<T>(work: impl FnOnce() -> T) -> T {
        without_interrupts(work)
    }
}

/// Has each CPU tidy up its own part of the heap, by an interrupt, and gives all that holds nothing back to the frame allocator.
///
/// # Panics
///
/// If interrupts are masked: in a handler, or while a lock is held.
#[track_caller]
pub fn trim() {
    cpu::on_all(|| HEAP.trim_here());
    HEAP.trim();
}

/// Frames as memory: where they are neighbours, seen through the mapping of all physical memory; where they are scattered,
/// mapped one behind the other in the kernel's window. Has nothing to give before they are known.
///
/// It is asked with the heap's lock held and interrupts masked, so each answer takes bounded time. In instructions of a release
/// build, on a machine with 2 GiB:
///
/// | what | to hand out | to take back | bounded by |
/// |---|---|---|---|
/// | a block, or a region of 1 MiB, of neighbours | 1,100 | 900 | a constant |
/// | a region of 100 MiB of neighbours | 3,500 | 6,800 | the region's size: |
/// | a region of 1,000 MiB of neighbours | 17,700 | 52,800 | 17 and 53 for a further MiB |
/// | a block in the window, of frames from one or two blocks | 3,200 | 2,800 | a constant |
/// | … of 64 frames from as many blocks | 15,400 | 9,400 | a constant |
/// | 16 MiB in the window, of whole blocks | 100,500 | 114,400 | the largest mapping |
/// | … of 4,096 frames from as many blocks | 841,000 | 538,000 | the largest mapping |
///
/// More than 16 MiB ([`LARGEST_MAPPING`](super::window::LARGEST_MAPPING)) is never served by the window: without so many
/// neighbours, the answer is `None`, and a region in the window does not grow beyond that where it stands. So the last line
/// is the most there is, but for a region of neighbours of more than 10 GiB. It takes a machine whose every free frame is
/// alone in its 256 KiB; nothing in this kernel leaves memory like that. A search for neighbours that looks at [all that it
/// may](super::frame_allocator::RUNS_LOOKED_AT) in vain comes on top: 4,000.
#[derive(Clone, Copy, Debug)]
pub struct FrameSource;

// SAFETY:
// 1. Frames have one owner: the frame allocator gives a free one once until it is back. They are mapped for good at one
//    address, and in the window from when they are handed out until they are released.
// 2. A block is 64 frames whose first number is a multiple of 64, and the mapping's base is aligned to far more; or 64 pages
//    of the window, with such an alignment.
// 3. There are no parts.
// 4. A region has as many frames as asked; its first number is a multiple of the alignment in frames. It grows by exactly
//    the frames behind it, if all of them are free, and shrinks by giving back its last ones. Neighbouring frames are
//    neighbours in the mapping. In the window, the mapper does the same with pages.
// 5. Frames are not said to be zero.
unsafe impl MemorySource for FrameSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        let block = try_with_frames(|frames| frames.allocate_block().ok())?;
        block
            .map(frame_pointer)
            .or_else(|| mapper::map(FRAMES_PER_BLOCK, FRAMES_PER_BLOCK).ok())
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        if mapper::owns(block) {
            // SAFETY: the heap got the block here, as so many pages of the window, and releases it once.
            note(unsafe { mapper::unmap(block, FRAMES_PER_BLOCK) });
            return;
        }
        note(free(block, |frames, first| frames.free_block(first)));
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (frames, align_frames) = ((size / PAGE_SIZE) as u64, (align / PAGE_SIZE) as u64);
        let region =
            try_with_frames(|allocator| allocator.allocate_region(frames, align_frames).ok())?;
        region
            .map(|region| frame_pointer(region.first))
            .or_else(|| mapper::map(frames, align_frames).ok())
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let frames = (size / PAGE_SIZE) as u64;
        if mapper::owns(region) {
            // SAFETY: the heap got the region here, it has this size, and it is released once.
            note(unsafe { mapper::unmap(region, frames) });
            return;
        }
        note(free(region, |allocator, first| {
            let range = FrameRange::from_numbers(first.number(), first.number() + frames);
            allocator.free_region(range)
        }));
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        let (pages, new_pages) = ((size / PAGE_SIZE) as u64, (new_size / PAGE_SIZE) as u64);
        if mapper::owns(region) {
            // SAFETY: the heap got the region here, it has this size, and what lies behind the new one is given up.
            let resized = unsafe { mapper::resize(region, pages, new_pages) };
            note(resized.map(drop));
            return resized == Ok(true);
        }
        let Some(first) = frame_of(region).map(Frame::number) else {
            return false;
        };
        if new_pages > pages {
            let behind = FrameRange::from_numbers(first + pages, first + new_pages);
            return try_with_frames(|frames| frames.allocate_range(behind).is_ok()) == Some(true);
        }
        note(free(region, |frames, _| {
            frames.free_region(FrameRange::from_numbers(first + new_pages, first + pages))
        }));
        true
    }

    /// The longest run of whole blocks is always found; and up to a limit, the window makes one region of whatever there is.
    fn largest_region(&self) -> usize {
        let in_a_row = try_with_frames(|frames| frames.counts().blocks_in_a_row).unwrap_or(0);
        let pages = mapper::largest().max(in_a_row * FRAMES_PER_BLOCK);
        usize::try_from(pages).map_or(usize::MAX, |pages| pages * PAGE_SIZE)
    }
}

/// Gives frames back with `body`, which gets the frame that `pointer` points into.
fn free(
    pointer: NonNull<u8>,
    body: impl FnOnce(&mut FrameAllocator<'static>, Frame) -> Result<(), FreeError>,
) -> Result<(), UnmapError> {
    let page = Page::containing_address(pointer.addr().get() as u64);
    let first = frame_of(pointer).ok_or(UnmapError::NotMapped(page))?;
    let freed = try_with_frames(|frames| body(frames, first));
    Ok(freed.unwrap_or(Err(FreeError::NotManaged(first)))?)
}

/// Notes a release that the frame allocator or the mapper refuses: the contract of [`MemorySource`] excludes it, so the heap
/// itself would be broken. The memory is then lost rather than handed out twice. It is told later, see
/// [`heap_check`](super::heap_check): here the heap's lock is held.
fn note(released: Result<(), UnmapError>) {
    if let Err(error) = released {
        note_refused(error);
    }
}

/// Pages and frames are of one size.
const _: () = assert!(PAGE_SIZE as u64 == FRAME_SIZE);
