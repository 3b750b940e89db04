//! Chunks that wait before they are handed out again: what that finds out, and that it costs no request its memory.

mod common;

use common::arena::{
    Arena, ArenaHeap, Rules, WINDOW, assert_arena_empty, assert_arena_sound, churn, free_all,
};
use common::{Numbers, Object, allocate, give_back, layout, reallocate, remember, seen};
use core::alloc::Layout;
use stack_alloc::{Allocator, BLOCK_SIZE, MisuseKind, ObjectState, PAGE_SIZE};

/// The most chunks that wait.
const MOST: usize = 64;

/// Creates a heap over so many windows in which up to `limit` chunks wait.
fn heap(windows: usize, rules: Rules, limit: usize) -> ArenaHeap {
    let heap = Allocator::new(Arena::full(windows, rules));
    heap.set_quarantine(limit);
    heap.set_misuse_handler(remember);
    heap
}

/// Allocates `count` objects.
#[track_caller]
fn objects(heap: &ArenaHeap, count: usize, size: usize) -> Vec<Object> {
    (0..count)
        .map(|_| Object::new(heap, layout(size, 8), 1))
        .collect()
}

/// Asserts that giving `pointer` back, and reallocating it, is a double free and nothing else.
#[track_caller]
fn assert_is_free(heap: &ArenaHeap, pointer: *mut u8, layout: Layout) {
    let before = heap.statistics();
    give_back(heap, pointer, layout);
    for size in [layout.size(), 1, 3000, 50_000] {
        assert!(reallocate(heap, pointer, layout, size).is_null());
    }
    let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
    assert_eq!(kinds, [MisuseKind::DoubleFree; 5]);
    assert_eq!(heap.statistics(), before);
}

#[test]
fn nothing_waits_until_it_is_asked_for() {
    let heap = Allocator::new(Arena::full(1, Rules::ALL));
    let object = Object::new(&heap, layout(100, 8), 1);
    let place = object.pointer();
    object.free(&heap);
    assert_eq!(heap.statistics().quarantined, 0);
    let again = Object::new(&heap, layout(100, 8), 2);
    assert_eq!(again.pointer(), place);
    again.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn a_chunk_waits_until_as_many_others_were_given_back() {
    for (limit, waits) in [
        (1, 1),
        (2, 2),
        (63, 63),
        (64, 64),
        (65, MOST),
        (usize::MAX, MOST),
    ] {
        for size in [16, 48, 1000, 16 << 10] {
            let heap = heap(16, Rules::ALL, limit);
            let first = Object::new(&heap, layout(size, 8), 1);
            let place = first.pointer();
            let others = objects(&heap, waits, size);
            first.free(&heap);
            for (number, other) in (1..).zip(others) {
                // The lowest free chunk would be handed out next: it is not that one. The probe stays, or it would wait too.
                let probe = Object::new(&heap, layout(size, 8), 2);
                assert_ne!(probe.pointer(), place, "after {number} of {waits}");
                assert_is_free(&heap, place, layout(size, 8));
                assert_eq!(heap.statistics().quarantined, number);
                other.free(&heap);
                assert_arena_sound(&heap);
            }
            assert_eq!(heap.statistics().quarantined, waits);
            let state = heap.what_is(place.addr()).object().map(|o| o.state);
            // Its page may be free too by now.
            let waits_still = state == Some(ObjectState::Quarantined);
            assert!(!waits_still, "limit {limit}, {size} bytes");
        }
    }
}

#[test]
fn the_oldest_one_goes_first() {
    let heap = heap(1, Rules::ALL, 3);
    let five = objects(&heap, 5, 100);
    let places: Vec<_> = five.iter().map(Object::pointer).collect();
    free_all(&heap, five);
    let states = || {
        let state = |place: &*mut u8| heap.what_is(place.addr()).object().map(|o| o.state);
        places.iter().filter_map(state).collect::<Vec<_>>()
    };
    let (free, waits) = (ObjectState::Free, ObjectState::Quarantined);
    assert_eq!(states(), [free, free, waits, waits, waits]);
    heap.set_quarantine(2);
    assert_eq!(states(), [free, free, free, waits, waits]);
    heap.set_quarantine(5);
    assert_eq!(states(), [free, free, free, waits, waits]);
    heap.set_quarantine(0);
    assert_eq!(states(), [free; 5]);
    assert_eq!(heap.statistics().quarantined, 0);
    assert_arena_empty(&heap);
}

#[test]
fn a_second_free_is_found_out_in_whatever_disguise() {
    let heap = heap(1, Rules::ALL, MOST);
    let neighbours = objects(&heap, 2, 48);
    let object = Object::new(&heap, layout(48, 8), 1);
    let place = object.pointer();
    object.free(&heap);
    for (offset, size, align) in [
        (0, 48, 8),
        (0, 33, 16),
        (0, 100, 8),
        (0, 48, 64),
        (16, 48, 8),
        (47, 1, 1),
    ] {
        let address = place.wrapping_add(offset);
        give_back(&heap, address, layout(size, align));
        let found = seen();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, MisuseKind::DoubleFree, "{offset} {size}");
        let object = found[0].place.object().expect("the chunk");
        assert_eq!(
            (object.address, object.state),
            (place.addr(), ObjectState::Quarantined)
        );
    }
    for neighbour in neighbours {
        neighbour.assert_intact();
        neighbour.free(&heap);
    }
    assert_eq!(seen(), []);
    assert_arena_empty(&heap);
}

