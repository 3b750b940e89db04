//! The ready-made sources of fixed memory, without a heap.

mod common;

use core::mem::MaybeUninit;
use std::thread;

use stack_alloc::{
    BLOCK_SIZE, MemorySource, NoMemory, NoSuchEnd, Owns, PAGE_SIZE, Region, Regions, TooSmall,
};

use common::Numbers;
use common::fixed_memory::FixedMemory;

#[test]
fn an_empty_source_has_nothing() {
    let source = Regions::new();
    assert_eq!(source.get_block(), None);
    assert_eq!(source.get_part(PAGE_SIZE, &|_| true), None);
    assert_eq!(source.get_region(PAGE_SIZE, PAGE_SIZE), None);
    assert_eq!(source.largest_region(), 0);
    assert_eq!((source.total_bytes(), source.free_bytes()), (0, 0));
    assert_eq!(source.addresses(), None);
    assert!(!source.owns(0));
}

#[test]
fn a_range_of_100_kib_is_a_part_of_24_pages() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = arena.source(0x5000, 100 * 1024);
    assert_eq!(source.total_bytes(), 24 * PAGE_SIZE);
    assert_eq!(source.get_block(), None);
    assert_eq!(source.get_part(25 * PAGE_SIZE, &|_| true), None);
    let part = source
        .get_part(PAGE_SIZE, &|_| true)
        .expect("24 pages are free");
    assert_eq!(part.len(), 24 * PAGE_SIZE);
    assert_eq!(source.get_part(PAGE_SIZE, &|_| true), None);
}

#[test]
fn one_page_is_too_small_and_two_are_one() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = Regions::new();
    assert_eq!(arena.add_to(&source, 0, PAGE_SIZE), Err(TooSmall));
    assert_eq!(arena.add_to(&source, 0, 0), Err(TooSmall));
    assert_eq!(arena.add_to(&source, 1, 10), Err(TooSmall));
    assert_eq!(arena.add_to(&source, 1, 3 * PAGE_SIZE - 2), Err(TooSmall));
    assert!((0..3).all(|page| arena.is_untouched(page * PAGE_SIZE)));
    assert_eq!(arena.add_to(&source, 0, 2 * PAGE_SIZE), Ok(()));
    let region = source.get_region(PAGE_SIZE, PAGE_SIZE);
    assert_eq!(region, Some(arena.at(PAGE_SIZE)));
}

#[test]
fn the_ragged_ends_of_a_range_become_parts_when_no_block_is_left() {
    let arena = FixedMemory::new(4 * BLOCK_SIZE);
    // From 10 pages before the second block to 20 pages behind the third.
    let start = BLOCK_SIZE - 10 * PAGE_SIZE;
    let source = arena.source(start, 2 * BLOCK_SIZE + 30 * PAGE_SIZE);
    for _ in 0..2 {
        assert!(source.get_block().is_some());
    }
    assert_eq!(source.get_block(), None);
    let part = || {
        source
            .get_part(PAGE_SIZE, &|_| true)
            .map(|part| (part.cast(), part.len()))
    };
    let behind = (arena.at(3 * BLOCK_SIZE), 20 * PAGE_SIZE);
    let before = (arena.at(start + PAGE_SIZE), 9 * PAGE_SIZE);
    assert_eq!(part(), Some(behind), "the longest first");
    assert_eq!(part(), Some(before));
    assert_eq!(part(), None);
    assert_eq!(source.free_bytes(), 0);
}

#[test]
fn the_last_block_goes_when_nothing_else_is_free() {
    let arena = FixedMemory::new(2 * BLOCK_SIZE);
    let source = arena.source(BLOCK_SIZE - PAGE_SIZE, BLOCK_SIZE + PAGE_SIZE);
    assert_eq!(source.free_bytes(), BLOCK_SIZE);
    assert_eq!(source.get_block(), Some(arena.at(BLOCK_SIZE)));
    assert_eq!(source.get_block(), None);
}

#[test]
fn the_longest_part_is_chosen_among_all_ranges() {
    let arena = FixedMemory::new(4 * BLOCK_SIZE);
    let source = arena.source(0, 10 * PAGE_SIZE);
    arena.add_to(&source, BLOCK_SIZE, 30 * PAGE_SIZE).unwrap();
    arena
        .add_to(&source, 2 * BLOCK_SIZE, 20 * PAGE_SIZE)
        .unwrap();
    for pages in [29, 19, 9] {
        let part = source
            .get_part(PAGE_SIZE, &|_| true)
            .expect("there is a range more");
        assert_eq!(part.len(), pages * PAGE_SIZE);
    }
}

