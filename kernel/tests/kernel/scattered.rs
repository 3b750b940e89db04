//! The heap on memory in pieces: the window of virtual addresses, and what is mapped in it.

use alloc::alloc::{alloc, dealloc, realloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use kernel::bench::clock;
use kernel::memory::frame::Frame;
use kernel::memory::frame_allocator::{FRAMES_PER_BLOCK, FrameCounts, RUNS_LOOKED_AT};
use kernel::memory::heap_source::HEAP;
use kernel::memory::mapper::{self, UnmapError};
use kernel::memory::page::{PAGE_SIZE, Page};
use kernel::memory::page_tables::PageTables;
use kernel::memory::physical::{counts, frame_pointer, memory_map, with_frames};
use kernel::memory::window::LARGEST_MAPPING;
use kernel::testing::Test;
use kernel::{println, tests};
use stack_alloc::BLOCK_SIZE;
use x86_64::instructions::interrupts::without_interrupts;

use crate::heap::free_frames_trimmed;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "scattered";
    mappings_hold_what_is_written,
    mappings_grow_and_shrink_in_place,
    mappings_have_unmapped_neighbours,
    mapping_without_enough_frames_changes_nothing,
    largest_mapping_does_not_grow,
    wrong_unmapping_is_refused,
    vector_on_scattered_memory,
    small_objects_on_scattered_memory,
    realloc_on_scattered_memory,
    alignment_on_scattered_memory,
    largest_region_can_be_had,
    large_region_behind_many_pieces_is_found,
    costs_of_regions_are_bounded,
    read_behind_a_mapping => Faults("page fault"),
    read_before_a_mapping => Faults("page fault"),
    read_after_unmapping => Faults("page fault"),
    read_of_a_freed_region => Faults(
        "no page is mapped there\n",
        "  CR2 0xffffc8", "\n  CR2 in the 1048576 bytes at 0xffffc8", " that went back to the source\n",
    ),
    code_in_a_mapping => Faults("page fault"),
};

/// All free frames, taken one by one, and some of them free again. They come back when it drops.
///
/// What is taken is written down in the frames themselves: each holds the number of the one taken before it.
pub(crate) struct Scattered {
    /// The last frame taken that is still held.
    last: Cell<Option<Frame>>,
    /// How many frames were free before.
    before: u64,
    /// How many page tables there were.
    tables: u64,
}

impl Scattered {
    /// Has every second frame free: no two are neighbours.
    pub(crate) fn new() -> Self {
        Self::with(|frame| frame.number().is_multiple_of(2))
    }

    /// Has those frames free that are to be.
    fn with(shall_be_free: impl Fn(Frame) -> bool) -> Self {
        let before = free_frames_trimmed();
        let mut last = None;
        let mut all = None;
        while let Ok(frame) = with_frames(|frames| frames.allocate_frame()) {
            write_link(frame, all);
            all = Some(frame);
        }
        while let Some(frame) = all {
            all = read_link(frame);
            if shall_be_free(frame) {
                assert_eq!(with_frames(|frames| frames.free_frame(frame)), Ok(()));
            } else {
                write_link(frame, last);
                last = Some(frame);
            }
        }
        Self {
            last: Cell::new(last),
            before,
            tables: mapper::table_frames(),
        }
    }

    /// Takes more frames, until so many are free.
    pub(crate) fn keep(&self, frames: u64) {
        while counts().free > frames {
            let frame = with_frames(|all| all.allocate_frame()).expect("some are free");
            write_link(frame, self.last.replace(Some(frame)));
        }
    }
}

impl Drop for Scattered {
    fn drop(&mut self) {
        while let Some(frame) = self.last.get() {
            self.last.set(read_link(frame));
            assert_eq!(with_frames(|frames| frames.free_frame(frame)), Ok(()));
        }
        assert_eq!(free_frames_trimmed(), self.before, "all frames come back");
        assert_eq!(
            mapper::table_frames(),
            self.tables,
            "all page tables come back"
        );
    }
}

/// Writes the number of another frame into a frame that is ours.
fn write_link(frame: Frame, other: Option<Frame>) {
    let number = other.map_or(0, Frame::number);
    // SAFETY: the frame is ours alone and mapped.
    unsafe { frame_pointer(frame).cast::<u64>().write_volatile(number) };
}

