//! The one table, whole: every size, every alignment, every offset.

use core::alloc::Layout;

use super::{
    CLASSES, ClassIndex, LARGEST_CHUNK, LONGEST_STACK, Placement, ROWS, SMALLEST_CHUNK,
    STACKS_PER_RUN, placement,
};
use crate::units::{BLOCK_SIZE, CHUNKS_PER_STACK, LONGEST_RUN_PAGES, PAGE_SIZE, PAGES_PER_BLOCK};

/// The largest alignment tried with every size: 2 MiB, a large page.
const LARGEST_ALIGN: usize = 2 << 20;

/// Returns every power of two up to `largest`.
fn aligns_up_to(largest: usize) -> impl Iterator<Item = usize> {
    core::iter::successors(Some(1_usize), |align| align.checked_mul(2))
        .take_while(move |align| *align <= largest)
}

/// Returns what serves `size` bytes aligned to `align`.
#[track_caller]
fn placement_of(size: usize, align: usize) -> Placement {
    placement(Layout::from_size_align(size, align).expect("a valid layout"))
}

#[test]
fn rows_go_up_in_steps_of_16() {
    assert_eq!(ROWS.len(), CLASSES);
    assert_eq!(ROWS[0].0 as usize, SMALLEST_CHUNK);
    assert_eq!(ROWS[CLASSES - 1].0 as usize, LARGEST_CHUNK);
    for pair in ROWS.windows(2) {
        assert!(pair[0].0 < pair[1].0);
    }
    for (chunk_size, _) in ROWS {
        assert_eq!(chunk_size as usize % SMALLEST_CHUNK, 0);
    }
}

#[test]
fn every_stack_fits_a_run_and_four_words() {
    for index in ClassIndex::all() {
        let class = index.class();
        let pages = class.pages();
        assert!(pages <= LONGEST_RUN_PAGES);
        assert!(class.chunks_in(pages) <= STACKS_PER_RUN * CHUNKS_PER_STACK);
        assert!(class.chunks_in(class.fewest_pages()) >= 1);
        let most = class.most_pages();
        assert!(
            most <= LONGEST_STACK && class.chunks_in(most) <= STACKS_PER_RUN * CHUNKS_PER_STACK
        );
        assert!(pages <= most || pages == 1);
    }
}

#[test]
fn every_small_layout_gets_the_smallest_chunk_that_fits() {
    for align in aligns_up_to(PAGE_SIZE) {
        let mut fitting = ROWS
            .iter()
            .map(|row| row.0 as usize)
            .filter(|chunk_size| chunk_size % align == 0)
            .peekable();
        for size in 0..=LARGEST_CHUNK {
            while fitting.next_if(|chunk_size| *chunk_size < size).is_some() {}
            let smallest = *fitting.peek().expect("the largest chunk fits");
            match placement_of(size, align) {
                Placement::Chunk(class) => {
                    assert_eq!(
                        class.class().chunk_size(),
                        smallest,
                        "{size} aligned to {align}"
                    );
                }
                other => panic!("{size} aligned to {align} got {other:?}"),
            }
        }
    }
}

#[test]
fn every_larger_layout_gets_pages_enough_at_a_fitting_place() {
    for align in aligns_up_to(LARGEST_ALIGN) {
        let first = if align <= PAGE_SIZE {
            LARGEST_CHUNK + 1
        } else {
            1
        };
        for size in first..=BLOCK_SIZE {
            // Where in a block an object of that alignment can begin, the header taking the first page.
            let first_page = align.div_ceil(PAGE_SIZE);
            let fits_a_block = first_page * PAGE_SIZE + size <= BLOCK_SIZE;
            match placement_of(size, align) {
                Placement::Run { pages, align: at } => {
                    assert!(fits_a_block, "{size} aligned to {align} is too much");
                    assert!(pages * PAGE_SIZE >= size && (pages - 1) * PAGE_SIZE < size);
                    assert!(at * PAGE_SIZE % align == 0 && at + pages <= PAGES_PER_BLOCK);
                }
                Placement::Region {
                    size: bytes,
                    align: at,
                } => {
                    assert!(!fits_a_block, "{size} aligned to {align} fits a block");
                    assert!(bytes >= size && bytes - size < PAGE_SIZE);
                    assert_eq!(bytes % PAGE_SIZE, 0);
                    assert!(at >= PAGE_SIZE && at == align.max(PAGE_SIZE));
                }
                other => panic!("{size} aligned to {align} got {other:?}"),
            }
        }
    }
}