#[test]
fn blocks_leave_the_low_end_to_regions() {
    let arena = FixedMemory::new(8 * BLOCK_SIZE);
    let source = arena.source(0, 8 * BLOCK_SIZE);
    let region = source.get_region(2 * BLOCK_SIZE, PAGE_SIZE).unwrap();
    let block = source.get_block().unwrap();
    assert_eq!(region, arena.at(PAGE_SIZE));
    assert_eq!(block, arena.at(7 * BLOCK_SIZE));
    // SAFETY: just handed out with this size.
    unsafe { source.release_region(region, 2 * BLOCK_SIZE) };
    assert_eq!(source.largest_region(), 7 * BLOCK_SIZE - PAGE_SIZE);
}

#[test]
fn a_region_of_exactly_the_largest_run_succeeds_and_one_page_more_does_not() {
    let arena = FixedMemory::new(6 * BLOCK_SIZE);
    let source = arena.source(0x1010, 4 * BLOCK_SIZE + 257 * 1024);
    let mut numbers = Numbers::new(7);
    let mut out = Vec::new();
    for _ in 0..40 {
        let largest = source.largest_region();
        assert_eq!(source.get_region(largest + PAGE_SIZE, PAGE_SIZE), None);
        let all = source
            .get_region(largest, PAGE_SIZE)
            .expect("it was said to fit");
        // SAFETY: just handed out with this size.
        unsafe { source.release_region(all, largest) };
        let size = (1 + numbers.below(8)) * PAGE_SIZE;
        out.extend(
            source
                .get_region(size, PAGE_SIZE)
                .map(|region| (region, size)),
        );
        if let (0, Some((region, size))) = (numbers.below(2), numbers.pick(&mut out)) {
            // SAFETY: it is out with this size.
            unsafe { source.release_region(region, size) };
        }
    }
}

#[test]
fn regions_are_aligned_beyond_a_block() {
    let arena = FixedMemory::new(9 * BLOCK_SIZE);
    let source = arena.source(0, 9 * BLOCK_SIZE);
    let align = 4 * BLOCK_SIZE;
    let places = [4, 8].map(|block| arena.at(block * BLOCK_SIZE));
    for place in places {
        assert_eq!(source.get_region(PAGE_SIZE, align), Some(place));
    }
    assert_eq!(
        source.get_region(PAGE_SIZE, align),
        None,
        "page 0 is a book"
    );
    assert_eq!(source.get_region(PAGE_SIZE, 1 << 62), None);
}

#[test]
fn senseless_sizes_and_alignments_are_a_no() {
    let arena = FixedMemory::new(2 * BLOCK_SIZE);
    let source = arena.source(0, 2 * BLOCK_SIZE);
    assert_eq!(source.get_region(0, PAGE_SIZE), None);
    assert_eq!(source.get_region(PAGE_SIZE, 0), None);
    assert_eq!(source.get_region(usize::MAX, PAGE_SIZE), None);
    assert_eq!(source.get_region(PAGE_SIZE, usize::MAX), None);
    assert_eq!(source.get_part(usize::MAX, &|_| true), None);
    assert_eq!(source.get_part(BLOCK_SIZE, &|_| true), None);
    assert_eq!(source.free_bytes(), source.total_bytes());
}

#[test]
fn a_region_grows_over_the_seam_of_an_extension() {
    let arena = FixedMemory::new(3 * BLOCK_SIZE);
    let source = arena.source(0, BLOCK_SIZE);
    let size = 63 * PAGE_SIZE;
    let region = source.get_region(size, PAGE_SIZE).unwrap();
    // SAFETY: the region is out with this size, here and below.
    let resize = |size, new_size| unsafe { source.resize_region(region, size, new_size) };
    assert!(!resize(size, size + PAGE_SIZE));
    assert_eq!(arena.extend(&source, BLOCK_SIZE, BLOCK_SIZE), Ok(()));
    let all = size + BLOCK_SIZE;
    assert!(resize(size, all));
    // SAFETY: the region has this size now.
    unsafe { region.write_bytes(1, all) };
    assert!(!resize(all, all + PAGE_SIZE));
    assert!(resize(all, PAGE_SIZE));
    assert_eq!(source.free_bytes(), all - PAGE_SIZE);
    // SAFETY: the region has this size now.
    unsafe { source.release_region(region, PAGE_SIZE) };
    assert_eq!(source.get_region(all, PAGE_SIZE), Some(region));
}