/// Reads what [`write_link`] wrote.
fn read_link(frame: Frame) -> Option<Frame> {
    // SAFETY: the frame is ours alone and mapped.
    let number = unsafe { frame_pointer(frame).cast::<u64>().read_volatile() };
    (number != 0).then(|| Frame::from_number(number))
}

/// Writes a pattern that tells pages apart.
fn write_pattern(start: NonNull<u8>, pages: u64, salt: u64) {
    let words = start.cast::<u64>().as_ptr();
    for word in 0..pages * PAGE_SIZE / 8 {
        // SAFETY: so many pages are ours, from `start` on.
        unsafe { words.add(usize_of(word)).write_volatile(word ^ salt) };
    }
}

/// Checks what [`write_pattern`] wrote.
#[track_caller]
fn check_pattern(start: NonNull<u8>, pages: u64, salt: u64) {
    let words = start.cast::<u64>().as_ptr();
    for word in 0..pages * PAGE_SIZE / 8 {
        // SAFETY: so many pages are ours, from `start` on, and written.
        let found = unsafe { words.add(usize_of(word)).read_volatile() };
        assert_eq!(found, word ^ salt, "word {word}");
    }
}

/// A number as an index.
fn usize_of(number: u64) -> usize {
    usize::try_from(number).expect("addresses have 64 bits")
}

/// Maps pages.
#[track_caller]
fn map(pages: u64, align_pages: u64) -> NonNull<u8> {
    mapper::map(pages, align_pages).expect("there are frames")
}

/// Unmaps what [`map`] mapped.
#[track_caller]
fn unmap(start: NonNull<u8>, pages: u64) {
    // SAFETY: a test unmaps what it mapped, once, and holds nothing of it.
    assert_eq!(unsafe { mapper::unmap(start, pages) }, Ok(()));
}

/// Returns the frames that are free, and those of page tables. (Some are always there: the stacks of exceptions are mapped.)
fn frames_and_tables() -> (FrameCounts, u64) {
    (counts(), mapper::table_frames())
}

fn mappings_hold_what_is_written() {
    let (before, tables) = frames_and_tables();
    for pages in [1, 2, 31, 64, 65, 511, 512, 513, 3000] {
        let (first, second) = (map(pages, 1), map(pages, 1));
        write_pattern(first, pages, 0);
        write_pattern(second, pages, u64::MAX);
        check_pattern(first, pages, 0);
        check_pattern(second, pages, u64::MAX);
        let taken = before.free - counts().free;
        assert_eq!(taken, 2 * pages + mapper::table_frames() - tables);
        unmap(first, pages);
        check_pattern(second, pages, u64::MAX);
        unmap(second, pages);
        assert_eq!(frames_and_tables(), (before, tables));
    }
}

fn mappings_grow_and_shrink_in_place() {
    let (before, tables) = frames_and_tables();
    let start = map(100, 1);
    write_pattern(start, 100, 1);
    for (pages, new_pages) in [(100, 127), (127, 100), (100, 1), (1, 90)] {
        let kept = pages.min(new_pages);
        // SAFETY: the mapping is ours, so long, and nothing of it is held.
        assert_eq!(unsafe { mapper::resize(start, pages, new_pages) }, Ok(true));
        check_pattern(start, kept, 1);
        write_pattern(start, new_pages, 1);
        assert_eq!(
            before.free - counts().free,
            new_pages + mapper::table_frames() - tables
        );
    }
    // The guard is never mapped.
    // SAFETY: as above.
    assert_eq!(unsafe { mapper::resize(start, 90, 128) }, Ok(false));
    unmap(start, 90);
    assert_eq!(counts(), before);
}

fn mappings_have_unmapped_neighbours() {
    let mappings = [map(63, 1), map(63, 1), map(64, 64), map(127, 1)];
    for start in mappings {
        let first = Page::containing_address(start.addr().get() as u64);
        for other in mappings.iter().filter(|&&other| other != start) {
            let other = Page::containing_address(other.addr().get() as u64);
            let distance = first.number().abs_diff(other.number());
            assert!(distance > 63, "{first:?} and {other:?}");
        }
    }
    for (start, pages) in mappings.into_iter().zip([63, 63, 64, 127]) {
        unmap(start, pages);
    }
}