#[test]
fn nothing_at_all_gets_something_small() {
    for align in aligns_up_to(1 << 62) {
        match placement_of(0, align) {
            Placement::Chunk(class) => {
                assert_eq!(class.class().chunk_size(), align.max(SMALLEST_CHUNK));
            }
            Placement::Run { pages, .. } => assert_eq!(pages, 1),
            Placement::Region { size, .. } => assert_eq!(size, PAGE_SIZE),
            Placement::Refused => panic!("nothing aligned to {align} was refused"),
        }
    }
}

#[test]
fn huge_layouts_are_refused_or_counted_without_overflow() {
    const MOST: usize = isize::MAX as usize;
    for align in aligns_up_to(1 << 62) {
        let largest = MOST - (align - 1);
        for less in [0, 1, 15, 16, 17, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1] {
            let Some(size) = largest.checked_sub(less) else {
                continue;
            };
            match placement_of(size, align) {
                Placement::Refused => assert!(size > MOST - PAGE_SIZE),
                Placement::Region { size: bytes, .. } => {
                    assert!(
                        bytes >= size && bytes <= MOST,
                        "{size:#x} became {bytes:#x}"
                    );
                }
                other => panic!("{size:#x} aligned to {align:#x} got {other:?}"),
            }
        }
    }
}

#[test]
fn every_offset_divides_exactly() {
    for index in ClassIndex::all() {
        let class = index.class();
        let chunk_size = class.chunk_size();
        for offset in 0..BLOCK_SIZE {
            let begins = offset % chunk_size == 0;
            let expected = begins.then_some(offset / chunk_size);
            assert_eq!(class.chunk_at(offset), expected, "{offset} / {chunk_size}");
        }
    }
}

#[test]
fn chunks_waste_less_than_a_tenth() {
    let (mut asked, mut given) = (0, 0);
    let mut shares = 0.0;
    for size in 1..=LARGEST_CHUNK {
        let Placement::Chunk(class) = placement_of(size, 1) else {
            panic!("{size} bytes are a chunk");
        };
        let chunk_size = class.class().chunk_size;
        asked += size;
        given += chunk_size as usize;
        let share = f64::from(chunk_size) - f64::from(u32::try_from(size).expect("small"));
        shares += share / f64::from(chunk_size);
    }
    let wasted = given - asked;
    assert!(wasted * 10 < given, "{wasted} of {given} bytes are waste");
    let average = shares / f64::from(u32::try_from(LARGEST_CHUNK).expect("small"));
    assert!(average < 0.1, "an object wastes {average} of its chunk");
}

#[test]
fn steps_between_chunk_sizes_are_at_most_a_quarter() {
    for pair in ROWS.windows(2).filter(|pair| pair[0].0 >= 64) {
        assert!((pair[1].0 - pair[0].0) * 4 <= pair[0].0, "{pair:?}");
    }
}

#[test]
fn stacks_lose_little_to_their_tails() {
    for index in ClassIndex::all() {
        let class = index.class();
        let pages = class.pages();
        let tail = pages * PAGE_SIZE - class.chunks_in(pages) * class.chunk_size();
        let part = if class.chunk_size() < PAGE_SIZE {
            20
        } else {
            14
        };
        assert!(tail * part <= pages * PAGE_SIZE, "{class:?} loses {tail}");
        assert!(class.chunk_size() > PAGE_SIZE || class.chunks_in(pages) >= 4);
    }
}