#[test]
fn less_than_a_page_adds_up() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = arena.source(0x123, 3 * PAGE_SIZE);
    assert_eq!(source.total_bytes(), PAGE_SIZE);
    let mut end = 0x123 + 3 * PAGE_SIZE;
    for _ in 0..200 {
        assert_eq!(arena.extend(&source, end, 101), Ok(()));
        end += 101;
        let pages = end / PAGE_SIZE - 2;
        assert_eq!(source.total_bytes(), pages * PAGE_SIZE);
        assert_eq!(
            source.addresses(),
            Some(arena.address(PAGE_SIZE)..arena.address(end))
        );
    }
    assert_eq!(source.free_bytes(), source.total_bytes());
    assert_eq!(arena.extend(&source, end, 0), Ok(()));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of mebibytes")]
fn where_a_page_of_books_is_full_an_extension_becomes_a_range_of_its_own() {
    const FULL: usize = 124 << 20;
    let arena = FixedMemory::new(FULL + 4 * BLOCK_SIZE);
    let source = arena.source(0, FULL - 2 * BLOCK_SIZE);
    assert_eq!(source.largest_region(), FULL - 2 * BLOCK_SIZE - PAGE_SIZE);
    assert_eq!(
        arena.extend(&source, FULL - 2 * BLOCK_SIZE, 3 * BLOCK_SIZE),
        Ok(())
    );
    assert_eq!(source.largest_region(), FULL - PAGE_SIZE);
    assert_eq!(source.total_bytes(), FULL + BLOCK_SIZE - 2 * PAGE_SIZE);
    assert_eq!(
        arena.extend(&source, FULL + BLOCK_SIZE, 3 * BLOCK_SIZE),
        Ok(())
    );
    assert_eq!(source.total_bytes(), FULL + 4 * BLOCK_SIZE - 2 * PAGE_SIZE);
    let addresses = arena.address(0)..arena.address(FULL + 4 * BLOCK_SIZE);
    assert_eq!(source.addresses(), Some(addresses));
    // Either range is contiguous up to the seam, and none reaches across.
    let second = source.get_region(4 * BLOCK_SIZE - PAGE_SIZE, PAGE_SIZE);
    assert_eq!(second, Some(arena.at(FULL + PAGE_SIZE)));
    let first = source.get_region(FULL - PAGE_SIZE, PAGE_SIZE);
    assert_eq!(first, Some(arena.at(PAGE_SIZE)));
    assert_eq!(source.free_bytes(), 0);
}

#[test]
fn where_no_range_ends_nothing_is_extended() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = arena.source(0, 3 * PAGE_SIZE);
    for offset in [0, 3 * PAGE_SIZE - 1, 3 * PAGE_SIZE + 1, 4 * PAGE_SIZE] {
        assert_eq!(arena.extend(&source, offset, PAGE_SIZE), Err(NoSuchEnd));
    }
    assert_eq!(source.total_bytes(), 2 * PAGE_SIZE);
    assert_eq!(
        source.addresses(),
        Some(arena.address(0)..arena.address(3 * PAGE_SIZE))
    );
}

#[test]
fn a_source_owns_its_ranges_and_nothing_between() {
    let arena = FixedMemory::new(4 * BLOCK_SIZE);
    let source = arena.source(0, BLOCK_SIZE);
    arena.add_to(&source, 2 * BLOCK_SIZE, BLOCK_SIZE).unwrap();
    for (offset, owned) in [
        (0, true),
        (BLOCK_SIZE - 1, true),
        (BLOCK_SIZE, false),
        (2 * BLOCK_SIZE - 1, false),
        (2 * BLOCK_SIZE, true),
        (3 * BLOCK_SIZE - 1, true),
        (3 * BLOCK_SIZE, false),
    ] {
        assert_eq!(source.owns(arena.address(offset)), owned, "{offset:#x}");
    }
    assert_eq!(
        source.addresses(),
        Some(arena.address(0)..arena.address(3 * BLOCK_SIZE))
    );
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "memory goes back once")]
fn a_second_release_is_noticed_in_debug_builds() {
    let arena = FixedMemory::new(2 * BLOCK_SIZE);
    let source = arena.source(0, 2 * BLOCK_SIZE);
    let block = source.get_block().unwrap();
    // SAFETY: just handed out.
    unsafe { source.release_block(block) };
    // SAFETY: a broken promise; what the source does about it is the test.
    unsafe { source.release_block(block) };
}