fn mapping_without_enough_frames_changes_nothing() {
    let scattered = Scattered::new();
    scattered.keep(200);
    let (before, tables) = frames_and_tables();
    // All frames as pages leave none for the tables.
    assert!(mapper::map(200, 1).is_err());
    assert_eq!(frames_and_tables(), (before, tables));
    let start = map(150, 1);
    // SAFETY: the mapping is ours and has so many pages.
    assert_eq!(unsafe { mapper::resize(start, 150, 205) }, Ok(false));
    let taken = before.free - counts().free;
    assert_eq!(taken, 150 + mapper::table_frames() - tables);
    unmap(start, 150);
    assert_eq!(counts(), before);
    drop(scattered);
    for (pages, align) in [
        (0, 1),
        (1, 3),
        (LARGEST_MAPPING + 1, 1),
        (u64::MAX, 1),
        (1, 1 << 60),
    ] {
        assert!(mapper::map(pages, align).is_err(), "{pages} {align}");
    }
}

fn largest_mapping_does_not_grow() {
    let before = counts();
    // In a slot that is larger than that.
    let start = map(LARGEST_MAPPING - 1, 2 * LARGEST_MAPPING);
    for (pages, new_pages, can_be) in [
        (LARGEST_MAPPING - 1, LARGEST_MAPPING + 1, false),
        (LARGEST_MAPPING - 1, LARGEST_MAPPING, true),
        (LARGEST_MAPPING, LARGEST_MAPPING + 1, false),
    ] {
        // SAFETY: the mapping is ours, so long, and nothing of it is held.
        let resized = unsafe { mapper::resize(start, pages, new_pages) };
        assert_eq!(resized, Ok(can_be));
    }
    unmap(start, LARGEST_MAPPING);
    assert_eq!(counts(), before);
}

fn wrong_unmapping_is_refused() {
    let start = map(10, 1);
    let before = counts();
    let page = Page::containing_address(start.addr().get() as u64);
    let inside = start.map_addr(|address| address.saturating_add(4096));
    // SAFETY: each of these is refused, so nothing is unmapped.
    let refused = unsafe {
        [
            mapper::unmap(inside, 9),
            mapper::unmap(start, 64),
            mapper::unmap(start, 0),
        ]
    };
    assert_eq!(refused[0], Err(UnmapError::NotMapped(page.plus(1))));
    assert_eq!(refused[1..], [Err(UnmapError::NotMapped(page)); 2]);
    assert_eq!(counts(), before);
    unmap(start, 10);
    // SAFETY: as above.
    let twice = unsafe { mapper::unmap(start, 10) };
    assert_eq!(twice, Err(UnmapError::NotMapped(page)));
}

fn vector_on_scattered_memory() {
    let scattered = Scattered::new();
    assert_eq!(counts().whole_blocks, 0);
    for _ in 0..3 {
        let mut words: Vec<u64> = Vec::new();
        words
            .try_reserve_exact(1 << 17)
            .expect("1 MiB is there, in pieces");
        words.extend(0..1 << 17);
        let start = NonNull::from(words.as_slice()).cast::<u8>();
        assert!(mapper::owns(start), "{start:?} is not in the window");
        assert!((0..1 << 17).eq(words.iter().copied()), "contents were lost");
    }
    drop(scattered);
}

fn small_objects_on_scattered_memory() {
    /// An object that keeps the one before. Each page has the start of at least one.
    struct Link {
        /// How many there were before.
        number: u64,
        /// The one before.
        before: Option<Box<Self>>,
        /// Room.
        _rest: MaybeUninit<[u8; 2400]>,
    }
    let scattered = Scattered::new();
    let (mut last, mut count) = (None, 0);
    while counts().free > 500 {
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(Layout::new::<Link>()) }.cast::<Link>();
        if memory.is_null() {
            break;
        }
        // SAFETY: memory of that layout, ours, and a box's layout is its value's.
        last = unsafe {
            memory.write(Link {
                number: count,
                before: last,
                _rest: MaybeUninit::uninit(),
            });
            Some(Box::from_raw(memory))
        };
        count += 1;
    }
    let free = counts().free;
    assert!(free < 1000, "{free} frames were not of use");
    assert_eq!(HEAP.check(), Ok(()));
    // Freed one by one: dropping a chain as a whole would recurse.
    while let Some(link) = last {
        count -= 1;
        assert_eq!(link.number, count, "contents were lost");
        last = link.before;
    }
    assert_eq!(count, 0);
    drop(scattered);
}