#[test]
fn statistics_and_walks_leave_out_what_waits() {
    let heap = heap(1, Rules::ALL, MOST);
    let kept = objects(&heap, 3, 100);
    let gone = objects(&heap, 5, 100);
    let requested = heap.statistics().bytes_requested;
    free_all(&heap, gone);
    let statistics = heap.statistics();
    assert_eq!(statistics.quarantined, 5);
    assert_eq!(statistics.live(), 3);
    assert_eq!(statistics.bytes_requested, requested - 500);
    let class = statistics
        .classes
        .iter()
        .find(|class| class.chunk_size == 112);
    assert_eq!(class.expect("a class").chunks_used, 8);
    let walked: Vec<_> = heap.live_objects().map(|object| object.address).collect();
    let mut expected: Vec<_> = kept.iter().map(|object| object.pointer().addr()).collect();
    expected.sort_unstable();
    assert_eq!(walked, expected);
    assert_arena_sound(&heap);
    free_all(&heap, kept);
    assert_eq!(heap.live_objects().count(), 0);
    assert_eq!(heap.statistics().live(), 0);
    heap.trim();
    assert_eq!(heap.statistics().quarantined, 0);
    assert_eq!(heap.source().bytes_out(), 0, "trim lets them go");
    assert_arena_empty(&heap);
}

#[test]
fn what_a_reallocation_leaves_behind_waits() {
    let heap = heap(1, Rules::ALL, MOST);
    let mut object = Object::new(&heap, layout(100, 8), 1);
    let before = object.pointer();
    assert!(object.resize(&heap, 1000, 2));
    assert_is_free(&heap, before, layout(100, 8));
    assert_eq!(heap.statistics().quarantined, 1);
    object.free(&heap);
    assert_eq!(heap.statistics().quarantined, 2);
    heap.set_quarantine(0);
    assert_arena_empty(&heap);
}

#[test]
fn large_objects_do_not_wait() {
    let heap = heap(4, Rules::ALL, MOST);
    for size in [(16 << 10) + 1, 100_000, 300_000] {
        let object = Object::new(&heap, layout(size, 8), 1);
        let place = object.pointer();
        object.free(&heap);
        assert_eq!(heap.statistics().quarantined, 0);
        let again = Object::new(&heap, layout(size, 8), 2);
        assert_eq!(again.pointer(), place);
        again.free(&heap);
    }
    assert_arena_empty(&heap);
}

#[test]
fn a_write_into_a_chunk_that_waits_hurts_nobody() {
    let heap = heap(1, Rules::ALL, MOST);
    let object = Object::new(&heap, layout(64, 8), 1);
    let place = object.pointer();
    object.free(&heap);
    let others = objects(&heap, 200, 64);
    // SAFETY: the chunk's memory is still the heap's block.
    unsafe { place.write_bytes(0xff, 64) };
    for other in &others {
        other.assert_intact();
    }
    free_all(&heap, others);
    assert_arena_empty(&heap);
}

#[test]
fn what_waits_is_memory_when_memory_is_short() {
    for size in [16, 64, 1000, PAGE_SIZE, 16 << 10] {
        let heap = heap(1, Rules::BLOCKS, MOST);
        let fill_up = || -> Vec<Object> {
            core::iter::from_fn(|| Object::try_new(&heap, layout(size, 8), 1)).collect()
        };
        let mut all = fill_up();
        for count in [1, 10, 63] {
            let count = count.min(all.len());
            free_all(&heap, all.drain(..count));
            assert_eq!(heap.statistics().quarantined, count);
            let back = fill_up();
            assert_eq!(back.len(), count, "{size} bytes");
            all.extend(back);
            assert_arena_sound(&heap);
        }
        free_all(&heap, all);
        assert_arena_empty(&heap);
    }
}

