//! Regions that grow and shrink where they stand, as far as the source does that; and what happens where it does not.

mod common;

use common::arena::{
    Arena, ArenaHeap, Kind, Rules, WINDOW, assert_arena_empty, assert_arena_sound, churn, free_all,
};
use common::{Numbers, Object, give_back, layout, remember, seen};
use stack_alloc::{Allocator, BLOCK_SIZE, MisuseKind, ObjectKind, PAGE_SIZE, Place};

/// Creates a heap over so many windows that has the first one as its block already, for records.
fn heap(windows: usize) -> ArenaHeap {
    let heap = Allocator::new(Arena::full(windows, Rules::ALL));
    Object::new(&heap, layout(1, 1), 1).free(&heap);
    heap
}

/// Resizes `object` and returns whether it stayed where it was.
#[track_caller]
fn stays(object: &mut Object, heap: &ArenaHeap, size: usize) -> bool {
    let before = object.pointer();
    assert!(object.resize(heap, size, 7), "no memory for {size} bytes");
    object.pointer() == before
}

/// Returns first page and pages of the regions that are out.
fn regions(heap: &ArenaHeap) -> Vec<(usize, usize)> {
    let pieces = heap.source().out().into_iter();
    pieces
        .filter(|piece| piece.2 == Kind::Region)
        .map(|(first, pages, _)| (first, pages))
        .collect()
}

/// Asserts that the heap's only region has so many pages, in the source's books and in its own.
#[track_caller]
fn assert_only_region_has(heap: &ArenaHeap, pages: usize) {
    assert_arena_sound(heap);
    assert_eq!(heap.statistics().regions.live, 1);
    assert_eq!(heap.statistics().regions.bytes, pages * PAGE_SIZE);
    assert!(matches!(regions(heap)[..], [(_, out)] if out == pages));
}