fn realloc_on_scattered_memory() {
    let scattered = Scattered::new();
    let layout = |pages: u64| {
        Layout::from_size_align(usize_of(pages * PAGE_SIZE), 16).expect("a valid layout")
    };
    // SAFETY: the size is not zero.
    let first = unsafe { alloc(layout(300)) };
    let mut start = NonNull::new(first).expect("there is memory");
    write_pattern(start, 300, 3);
    let mut pages = 300;
    for new_pages in [400, 2000, 4000, 1000, 300, 90, 700] {
        let kept = pages.min(new_pages);
        // SAFETY: the memory came from the heap with this layout; the new size is not zero.
        let moved = unsafe { realloc(start.as_ptr(), layout(pages), layout(new_pages).size()) };
        start = NonNull::new(moved).expect("there is memory");
        check_pattern(start, kept, 3);
        write_pattern(start, new_pages, 3);
        pages = new_pages;
    }
    // SAFETY: as above.
    unsafe { dealloc(start.as_ptr(), layout(pages)) };
    drop(scattered);
}

fn alignment_on_scattered_memory() {
    let scattered = Scattered::new();
    for shift in [12, 16, 18, 20, 21, 22] {
        for size in [1, 5000, BLOCK_SIZE, 1 << 20] {
            let layout = Layout::from_size_align(size, 1 << shift).expect("a valid layout");
            // SAFETY: the size is not zero.
            let memory = unsafe { alloc(layout) };
            assert!(!memory.is_null(), "{layout:?}");
            assert!(
                memory.addr().is_multiple_of(1 << shift),
                "{layout:?} at {memory:?}"
            );
            // SAFETY: `size` bytes, ours, and given back with their layout.
            unsafe {
                slice::from_raw_parts_mut(memory, size).fill(0xaa);
                dealloc(memory, layout);
            }
        }
    }
    drop(scattered);
}

