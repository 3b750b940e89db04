//! Memory goes home: what is empty returns to the source, but for a few blocks that are kept so that a program at an
//! edge does not move memory to and fro.

mod common;

use common::{Heap, Numbers, Object, assert_empty, assert_sound, heap, layout};
use stack_alloc::{BLOCK_SIZE, KEPT_BLOCKS, PAGE_SIZE};

/// One size of each kind that lives in blocks.
const SIZES: [usize; 8] = [16, 48, 1000, 5000, 16 << 10, 40_000, 130_000, 250_000];

/// Allocates objects of `size` bytes until the source is asked for a block `blocks` times, and frees the last object.
fn fill_to_the_edge(heap: &Heap, size: usize, blocks: usize) -> Vec<Object> {
    let requests = heap.source().requests();
    let mut objects = Vec::new();
    while heap.source().requests() <= requests + blocks {
        objects.push(Object::new(heap, layout(size, 8), 1));
    }
    objects.pop().expect("at least one").free(heap);
    objects
}

#[test]
fn a_loop_at_the_edge_of_a_block_does_not_ask_the_source() {
    for size in SIZES {
        for blocks in 1..=6 {
            let heap = heap(64 << 20);
            let objects = fill_to_the_edge(&heap, size, blocks);
            let requests = heap.source().requests();
            for _ in 0..500 {
                Object::new(&heap, layout(size, 8), 2).free(&heap);
            }
            assert_eq!(
                heap.source().requests(),
                requests,
                "{size} bytes, behind {blocks} blocks"
            );
            for object in objects {
                object.free(&heap);
            }
            assert_empty(&heap);
        }
    }
}

#[test]
fn a_loop_over_as_many_blocks_as_are_kept_does_not_ask_the_source() {
    for size in SIZES {
        let heap = heap(64 << 20);
        let up_and_down = || {
            for object in fill_kept_blocks(&heap, size) {
                object.free(&heap);
            }
        };
        up_and_down();
        let requests = heap.source().requests();
        assert!(requests > 1 && requests <= KEPT_BLOCKS);
        for _ in 0..20 {
            up_and_down();
        }
        assert_eq!(heap.source().requests(), requests, "{size} bytes");
        assert_empty(&heap);
    }
}

/// Allocates objects of `size` bytes that fill most of [`KEPT_BLOCKS`] blocks.
fn fill_kept_blocks(heap: &Heap, size: usize) -> Vec<Object> {
    let per_block = match size {
        ..=PAGE_SIZE => 60 * (PAGE_SIZE / size.next_multiple_of(16)),
        4097..=8192 => 40,
        8193..=16_384 => 13,
        16_385..=40_000 => 6,
        _ => 1,
    };
    (0..KEPT_BLOCKS * per_block)
        .map(|_| Object::new(heap, layout(size, 8), 1))
        .collect()
}

#[test]
fn a_loop_of_one_object_on_an_empty_heap_asks_once() {
    for size in SIZES {
        let heap = heap(64 << 20);
        for _ in 0..500 {
            Object::new(&heap, layout(size, 8), 1).free(&heap);
        }
        assert_eq!(heap.source().requests(), 1, "{size} bytes");
        assert_empty(&heap);
    }
}

/// Orders in which objects are freed.
#[derive(Clone, Copy, Debug)]
enum Order {
    OldestFirst,
    YoungestFirst,
    Random,
    EverySecond,
}

/// Puts the objects into the order in which [`Vec::pop`] shall free them.
fn sort(objects: &mut Vec<Object>, order: Order) {
    match order {
        Order::OldestFirst => objects.reverse(),
        Order::YoungestFirst => {}
        Order::Random => {
            let mut numbers = Numbers::new(11);
            for last in (1..objects.len()).rev() {
                objects.swap(last, numbers.below(last + 1));
            }
        }
        Order::EverySecond => {
            let (first, second): (Vec<_>, Vec<_>) = objects
                .drain(..)
                .enumerate()
                .partition(|(number, _)| number % 2 == 0);
            let both = first.into_iter().chain(second);
            objects.extend(both.map(|(_, object)| object));
        }
    }
}

