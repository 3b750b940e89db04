//! Parts of blocks: a heap of a few pages anywhere in a window of 256 KiB is a heap like any other.

mod common;

use core::iter::once;

use common::arena::{
    Arena, ArenaHeap, Kind, Rules, WINDOW, assert_arena_empty, assert_arena_sound, churn, free_all,
};
use common::{Numbers, Object, assert_apart, layout, remember, seen};
use stack_alloc::{Allocator, KEPT_BLOCKS, MisuseKind, ObjectKind, ObjectState, PAGE_SIZE, Place};

/// Creates a heap whose source has nothing but pages `start..start + pages` of one window.
fn heap_of_part(start: usize, pages: usize) -> ArenaHeap {
    let range = start..start + pages;
    Allocator::new(Arena::new(1, [range], Rules::PARTS))
}

/// Every first page and length of a part: it has a header and at least one page more. Miri, which is slow, takes a few.
fn every_part() -> impl Iterator<Item = (usize, usize)> {
    let step = if cfg!(miri) { 13 } else { 1 };
    let parts = (0..WINDOW).flat_map(|start| (2..WINDOW).map(move |pages| (start, pages)));
    parts
        .filter(|(start, pages)| start + pages <= WINDOW)
        .step_by(step * step)
}

/// Allocates objects of one layout until there is no memory.
fn fill_up(heap: &ArenaHeap, size: usize) -> Vec<Object> {
    core::iter::from_fn(|| Object::try_new(heap, layout(size, 1), 1)).collect()
}

#[test]
fn every_page_but_the_first_of_every_part_is_used() {
    for (start, pages) in every_part() {
        let heap = heap_of_part(start, pages);
        let objects = fill_up(&heap, PAGE_SIZE);
        let mut places: Vec<_> = objects.iter().map(|object| object.range().start).collect();
        places.sort_unstable();
        let behind_header = start + 1..start + pages;
        let expected: Vec<_> = behind_header
            .map(|page| heap.source().address(page))
            .collect();
        assert_eq!(places, expected, "{pages} pages from {start} on");
        assert_arena_sound(&heap);
        assert_eq!(heap.statistics().bytes_held, pages * PAGE_SIZE);
        assert_eq!(heap.statistics().free_in_pages, 0);
        free_all(&heap, objects);
        assert_eq!(
            heap.statistics().bytes_held,
            pages * PAGE_SIZE,
            "it is kept"
        );
        assert_arena_empty(&heap);
        assert_eq!(heap.source().free_pages(), pages);
    }
}