#[test]
fn what_waits_makes_room_for_every_kind_of_request() {
    let sizes = [100, 5000, 16 << 10, 20_000, 100_000, 63 * PAGE_SIZE];
    for rules in [Rules::BLOCKS, Rules::ALL] {
        for size in sizes {
            for count in [1, 30, MOST] {
                let heap = heap(1, rules, MOST);
                let chunks = objects(&heap, count, 2000);
                free_all(&heap, chunks);
                assert_eq!(heap.statistics().quarantined, count);
                let object = Object::try_new(&heap, layout(size, 8), 2);
                let object = object.unwrap_or_else(|| {
                    panic!("no {size} bytes: {count} chunks wait, {rules:?}");
                });
                assert_arena_sound(&heap);
                object.free(&heap);
                assert_arena_empty(&heap);
            }
        }
    }
    // Pages in a block that stays in use.
    let heap = heap(1, Rules::BLOCKS, MOST);
    let kept = objects(&heap, 1, PAGE_SIZE);
    free_all(&heap, objects(&heap, 40, PAGE_SIZE));
    let run = Object::new(&heap, layout(50 * PAGE_SIZE, 8), 2);
    run.free(&heap);
    free_all(&heap, kept);
    assert_arena_empty(&heap);
}

#[test]
fn what_waits_goes_before_the_reserve() {
    let heap = heap(2, Rules::BLOCKS, MOST);
    assert_eq!(heap.set_reserve(1, || true), 1);
    free_all(&heap, objects(&heap, 10, 16 << 10));
    assert_eq!(heap.statistics().quarantined, 10);
    let run = Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1);
    assert_eq!(heap.statistics().blocks_reserved, 1);
    assert_arena_sound(&heap);
    run.free(&heap);
    // And it does not keep a reserve from being made.
    assert_eq!(heap.set_reserve(0, || true), 0);
    free_all(&heap, objects(&heap, 14 + 13, 16 << 10));
    assert_eq!(heap.set_reserve(2, || true), 2);
    assert_eq!(heap.statistics().quarantined, 0);
    assert_arena_sound(&heap);
    assert_eq!(heap.set_reserve(0, || true), 0);
    assert_arena_empty(&heap);
}

#[test]
fn a_full_quarantine_gives_blocks_back() {
    // As many chunks of a quarter of a block wait as can: their blocks go home in turn.
    let heap = heap(40, Rules::BLOCKS, MOST);
    let all = objects(&heap, 40 * 15, 16 << 10);
    assert_eq!(heap.source().free_pages(), 0);
    free_all(&heap, all);
    assert_arena_sound(&heap);
    assert!(heap.source().bytes_out() <= 12 * BLOCK_SIZE);
    assert_arena_empty(&heap);
}

#[test]
fn random_operations_survive_it() {
    for seed in 0..if cfg!(miri) { 1 } else { 30 } {
        let mut numbers = Numbers::new(seed);
        let rules = Rules {
            regions: seed % 3 > 0,
            ..Rules::ALL
        };
        let windows = 2 + numbers.below(6);
        let heap = heap(windows, rules, 0);
        for limit in [1, MOST, 7, 0, 30] {
            heap.set_quarantine(limit);
            let steps = if cfg!(miri) { 30 } else { 300 };
            churn(&heap, &mut numbers, steps, 14);
            assert!(heap.statistics().quarantined <= limit);
            assert_arena_sound(&heap);
        }
        assert_eq!(seen(), []);
        assert_arena_empty(&heap);
        assert_eq!(heap.source().free_pages(), windows * WINDOW);
    }
}

#[test]
fn any_call_of_the_source_may_fail() {
    let workload = |heap: &ArenaHeap| {
        let mut numbers = Numbers::new(2);
        let mut live = Vec::new();
        for _ in 0..300 {
            let asked = layout(numbers.size(15), 1 << numbers.below(14));
            match numbers.below(3) {
                0 => free_all(heap, numbers.pick(&mut live)),
                _ => live.extend(Object::try_new(heap, asked, 1)),
            }
        }
        assert_arena_sound(heap);
        free_all(heap, live);
        heap.trim();
        assert_arena_empty(heap);
        heap.statistics().failures
    };
    let honest = heap(64, Rules::ALL, MOST);
    assert_eq!(workload(&honest), 0);
    let step = if cfg!(miri) { 20 } else { 1 };
    for number in (1..=honest.source().requests()).step_by(step) {
        let heap = heap(64, Rules::ALL, MOST);
        heap.source().refuse(number);
        assert!(workload(&heap) <= 1, "call {number}");
        assert_eq!(heap.source().bytes_out(), 0);
    }
    assert!(allocate(&honest, layout(isize::MAX as usize, 1)).is_null());
}