#[test]
fn all_but_a_few_blocks_go_back_in_any_order() {
    for order in [
        Order::OldestFirst,
        Order::YoungestFirst,
        Order::Random,
        Order::EverySecond,
    ] {
        let heap = heap(256 << 20);
        let mut numbers = Numbers::new(5);
        let mut live = Vec::new();
        while heap.statistics().bytes_requested < 32 << 20 {
            let size = numbers.size(18);
            live.push(Object::new(&heap, layout(size, 1 << numbers.below(8)), 1));
        }
        for size in SIZES {
            live.extend((0..40).map(|_| Object::new(&heap, layout(size, 8), 2)));
        }
        let peak = heap.statistics().bytes_held_peak;
        assert!(peak >= 32 << 20);
        sort(&mut live, order);
        while let Some(object) = live.pop() {
            object.free(&heap);
            if live.len() % 64 == 0 {
                assert_sound(&heap);
                assert!(heap.statistics().blocks_idle <= KEPT_BLOCKS, "{order:?}");
            }
        }
        let statistics = heap.statistics();
        assert!(statistics.blocks <= KEPT_BLOCKS, "{order:?}");
        assert_eq!(statistics.blocks, statistics.blocks_idle);
        assert_eq!(statistics.bytes_held_peak, peak, "the peak stays");
        assert_empty(&heap);
    }
}

#[test]
fn many_small_objects_go_back_in_any_order() {
    for order in [Order::OldestFirst, Order::YoungestFirst, Order::Random] {
        let heap = heap(256 << 20);
        let mut live: Vec<Object> = (0..60_000)
            .map(|number| Object::new(&heap, layout(16 + number % 200, 8), 1))
            .collect();
        sort(&mut live, order);
        while let Some(object) = live.pop() {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
}

#[test]
fn a_region_goes_back_at_once() {
    let heap = heap(256 << 20);
    let first = Object::new(&heap, layout(1 << 20, 8), 1);
    let before = heap.source().bytes_out();
    let second = Object::new(&heap, layout(5 << 20, 8), 2);
    assert_eq!(heap.source().bytes_out(), before + (5 << 20));
    second.free(&heap);
    assert_eq!(heap.source().bytes_out(), before);
    first.free(&heap);
    assert!(heap.source().bytes_out() <= KEPT_BLOCKS * BLOCK_SIZE);
    assert_empty(&heap);
}

#[test]
fn each_size_keeps_at_most_one_empty_stack() {
    let heap = heap(256 << 20);
    let classes = heap.statistics().classes;
    for class in classes {
        let objects: Vec<Object> = (0..1000)
            .map(|_| Object::new(&heap, layout(class.chunk_size, 8), 1))
            .collect();
        for object in objects {
            object.free(&heap);
        }
    }
    for class in heap.statistics().classes {
        assert_eq!(class.chunks_used, 0);
        // A stack has at most 256 chunks, and at most 8 pages.
        assert!(class.chunks_total <= 256);
        assert!(class.chunks_total * class.chunk_size <= 8 * PAGE_SIZE);
    }
    assert_empty(&heap);
}

#[test]
fn trim_gives_back_all_that_holds_nothing_and_nothing_else() {
    let heap = heap(256 << 20);
    let mut live = Vec::new();
    for size in SIZES {
        live.extend((0..200).map(|_| Object::new(&heap, layout(size, 8), 1)));
    }
    // One object in the middle stays.
    let kept = live.swap_remove(live.len() / 2);
    for object in live {
        object.free(&heap);
    }
    assert!(heap.statistics().blocks > 1);
    heap.trim();
    let statistics = heap.statistics();
    assert_eq!(statistics.blocks, 1, "that of the object which stays");
    assert_eq!(statistics.blocks_idle, 0);
    let stacks: usize = statistics.classes.iter().map(|class| class.stacks).sum();
    assert!(stacks <= 1, "that of the object which stays");
    kept.assert_intact();
    assert_sound(&heap);
    heap.trim();
    assert_eq!(heap.statistics(), statistics, "there was no more to give");
    kept.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_heap_that_was_emptied_starts_again() {
    let heap = heap(64 << 20);
    for round in 0..20 {
        let objects: Vec<Object> = SIZES
            .iter()
            .chain(&[300_000])
            .map(|size| Object::new(&heap, layout(*size, 8), round))
            .collect();
        assert_sound(&heap);
        for object in objects {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
}

#[test]
fn kept_blocks_with_a_spare_stack_each_do_not_make_large_runs_go_to_and_fro() {
    let heap = heap(usize::MAX);
    let pages = |pages: usize| layout(pages * PAGE_SIZE, 1);
    // Four blocks, each with a stack of another size and a run that takes the rest.
    let mut objects = Vec::new();
    for size in [16, 32, 48, 64] {
        objects.push(Object::new(&heap, layout(size, 1), 1));
        objects.push(Object::new(&heap, pages(62), 2));
    }
    for object in objects {
        object.free(&heap);
    }
    assert_eq!(heap.statistics().blocks_idle, KEPT_BLOCKS);
    let before = heap.source().requests();
    for _ in 0..100 {
        Object::new(&heap, pages(63), 3).free(&heap);
    }
    assert!(
        heap.source().requests() <= before + 1,
        "asked the source again and again"
    );
    assert_sound(&heap);
}