#[test]
fn every_part_serves_runs_of_every_length_it_has() {
    for (start, pages) in every_part() {
        let heap = heap_of_part(start, pages);
        let first = heap.source().address(start + 1);
        for length in 5..=pages {
            let run = Object::try_new(&heap, layout(length * PAGE_SIZE, 8), 1);
            assert_eq!(run.is_some(), length < pages, "{length} in {pages}");
            if let Some(run) = run {
                assert_eq!(run.range().start, first);
                assert_eq!(
                    heap.statistics().longest_free_run,
                    (pages - 1 - length) * PAGE_SIZE
                );
                run.free(&heap);
            }
        }
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_part_serves_aligned_runs_wherever_one_fits() {
    for (start, pages) in every_part().filter(|(_, pages)| pages % 3 == 0) {
        let heap = heap_of_part(start, pages);
        // The part is in hand, its second page taken.
        let chunk = Object::new(&heap, layout(PAGE_SIZE, 1), 1);
        for align in [2, 4, 8, 16, 32] {
            for length in 1..pages {
                let fits = (start + 2..start + pages)
                    .filter(|first| first % align == 0 && align + length <= WINDOW)
                    .any(|first| first + length <= start + pages);
                let asked = layout(length * PAGE_SIZE, align * PAGE_SIZE);
                let run = Object::try_new(&heap, asked, 2);
                assert_eq!(
                    run.is_some(),
                    fits,
                    "{asked:?} in {pages} pages from {start}"
                );
                if let Some(run) = run {
                    run.free(&heap);
                }
            }
        }
        chunk.free(&heap);
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_fresh_part_is_long_enough_for_the_aligned_run_it_was_asked_for() {
    for (start, pages) in every_part() {
        for align in [2, 8, 32] {
            for length in 1..=pages.saturating_sub(align) {
                let heap = heap_of_part(start, pages);
                let asked = layout(length * PAGE_SIZE, align * PAGE_SIZE);
                Object::new(&heap, asked, 1).free(&heap);
                assert_eq!(heap.source().requests(), 2, "a block, then a part");
                assert_arena_empty(&heap);
                if length > 3 {
                    break;
                }
            }
        }
    }
}

#[test]
fn small_heaps_at_every_place_survive_random_operations() {
    for pages in [2, 3, 25, 63] {
        for start in (0..=WINDOW - pages).step_by(if cfg!(miri) { 40 } else { 1 }) {
            let heap = heap_of_part(start, pages);
            let mut numbers = Numbers::new((start * WINDOW + pages) as u64);
            let steps = if cfg!(miri) { 40 } else { 400 };
            let served = churn(&heap, &mut numbers, steps, 12);
            assert!(served > 0, "nothing fits {pages} pages");
            assert_arena_empty(&heap);
            assert_eq!(heap.source().free_pages(), pages);
        }
    }
}

#[test]
fn blocks_parts_and_regions_mix() {
    for seed in 0..if cfg!(miri) { 2 } else { 60 } {
        let mut numbers = Numbers::new(seed);
        // The end of a window, two whole ones, pieces of others.
        let pages = [30..64 + 128, 200..215, 220..256, 257..300, 330..350];
        let rules = Rules {
            regions: seed % 3 > 0,
            one_part_a_window: seed % 2 == 0,
            resizes: seed % 5 > 0,
            ..Rules::ALL
        };
        let heap = Allocator::new(Arena::new(6, pages, rules));
        let free = heap.source().free_pages();
        let steps = if cfg!(miri) { 100 } else { 1500 };
        churn(&heap, &mut numbers, steps, 17);
        assert_arena_empty(&heap);
        assert_eq!(heap.source().free_pages(), free, "all of it went back");
    }
}

#[test]
fn parts_come_when_blocks_are_out_and_go_when_they_are_idle() {
    // The last 24 pages of a window, a whole one, and the first 20 of one more.
    let heap = Allocator::new(Arena::new(3, once(40..148), Rules::ALL));
    heap.source().set_rules(|rules| rules.regions = false);
    let counts = || {
        let source = heap.source();
        (
            source.pieces_out(Kind::Block),
            source.pieces_out(Kind::Part),
        )
    };
    let in_block = Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1);
    assert_eq!(counts(), (1, 0));
    let in_first = Object::new(&heap, layout(23 * PAGE_SIZE, 8), 2);
    assert_eq!(counts(), (1, 1));
    assert!(Object::try_new(&heap, layout(20 * PAGE_SIZE, 8), 3).is_none());
    let in_second = Object::new(&heap, layout(19 * PAGE_SIZE, 8), 3);
    assert_eq!(counts(), (1, 2));
    assert_eq!(heap.statistics().bytes_held, 108 * PAGE_SIZE);
    assert_eq!(heap.statistics().blocks, 3);
    assert_arena_sound(&heap);
    assert!(Object::try_new(&heap, layout(1, 1), 4).is_none());
    in_first.free(&heap);
    heap.trim();
    assert_eq!(counts(), (1, 1));
    in_block.free(&heap);
    in_second.free(&heap);
    assert_eq!(heap.statistics().blocks_idle, 2);
    assert_arena_empty(&heap);
    assert_eq!(heap.statistics().bytes_held_peak, 108 * PAGE_SIZE);
}

#[test]
fn all_but_a_few_idle_parts_go_back_at_once() {
    let windows = 3 * KEPT_BLOCKS;
    let pages = (0..windows).map(|window| window * WINDOW + 7..window * WINDOW + 27);
    let heap = Allocator::new(Arena::new(windows, pages, Rules::PARTS));
    let runs = fill_up(&heap, 19 * PAGE_SIZE);
    assert_eq!(runs.len(), windows);
    for (number, run) in runs.into_iter().enumerate() {
        run.free(&heap);
        assert_arena_sound(&heap);
        let idle = heap.statistics().blocks_idle;
        assert_eq!(idle, (number + 1).min(KEPT_BLOCKS));
    }
    assert_eq!(heap.source().pieces_out(Kind::Part), KEPT_BLOCKS);
    assert_arena_empty(&heap);
}

#[test]
fn a_second_part_of_a_window_goes_back_to_the_source() {
    let rules = Rules {
        one_part_a_window: false,
        ..Rules::PARTS
    };
    let heap = Allocator::new(Arena::new(1, [0..20, 30..50], rules));
    heap.set_misuse_handler(remember);
    let objects = fill_up(&heap, 1000);
    assert_eq!(heap.source().pieces_out(Kind::Part), 1);
    assert_eq!(heap.statistics().bytes_held, 20 * PAGE_SIZE);
    assert_eq!(heap.source().free_pages(), 20, "the other one is not lost");
    assert_arena_sound(&heap);
    free_all(&heap, objects);
    assert_arena_empty(&heap);
    assert_eq!(heap.source().free_pages(), 40);
    assert_eq!(seen(), [], "the source did nothing wrong");
}

#[test]
fn a_part_and_regions_share_a_window() {
    let rules = Rules {
        part_pages: 10,
        ..Rules::ALL
    };
    let heap = Allocator::new(Arena::new(1, [2..40, 50..60], rules));
    heap.set_misuse_handler(remember);
    let at = |page: usize| heap.source().address(page);
    let chunk = Object::new(&heap, layout(100, 8), 1);
    let region = Object::new(&heap, layout(20 * PAGE_SIZE, 8), 2);
    assert_eq!(
        heap.source().out(),
        [(2, 10, Kind::Part), (12, 20, Kind::Region)]
    );
    assert_eq!(heap.what_is(at(2) + 5), Place::Own);
    assert_eq!(heap.what_is(at(11)), Place::FreePage);
    let start = heap.what_is(at(12)).object().expect("the region");
    let end = heap.what_is(at(32) - 1).object().expect("the region");
    assert_eq!((start.address, start.kind), (at(12), ObjectKind::Region));
    assert_eq!((start.size, start), (20 * PAGE_SIZE, end));
    for page in [0, 1, 32, 45, 55, 63] {
        assert_eq!(heap.what_is(at(page)), Place::Foreign, "page {page}");
    }
    // Wrong frees of both, and of what lies around them.
    for (address, size, kind) in [
        (chunk.range().start + 16, 100, MisuseKind::Interior),
        (chunk.range().start, 1000, MisuseKind::WrongSize),
        (at(11), 100, MisuseKind::DoubleFree),
        (at(2), 100, MisuseKind::Foreign),
        (at(1), 100, MisuseKind::Foreign),
        (at(12) + PAGE_SIZE, 20 * PAGE_SIZE, MisuseKind::Interior),
        (at(12), 19 * PAGE_SIZE, MisuseKind::WrongSize),
        (at(32), 20 * PAGE_SIZE, MisuseKind::Foreign),
        (at(50), PAGE_SIZE, MisuseKind::Foreign),
    ] {
        let pointer = core::ptr::without_provenance_mut(address);
        common::give_back(&heap, pointer, layout(size, 8));
        let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
        assert_eq!(kinds, [kind], "{address:#x}, {size} bytes");
    }
    assert_arena_sound(&heap);
    let place = region.pointer();
    region.free(&heap);
    common::give_back(&heap, place, layout(20 * PAGE_SIZE, 8));
    assert_eq!(seen()[0].kind, MisuseKind::GoneBack);
    // What was a region in the part's window is one again.
    let again = Object::new(&heap, layout(25 * PAGE_SIZE, 8), 3);
    assert_eq!(again.pointer(), place);
    chunk.free(&heap);
    again.free(&heap);
    assert_eq!(seen(), []);
    assert_arena_empty(&heap);
}

#[test]
fn a_part_that_went_back_is_remembered() {
    let heap = heap_of_part(11, 9);
    heap.set_misuse_handler(remember);
    let object = Object::new(&heap, layout(100, 8), 1);
    let (pointer, asked) = (object.pointer(), object.layout());
    object.free(&heap);
    heap.trim();
    let gone = Place::GoneBack {
        address: heap.source().address(11),
        size: 9 * PAGE_SIZE,
    };
    assert_eq!(heap.what_is(heap.source().address(20) - 1), gone);
    assert_eq!(heap.what_is(heap.source().address(20)), Place::Foreign);
    assert_eq!(heap.what_is(heap.source().address(11) - 1), Place::Foreign);
    common::give_back(&heap, pointer, asked);
    assert_eq!(seen()[0].kind, MisuseKind::GoneBack);
    // It comes again, and is known for what it is now.
    let object = Object::new(&heap, asked, 2);
    let place = heap.what_is(pointer.addr()).object().expect("live");
    assert_eq!(place.state, ObjectState::Live);
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_part_is_never_held_in_reserve() {
    // One whole window and two parts; three blocks are wanted.
    let heap = Allocator::new(Arena::new(3, [64..128, 20..60, 130..150], Rules::ALL));
    heap.source().set_rules(|rules| rules.regions = false);
    assert_eq!(heap.set_reserve(3, || false), 1);
    assert_eq!(heap.statistics().blocks_reserved, 1);
    let runs: Vec<Object> = [39, 19]
        .map(|pages| Object::new(&heap, layout(pages * PAGE_SIZE, 8), 1))
        .into();
    assert_arena_sound(&heap);
    free_all(&heap, runs);
    assert_eq!(heap.statistics().blocks_reserved, 1);
    assert_eq!(heap.statistics().blocks_idle, 2);
    assert_arena_sound(&heap);
    heap.trim();
    assert_eq!(heap.statistics().blocks, 1);
    assert_arena_empty(&heap);
    assert_eq!(heap.set_reserve(0, || false), 0);
    assert_arena_empty(&heap);
    assert_eq!(heap.source().bytes_out(), 0);
    let parts_alone = heap_of_part(0, 63);
    assert_eq!(parts_alone.set_reserve(1, || true), 0);
    Object::new(&parts_alone, layout(1000, 8), 1).free(&parts_alone);
    assert_eq!(parts_alone.statistics().blocks_reserved, 0);
    assert_arena_empty(&parts_alone);
}

#[test]
fn the_least_part_that_can_hold_an_object_does() {
    for class in heap_of_part(0, 2).statistics().classes {
        let size = class.chunk_size;
        let pages = size.div_ceil(PAGE_SIZE) + 1;
        let heap = heap_of_part(WINDOW - pages, pages);
        let objects = fill_up(&heap, size);
        assert!(!objects.is_empty(), "{size} bytes in {pages} pages");
        assert_arena_sound(&heap);
        free_all(&heap, objects);
        assert_arena_empty(&heap);
    }
}

#[test]
fn the_least_part_helps_a_large_heap_too() {
    // Eight whole windows, so that stacks have their full length, and a few pages more.
    for class in heap_of_part(0, 2).statistics().classes {
        let size = class.chunk_size;
        let pages = size.div_ceil(PAGE_SIZE) + 1;
        let windows = 8;
        let all = 0..windows * WINDOW + pages;
        let rules = Rules {
            regions: false,
            ..Rules::ALL
        };
        let heap = Allocator::new(Arena::new(windows + 1, [all], rules));
        let mut objects = fill_up(&heap, 63 * PAGE_SIZE);
        assert_eq!(objects.len(), windows);
        objects.extend(Object::try_new(&heap, layout(size, 1), 2));
        assert_eq!(
            objects.len(),
            windows + 1,
            "{size} bytes with {pages} pages left in the source"
        );
        assert_arena_sound(&heap);
        free_all(&heap, objects);
        assert_arena_empty(&heap);
    }
}

#[test]
fn idle_parts_do_not_make_blocks_go_to_and_fro() {
    let parts = KEPT_BLOCKS;
    let pages = (1..=parts).map(|window| window * WINDOW..window * WINDOW + 10);
    let pages = pages.chain(once(0..WINDOW));
    let rules = Rules {
        regions: false,
        ..Rules::ALL
    };
    let heap = Allocator::new(Arena::new(1 + parts, pages, rules));
    let run = Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1);
    let in_parts = fill_up(&heap, 9 * PAGE_SIZE);
    assert_eq!(in_parts.len(), parts);
    free_all(&heap, in_parts);
    assert_eq!(heap.statistics().blocks_idle, KEPT_BLOCKS);
    run.free(&heap);
    let before = heap.source().requests();
    for _ in 0..100 {
        Object::new(&heap, layout(63 * PAGE_SIZE, 8), 2).free(&heap);
    }
    assert!(
        heap.source().requests() <= before + 1,
        "asked the source again and again"
    );
    assert_arena_empty(&heap);
}

/// Pages of a heap of 100 KiB.
const SMALL: usize = 25;

#[test]
fn a_heap_of_100_kib_gets_full_of_objects_of_any_one_size() {
    let classes = heap_of_part(0, 2).statistics().classes;
    for (start, class) in (0..).zip(classes) {
        let heap = heap_of_part(start, SMALL);
        let objects = fill_up(&heap, class.chunk_size);
        let per_cent = objects.len() * class.chunk_size * 100 / (SMALL * PAGE_SIZE);
        println!("{:>6} {:>5} {per_cent} %", class.chunk_size, objects.len());
        assert!(
            per_cent >= LEAST_OF_ONE_SIZE,
            "{} bytes: {per_cent} %",
            class.chunk_size
        );
        assert_apart(&objects);
        assert_arena_sound(&heap);
        free_all(&heap, objects);
        assert_arena_empty(&heap);
    }
}

/// Per cent of 100 KiB that objects of one size fill at least. The header takes 4, the tails of stacks the rest.
const LEAST_OF_ONE_SIZE: usize = 84;

#[test]
fn a_heap_of_100_kib_gets_full_of_objects_of_mixed_sizes() {
    for (log, least) in [(4, 90), (6, 80), (8, 60), (10, 25), (12, 30)] {
        let (mut at_first_null, mut full) = (0, 0);
        for seed in 0..20 {
            let heap = heap_of_part(0, SMALL);
            let mut numbers = Numbers::new(seed);
            let mut next = || Object::try_new(&heap, layout(numbers.size(log), 8), 1);
            let mut objects: Vec<Object> = core::iter::from_fn(&mut next).collect();
            at_first_null += heap.statistics().bytes_used;
            // Sizes that have room in their stacks go on.
            objects.extend((0..2000).filter_map(|_| next()));
            full += heap.statistics().bytes_used;
            assert_arena_sound(&heap);
            free_all(&heap, objects);
            assert_arena_empty(&heap);
        }
        let per_cent = |bytes: usize| bytes * 100 / (20 * SMALL * PAGE_SIZE);
        let (at_first_null, full) = (per_cent(at_first_null), per_cent(full));
        println!("up to {} bytes: {at_first_null} %, {full} %", 2 << log);
        assert!(
            at_first_null >= least,
            "{at_first_null} % at the first null"
        );
        assert!(full >= 88, "{full} % when full");
    }
}

#[test]
fn a_heap_of_100_kib_serves_many_sizes_at_a_time() {
    let heap = heap_of_part(0, SMALL);
    let sizes: Vec<_> = heap
        .statistics()
        .classes
        .map(|class| class.chunk_size)
        .into();
    let live_at_a_time = |sizes: &[usize]| {
        let objects = sizes.iter().map(|size| layout(*size, 1));
        let objects: Vec<Object> = objects
            .filter_map(|asked| Object::try_new(&heap, asked, 1))
            .collect();
        let count = objects.len();
        free_all(&heap, objects);
        assert_arena_empty(&heap);
        count
    };
    let smallest_first = live_at_a_time(&sizes);
    let small: Vec<_> = sizes.iter().copied().filter(|size| *size <= 2048).collect();
    let all_small = live_at_a_time(&small);
    let mut numbers = Numbers::new(1);
    let in_random_order = |_| {
        let mut rest = sizes.clone();
        let shuffled: Vec<_> = core::iter::from_fn(|| numbers.pick(&mut rest)).collect();
        live_at_a_time(&shuffled)
    };
    let fewest = (0..100).map(in_random_order).min();
    println!(
        "{smallest_first} smallest first, {all_small} of {}, {fewest:?}",
        small.len()
    );
    assert!(smallest_first >= 22);
    assert!(fewest >= Some(10));
}