/// Has the heap give so many bytes, if it can.
fn can_be_had(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

fn largest_region_can_be_had() {
    let limit = usize_of(LARGEST_MAPPING * PAGE_SIZE);
    // Memory in one piece, or a few.
    HEAP.trim();
    let in_a_row = usize_of(counts().blocks_in_a_row) * BLOCK_SIZE;
    let largest = HEAP.statistics().largest_available;
    // But for two blocks for the record of the region.
    assert!(
        largest > limit && (in_a_row - 2 * BLOCK_SIZE..=in_a_row).contains(&largest),
        "{largest} bytes"
    );
    assert!(can_be_had(largest));
    // All in pieces: up to the limit.
    let scattered = Scattered::new();
    let largest = HEAP.statistics().largest_available;
    assert!(
        (limit - 2 * BLOCK_SIZE..=limit).contains(&largest),
        "{largest} bytes"
    );
    assert!(can_be_had(largest) && can_be_had(limit) && !can_be_had(limit + 1));
    // The same, and less than the limit: all but the page tables.
    scattered.keep(1000);
    let largest = HEAP.statistics().largest_available as u64;
    let least = (1000 - PageTables::most_tables(1000) - 2 * FRAMES_PER_BLOCK) * PAGE_SIZE;
    assert!(largest >= least, "{largest} bytes");
    assert!(can_be_had(usize_of(largest)));
    let free = counts().free;
    assert!(mapper::map(free - PageTables::most_tables(free) + 1, 1).is_err());
    let largest = mapper::largest();
    unmap(map(largest, 1), largest);
    drop(scattered);
}

/// Low memory in pieces of a block, more than are looked at; behind them one that is larger than the window would serve.
fn large_region_behind_many_pieces_is_found() {
    let map = memory_map().expect("the map is kept at boot");
    let middle = map.usable_end() / 2;
    let scattered = Scattered::with(|frame| {
        let block = frame.number() / FRAMES_PER_BLOCK;
        block.is_multiple_of(2) || frame.number() > middle
    });
    assert!(counts().whole_blocks > counts().blocks_in_a_row + RUNS_LOOKED_AT as u64);
    let largest = HEAP.statistics().largest_available;
    assert!(
        largest > usize_of(LARGEST_MAPPING * PAGE_SIZE),
        "{largest} bytes"
    );
    assert!(can_be_had(largest));
    drop(scattered);
}

/// Prints what regions cost. The figures in the documentation of mapper and source are from here, in instructions:
///
/// ```sh
/// STACK_ALLOC_ICOUNT=true STACK_ALLOC_MEM=2G STACK_ALLOC_BOOT=bios cargo test --release -- --nocapture costs
/// ```
fn costs_of_regions_are_bounded() {
    /// Instructions of a release build that the largest mapping may take, however frames are scattered.
    const MOST: u64 = 900_000;
    /// Returns what the clock says to `body`.
    fn cost<T>(body: impl FnOnce() -> T) -> (T, u64) {
        without_interrupts(|| {
            let start = clock::now();
            let result = body();
            (result, clock::now() - start)
        })
    }
    let is_exact = without_interrupts(clock::counts_instructions) && !cfg!(debug_assertions);
    for mib in [1, 10, 100, 1000] {
        let take = || with_frames(|all| all.allocate_region(mib * 256, 1));
        if let (Ok(region), taken) = cost(take) {
            let (freed, given_back) = cost(|| with_frames(|all| all.free_region(region)));
            assert_eq!(freed, Ok(()));
            println!("neighbours, {mib} MiB: {taken} to take, {given_back} to give back");
            assert!(!is_exact || taken.max(given_back) < 2000 + 100 * mib);
        }
    }
    // Those whose number has none of these bits are free.
    for (name, bits) in [
        ("every second block", FRAMES_PER_BLOCK),
        ("every second frame", 1),
        ("a frame of each block", FRAMES_PER_BLOCK - 1),
    ] {
        let scattered = Scattered::with(|frame| frame.number() & bits == 0);
        let search = || with_frames(|all| all.allocate_region(LARGEST_MAPPING + 1, 1));
        let (found, searched) = cost(search);
        assert!(found.is_err(), "they are no neighbours");
        println!("{name}: {searched} to search in vain");
        assert!(!is_exact || searched < 5000);
        for pages in [1, 64, 256, 1024, LARGEST_MAPPING] {
            if pages > mapper::largest() {
                continue;
            }
            let (start, mapped) = cost(|| map(pages, 1));
            let ((), unmapped) = cost(|| unmap(start, pages));
            println!("{name}, {pages} pages: {mapped} to map, {unmapped} to unmap");
            assert!(!is_exact || mapped.max(unmapped) < MOST);
        }
        drop(scattered);
    }
}

/// Reads a byte that should not be there.
fn read(address: usize) {
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { core::arch::asm!("mov al, [{}]", in(reg) address, out("al") _) };
}

fn read_behind_a_mapping() {
    let start = map(63, 1).addr().get();
    read(start + 63 * 4096 - 1);
    read(start + 63 * 4096);
}

fn read_before_a_mapping() {
    // The second slot: the first one's last page lies before it.
    let start = [map(63, 1), map(63, 1)].map(|start| start.addr().get());
    read(start[1]);
    read(start[1] - 1);
}

fn read_after_unmapping() {
    let start = map(3, 1);
    read(start.addr().get() + 4096);
    unmap(start, 3);
    read(start.addr().get() + 4096);
}

fn read_of_a_freed_region() {
    let _scattered = Scattered::new();
    let layout = Layout::from_size_align(1 << 20, 8).expect("a valid layout");
    // SAFETY: the size is not zero.
    let region = unsafe { alloc(layout) };
    assert!(!region.is_null());
    read(region.addr() + 5000);
    // SAFETY: allocated above with this layout.
    unsafe { dealloc(region, layout) };
    read(region.addr() + 5000);
}

fn code_in_a_mapping() {
    let start = map(1, 1);
    // SAFETY: the page is ours; then none: the call faults on purpose.
    unsafe {
        start.write(0xc3);
        core::arch::asm!("call {}", in(reg) start.as_ptr());
    };
}
