//! The one frame allocator of the machine, and where frames are found in the address space.

use core::ptr::NonNull;
use core::slice;

use bootloader_api::info::MemoryRegion;
use lock_api::Mutex;
use spin::Once;

use super::PHYSICAL_MEMORY_BASE;
use super::books::{Books, LEAST_FRAMES, TooLittleMemory};
use super::frame::{FRAME_SIZE, Frame};
use super::frame_account::FrameAccount;
use super::frame_allocator::{
    FRAMES_PER_BLOCK, FrameAllocator, FrameCounts, FrameStatistics, RunWalk,
};
use super::heap_source::HEAP;
use super::mapper;
use super::memory_map::MemoryMap;
use super::pointer::pointer_to;
use crate::lock::{MaskingLock, named_lock};
use crate::{cpu, stacks};

named_lock!(FramesLock, "the frame allocator's lock");

/// All usable frames of the machine. `None` until [`init_frames`].
static FRAMES: Mutex<MaskingLock<FramesLock>, Option<FrameAllocator<'static>>> = Mutex::new(None);

/// Where the books are.
static BOOKS: Once<Books> = Once::new();

/// How many steps of a walk over all frames are made with interrupts masked at a time.
pub const WALK_STEPS: usize = 16;

/// The map that the frames came from.
static MEMORY_MAP: Once<MemoryMap<'static>> = Once::new();

/// Keeps the boot loader's map of memory, sorted; [`memory_map`] gives it from then on.
pub fn init_memory_map(regions: &'static mut [MemoryRegion]) -> MemoryMap<'static> {
    *MEMORY_MAP.call_once(|| MemoryMap::new(regions))
}

/// Returns the machine's memory map; `None` before [`init_memory_map`].
#[must_use]
pub fn memory_map() -> Option<MemoryMap<'static>> {
    MEMORY_MAP.get().copied()
}

/// Builds the frame allocator out of the map, and the window. Their books take the first range of frames that is long enough.
///
/// # Errors
///
/// [`TooLittleMemory`], where there is no room for the books and a few blocks.
///
/// # Safety
///
/// 1. All physical memory is mapped, writable, at [`PHYSICAL_MEMORY_BASE`].
/// 2. Nobody uses a frame that `map` calls usable, now or later, but through the frame allocator.
/// 3. Nobody else changes page tables for the addresses of the [window](mapper::WINDOW_BASE).
/// 4. It is called once.
pub unsafe fn init_frames(map: MemoryMap<'static>) -> Result<(), TooLittleMemory> {
    let books = Books::plan(map)?;
    let words = books.words + books.window_words;
    let start = frame_pointer(books.frames.first).cast::<u64>().as_ptr();
    // SAFETY: the frames of the books are mapped (1), nobody else's (2), and long enough for the words.
    unsafe { start.write_bytes(0, words) };
    // SAFETY: as above, and the words are written now. The frames are left out below, so they stay the books' alone; a
    // second call, which would alias, is excluded (4).
    let memory = unsafe { slice::from_raw_parts_mut(start, words) };
    let (memory, window_memory) = memory.split_at_mut(books.words);
    let mut frames = FrameAllocator::new(books.end, memory);
    for piece in map.usable_ranges().flat_map(|range| books.without(range)) {
        let added = frames.add(piece);
        debug_assert_eq!(added, Ok(()), "the ranges of a map are disjoint");
    }
    let counts = frames.counts();
    if counts.whole_blocks == 0 {
        let found = counts.free;
        return Err(TooLittleMemory {
            found,
            needed: LEAST_FRAMES,
        });
    }
    *FRAMES.lock() = Some(frames);
    BOOKS.call_once(|| books);
    // SAFETY: 1, 3 and 4 are asked of our caller too, and the boot loader's page tables are never replaced.
    unsafe { mapper::init(window_memory, counts.total) };
    Ok(())
}

/// Runs `body` with the frame allocator, interrupts masked and its lock held: no printing and no allocating in there.
/// `None` before [`init_frames`].
pub fn try_with_frames<T>(body: impl FnOnce(&mut FrameAllocator<'static>) -> T) -> Option<T> {
    FRAMES.lock().as_mut().map(body)
}

/// Runs `body` with the frame allocator, like [`try_with_frames`].
///
/// # Panics
///
/// If called before [`init_frames`]. The lock is not held then.
pub fn with_frames<T>(body: impl FnOnce(&mut FrameAllocator<'static>) -> T) -> T {
    let result = try_with_frames(body);
    result.expect("the frame allocator is built before the first frame is asked for")
}

/// Returns how many frames there are and how many are free, in constant time.
#[must_use]
pub fn counts() -> FrameCounts {
    with_frames(|frames| frames.counts())
}

/// Returns what the frame allocator has, with the longest run of free frames. The search for that one lets interrupts in every
/// [`WALK_STEPS`] steps, so it is a picture of a moving thing; the counts are of one moment.
#[must_use]
pub fn statistics() -> FrameStatistics {
    let mut walk = RunWalk::default();
    while !with_frames(|frames| frames.walk(&mut walk, WALK_STEPS)) {}
    with_frames(|frames| frames.statistics_after(&walk))
}

/// Asks everybody who has which frames, at one moment: other CPUs stand still meanwhile.
///
/// A heap of one's own (such as the bench's) and frames that were taken by hand appear as missing.
///
/// # Panics
///
/// If interrupts are masked: see [`cpu::alone`].
#[must_use]
pub fn account() -> FrameAccount {
    // Constant time, but for the table of stacks, which has a fixed length.
    cpu::alone(|| {
        let counts = counts();
        let books = BOOKS.get().map_or(0, |books| books.frames.len());
        FrameAccount {
            usable: counts.total + books,
            books,
            free: counts.free,
            heap: HEAP.statistics().bytes_held as u64 / FRAME_SIZE,
            tables: mapper::table_frames(),
            stacks: stacks::guarded_frames(),
        }
    })
}

/// Returns a pointer to the first byte of a frame, in the mapping of all physical memory.
#[must_use]
pub fn frame_pointer(frame: Frame) -> NonNull<u8> {
    let pointer = pointer_to(PHYSICAL_MEMORY_BASE + frame.start_address());
    NonNull::new(pointer).expect("the mapping does not start at address 0")
}

/// Returns the frame that a pointer of [`frame_pointer`] is in; `None` for one that is not in that mapping, but below it or in
/// the window.
#[must_use]
pub fn frame_of(pointer: NonNull<u8>) -> Option<Frame> {
    let address = pointer.addr().get() as u64;
    (PHYSICAL_MEMORY_BASE..mapper::WINDOW_BASE)
        .contains(&address)
        .then(|| Frame::containing_address(address - PHYSICAL_MEMORY_BASE))
}

/// A block has as many bytes as the heap says.
const _: () = assert!(FRAMES_PER_BLOCK * FRAME_SIZE == stack_alloc::BLOCK_SIZE as u64);