#[test]
#[cfg(not(debug_assertions))]
fn a_wrong_release_changes_nothing() {
    let arena = FixedMemory::new(2 * BLOCK_SIZE);
    let source = arena.source(0, 2 * BLOCK_SIZE);
    let block = source.get_block().unwrap();
    let free = source.free_bytes();
    for (offset, size) in [
        (0, PAGE_SIZE),
        (PAGE_SIZE, PAGE_SIZE),
        (BLOCK_SIZE + 1, PAGE_SIZE),
    ] {
        // SAFETY: a broken promise; what the source does about it is the test.
        unsafe { source.release_region(arena.at(offset), size) };
    }
    // SAFETY: as above.
    unsafe { source.release_region(block, 2 * BLOCK_SIZE) };
    assert_eq!(source.free_bytes(), free);
}

#[test]
fn a_source_can_be_sent_to_another_thread() {
    let arena = FixedMemory::new(2 * BLOCK_SIZE);
    let source = arena.region(0, 2 * BLOCK_SIZE);
    let free = source.free_bytes();
    let after = thread::spawn(move || {
        source.get_region(PAGE_SIZE, PAGE_SIZE).expect("it is free");
        source.free_bytes()
    });
    assert_eq!(after.join().unwrap(), free - PAGE_SIZE);
}

#[test]
fn a_region_is_what_regions_make_of_the_same_memory() {
    let arena = FixedMemory::new(6 * BLOCK_SIZE);
    let lazy = arena.region(0x1010, 2 * BLOCK_SIZE);
    let eager = arena.source(0x1010 + 3 * BLOCK_SIZE, 2 * BLOCK_SIZE);
    assert!(
        arena.is_untouched(2 * PAGE_SIZE),
        "nothing was asked for yet"
    );
    assert_eq!(lazy.total_bytes(), eager.total_bytes());
    let block = lazy.get_block().unwrap();
    assert_eq!(
        Some(block.addr().get() + 3 * BLOCK_SIZE),
        eager.get_block().map(|block| block.addr().get())
    );
    let part = lazy.get_part(PAGE_SIZE, &|_| true).unwrap();
    assert_eq!(
        part.len(),
        eager.get_part(PAGE_SIZE, &|_| true).unwrap().len()
    );
    assert_eq!(lazy.largest_region(), eager.largest_region());
    // SAFETY: both are out.
    unsafe { lazy.release_block(block) };
    // SAFETY: as above.
    unsafe { lazy.release_part(part) };
    let largest = lazy.largest_region();
    let region = lazy.get_region(largest, PAGE_SIZE).unwrap();
    assert!(lazy.owns(region.addr().get()));
    assert!(!lazy.owns(arena.address(0)));
    // SAFETY: it is out with this size.
    assert!(unsafe { lazy.resize_region(region, largest, PAGE_SIZE) });
    // SAFETY: it is out with this size.
    unsafe { lazy.release_region(region, PAGE_SIZE) };
    assert_eq!(lazy.free_bytes(), lazy.total_bytes());
    assert_eq!(
        lazy.addresses(),
        Some(arena.address(2 * PAGE_SIZE)..arena.address(0x1010 + 2 * BLOCK_SIZE))
    );
}

#[test]
fn a_region_that_is_too_small_has_nothing() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = arena.region(1, 2 * PAGE_SIZE);
    assert_eq!(source.get_part(PAGE_SIZE, &|_| true), None);
    assert_eq!(source.total_bytes(), 0);
    assert_eq!(source.addresses(), None);
}

#[test]
fn a_static_slice_makes_a_region_in_a_constant() {
    static mut MEMORY: [MaybeUninit<u8>; 100 * 1024] = [MaybeUninit::uninit(); 100 * 1024];
    thread_local! {
        static SOURCE: Region = const {
            let memory = &raw mut MEMORY;
            // SAFETY: nothing else names `MEMORY`, and no thread but this test's names `SOURCE`.
            Region::from_static(unsafe { &mut *memory })
        };
    }
    let region = SOURCE.with(|source| source.get_region(20 * PAGE_SIZE, PAGE_SIZE));
    assert!(region.is_some());
}

#[test]
fn no_memory_says_no() {
    let source = NoMemory;
    assert_eq!(source.get_block(), None);
    assert_eq!(source.get_part(PAGE_SIZE, &|_| true), None);
    assert_eq!(source.get_region(PAGE_SIZE, PAGE_SIZE), None);
    assert_eq!(source.largest_region(), 0);
    assert!(!source.owns(PAGE_SIZE));
}