#[test]
fn a_region_grows_page_by_page_into_the_memory_behind_it() {
    let heap = heap(8);
    let mut object = Object::new(&heap, layout(70 * PAGE_SIZE, 8), 1);
    for pages in 71..150 {
        assert!(stays(&mut object, &heap, pages * PAGE_SIZE - 5));
        assert_only_region_has(&heap, pages);
        assert_eq!(heap.statistics().bytes_requested, pages * PAGE_SIZE - 5);
    }
    assert_eq!(heap.statistics().regions.allocations, 1);
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_size_within_the_last_page_asks_nobody() {
    let heap = heap(8);
    let mut object = Object::new(&heap, layout(70 * PAGE_SIZE, 8), 1);
    let requests = heap.source().requests();
    for size in [69 * PAGE_SIZE + 1, 70 * PAGE_SIZE - 1, 70 * PAGE_SIZE] {
        assert!(stays(&mut object, &heap, size));
    }
    assert_eq!(heap.source().requests(), requests);
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn the_tail_of_a_shrunk_region_goes_back_at_once() {
    let heap = heap(8);
    let mut object = Object::new(&heap, layout(200 * PAGE_SIZE, 8), 1);
    let start = regions(&heap)[0].0;
    let mut tails = Vec::new();
    for pages in [199, 130, 64] {
        assert!(stays(&mut object, &heap, pages * PAGE_SIZE));
        assert_eq!(regions(&heap)[0], (start, pages));
        assert_arena_sound(&heap);
        let end = heap.source().address(start + pages);
        assert!(matches!(
            heap.what_is(end - 1),
            Place::Object { object, .. } if object.size == pages * PAGE_SIZE
        ));
        assert_eq!(heap.what_is(end).object(), None, "it is the source's");
        tails.push(end);
    }
    // Another region can have it: the first place that is free is right behind.
    let next = Object::new(&heap, layout(100 * PAGE_SIZE, 8), 2);
    assert_eq!(next.range().start, tails[2]);
    assert!(!stays(&mut object, &heap, 65 * PAGE_SIZE), "no longer free");
    object.free(&heap);
    next.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_region_shrinks_to_the_size_of_a_run_and_to_one_page() {
    for align in [8, 2 * PAGE_SIZE, BLOCK_SIZE / 2, BLOCK_SIZE, 4 * BLOCK_SIZE] {
        let heap = heap(12);
        heap.set_misuse_handler(remember);
        let mut object = Object::new(&heap, layout(100 * PAGE_SIZE, align), 1);
        // As few pages as do not make a chunk.
        let least = if align > PAGE_SIZE { 1 } else { 5 };
        for pages in [63, 40, 16, 5, least] {
            let size = pages * PAGE_SIZE;
            assert!(stays(&mut object, &heap, size), "{pages} pages, {align}");
            assert_only_region_has(&heap, pages);
            assert_eq!(heap.statistics().runs.live, 0);
            let place = heap.what_is(object.range().start).object();
            let place = place.expect("the region");
            assert_eq!((place.kind, place.size), (ObjectKind::Region, size));
            // The layout that it had is that of another object now.
            give_back(&heap, object.pointer(), layout(100 * PAGE_SIZE, align));
            let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
            assert_eq!(kinds, [MisuseKind::WrongSize]);
        }
        // And up again.
        for pages in [6, 63, 64, 100] {
            assert!(stays(&mut object, &heap, pages * PAGE_SIZE));
            assert_only_region_has(&heap, pages);
        }
        object.free(&heap);
        assert_eq!(seen(), []);
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_region_that_shrinks_to_a_chunk_moves() {
    for size in [0, 1, 100, 16 << 10] {
        let heap = heap(4);
        let mut object = Object::new(&heap, layout(100 * PAGE_SIZE, 8), 1);
        assert!(!stays(&mut object, &heap, size));
        assert_eq!(regions(&heap), []);
        assert_eq!(heap.statistics().regions.live, 0);
        assert_eq!(heap.statistics().live(), 1);
        let place = heap.what_is(object.pointer().addr()).object();
        assert_eq!(place.expect("a chunk").kind, ObjectKind::Chunk);
        assert_arena_sound(&heap);
        object.free(&heap);
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_source_that_does_not_resize_makes_regions_move() {
    let heap = heap(8);
    heap.source().set_rules(|rules| rules.resizes = false);
    let mut object = Object::new(&heap, layout(100 * PAGE_SIZE, 8), 1);
    for pages in [101, 100, 64, 63, 70] {
        assert!(!stays(&mut object, &heap, pages * PAGE_SIZE));
        assert_eq!(heap.statistics().live(), 1);
        assert_arena_sound(&heap);
    }
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_region_that_can_neither_grow_nor_move_stays_as_it_is() {
    // A block for the record, a region in the middle, another one behind it.
    let heap = heap(4);
    let mut first = Object::new(&heap, layout(70 * PAGE_SIZE, 8), 1);
    let second = Object::new(&heap, layout(100 * PAGE_SIZE, 8), 2);
    heap.source().take_free_pages();
    let before = heap.statistics();
    for pages in [71, 100, 1000] {
        assert!(!first.resize(&heap, pages * PAGE_SIZE, 3));
        first.assert_intact();
    }
    let after = heap.statistics();
    assert_eq!(after.regions, before.regions);
    assert_eq!(after.bytes_requested, before.bytes_requested);
    assert_eq!(after.failures, before.failures + 3);
    assert_arena_sound(&heap);
    // It can still shrink, and grow into what it gave.
    assert!(stays(&mut first, &heap, 64 * PAGE_SIZE));
    assert!(stays(&mut first, &heap, 70 * PAGE_SIZE));
    // Nothing resizes and nothing is free: a smaller one cannot be had either, and nothing is lost.
    heap.source().set_rules(|rules| rules.resizes = false);
    assert!(!first.resize(&heap, 65 * PAGE_SIZE, 4));
    assert_arena_sound(&heap);
    first.free(&heap);
    second.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn each_call_of_the_source_may_fail() {
    let sizes = [70, 120, 65, 40, 90, 5, 1000, 66, 64].map(|pages| pages * PAGE_SIZE);
    let workload = |heap: &ArenaHeap| {
        let mut failures = 0;
        let first = Object::try_new(heap, layout(80 * PAGE_SIZE, 8), 1);
        let Some(mut object) = first else {
            return 1;
        };
        for (fill, size) in (2..).zip(sizes) {
            failures += usize::from(!object.resize(heap, size, fill));
            assert_arena_sound(heap);
            assert_eq!(heap.statistics().bytes_requested, object.layout().size());
        }
        object.free(heap);
        assert_arena_empty(heap);
        failures
    };
    let honest = heap(20);
    assert_eq!(workload(&honest), 0);
    for number in 1..=honest.source().requests() {
        let heap = heap(20);
        heap.source().refuse(number);
        assert!(workload(&heap) <= 1, "call {number}");
        assert_eq!(heap.source().bytes_out(), 0);
    }
}

#[test]
fn a_run_that_came_as_a_region_grows_and_shrinks_as_one() {
    // Less than a block is left, so runs come as regions.
    let rules = Rules {
        part_pages: 3,
        ..Rules::ALL
    };
    let all = core::iter::once(0..60);
    let heap = Allocator::new(Arena::new(1, all, rules));
    let mut run = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 1);
    assert_only_region_has(&heap, 10);
    let grows = run.resize(&heap, 12 * PAGE_SIZE, 2);
    assert!(grows);
    assert_only_region_has(&heap, 12);
    assert!(stays(&mut run, &heap, 6 * PAGE_SIZE));
    assert_only_region_has(&heap, 6);
    run.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_growing_vector_moves_only_on_its_way_to_a_region() {
    let heap = heap(64);
    // Doubling from 4 bytes on to 8 MiB, as `Vec` does.
    let mut object = Object::new(&heap, layout(4, 4), 1);
    let mut moves = 0;
    while object.layout().size() < 8 << 20 {
        let size = 2 * object.layout().size();
        let was_region = object.layout().size() >= BLOCK_SIZE;
        let stayed = stays(&mut object, &heap, size);
        assert!(stayed || !was_region, "a region moved at {size} bytes");
        moves += usize::from(!stayed);
        assert_arena_sound(&heap);
    }
    assert!(moves <= 16, "{moves} moves");
    assert_eq!(heap.statistics().live(), 1);
    // `shrink_to_fit`, and on from there.
    assert!(stays(&mut object, &heap, (5 << 20) + 3));
    assert_eq!(
        heap.statistics().regions.bytes,
        (5 << 20) + PAGE_SIZE,
        "the rest went back"
    );
    assert!(stays(&mut object, &heap, 10 << 20));
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn two_vectors_that_grow_in_turn_keep_their_contents() {
    let heap = heap(64);
    let mut both = [3, 5].map(|fill| Object::new(&heap, layout(1000, 8), fill));
    let mut fill = 10;
    while both[0].layout().size() < 2 << 20 {
        for object in &mut both {
            // `resize` looks at what came along.
            let size = object.layout().size() * 3 / 2;
            assert!(object.resize(&heap, size, fill));
            fill = fill % 250 + 1;
        }
        assert_arena_sound(&heap);
        common::assert_apart(&both);
    }
    free_all(&heap, both);
    assert_arena_empty(&heap);
}

#[test]
fn peaks_follow_regions_that_grow() {
    let heap = heap(8);
    let mut object = Object::new(&heap, layout(70 * PAGE_SIZE, 8), 1);
    assert!(stays(&mut object, &heap, 200 * PAGE_SIZE));
    let held = heap.statistics().bytes_held;
    assert_eq!(held, (200 + WINDOW) * PAGE_SIZE, "and the record's block");
    assert!(stays(&mut object, &heap, 70 * PAGE_SIZE));
    assert_eq!(heap.statistics().bytes_held, (70 + WINDOW) * PAGE_SIZE);
    assert_eq!(heap.statistics().bytes_held_peak, held);
    assert_eq!(heap.statistics().bytes_requested_peak, 200 * PAGE_SIZE);
    object.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn regions_survive_random_operations() {
    for seed in 0..if cfg!(miri) { 1 } else { 40 } {
        let heap = heap(24);
        heap.source().set_rules(|rules| rules.blocks = seed % 4 > 0);
        let steps = if cfg!(miri) { 60 } else { 800 };
        churn(&heap, &mut Numbers::new(seed), steps, 19);
        assert_arena_empty(&heap);
        assert_eq!(heap.source().free_pages(), 24 * WINDOW);
    }
}
