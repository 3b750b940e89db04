//! Objects that change their size where they stand, alignments that are kept, and clearing of memory that was used.

mod common;

use common::{
    Heap, Numbers, Object, allocate, assert_apart, assert_empty, assert_sound, give_back, heap,
    layout, reallocate,
};
use stack_alloc::{BLOCK_SIZE, PAGE_SIZE};

/// Resizes `object` and returns whether it stayed where it was.
#[track_caller]
fn stays(object: &mut Object, heap: &Heap, size: usize) -> bool {
    let before = object.pointer();
    assert!(object.resize(heap, size, 7), "no memory for {size} bytes");
    object.pointer() == before
}

#[test]
fn an_object_stays_while_its_size_is_of_the_same_class() {
    let heap = heap(64 << 20);
    let classes = heap.statistics().classes;
    let mut smaller = 0;
    for class in classes {
        let mut object = Object::new(&heap, layout(smaller + 1, 8), 1);
        for size in [
            class.chunk_size,
            smaller + 1,
            (smaller + class.chunk_size) / 2 + 1,
        ] {
            assert!(stays(&mut object, &heap, size), "{size} bytes");
        }
        assert_eq!(
            heap.statistics().allocations(),
            heap.statistics().frees() + 1
        );
        if class.chunk_size < 16 << 10 {
            assert!(!stays(&mut object, &heap, class.chunk_size + 1));
        }
        object.free(&heap);
        smaller = class.chunk_size;
    }
    assert_empty(&heap);
}

#[test]
fn a_run_grows_into_the_free_pages_behind_it() {
    let heap = heap(64 << 20);
    let mut object = Object::new(&heap, layout(5 * PAGE_SIZE, 8), 1);
    for pages in 6..=63 {
        assert!(
            stays(&mut object, &heap, pages * PAGE_SIZE),
            "{pages} pages"
        );
        assert_sound(&heap);
        assert_eq!(heap.statistics().runs.bytes, pages * PAGE_SIZE);
    }
    assert_eq!(heap.source().requests(), 1);
    // Beyond the block it becomes a region.
    assert!(!stays(&mut object, &heap, 64 * PAGE_SIZE));
    assert_eq!(heap.statistics().regions.live, 1);
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_run_does_not_grow_into_its_neighbour() {
    let heap = heap(64 << 20);
    let mut first = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 1);
    let second = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 2);
    assert_eq!(
        first.range().end,
        second.range().start,
        "they are neighbours"
    );
    assert!(!stays(&mut first, &heap, 11 * PAGE_SIZE));
    assert_apart([&first, &second]);
    second.assert_intact();
    first.free(&heap);
    second.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_run_grows_up_to_its_neighbour() {
    let heap = heap(64 << 20);
    let mut first = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 1);
    let middle = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 2);
    let last = Object::new(&heap, layout(10 * PAGE_SIZE, 8), 3);
    middle.free(&heap);
    assert!(stays(&mut first, &heap, 20 * PAGE_SIZE));
    assert!(!stays(&mut first, &heap, 20 * PAGE_SIZE + 1));
    assert_apart([&first, &last]);
    last.free(&heap);
    first.free(&heap);
    assert_empty(&heap);
}

#[test]
fn the_tail_of_a_shrunk_run_is_used_again() {
    let heap = heap(BLOCK_SIZE);
    let mut object = Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1);
    assert!(
        Object::try_new(&heap, layout(1, 1), 2).is_none(),
        "the block is full"
    );
    // Nothing is left, so it shrinks where it is, in steps, and each tail can be had.
    let mut tails = Vec::new();
    for pages in [50, 30, 22, 5] {
        let freed = object.layout().size() - pages * PAGE_SIZE;
        assert!(stays(&mut object, &heap, pages * PAGE_SIZE));
        assert_sound(&heap);
        let tail = Object::new(&heap, layout(freed, 8), 3);
        assert_eq!(tail.pointer().addr(), object.range().end);
        tails.push(tail);
    }
    assert_apart(tails.iter().chain([&object]));
    for tail in tails {
        tail.free(&heap);
    }
    // And back up over all of them.
    assert!(stays(&mut object, &heap, 63 * PAGE_SIZE));
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_shrunk_tail_serves_small_objects_too() {
    let heap = heap(BLOCK_SIZE);
    let mut object = Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1);
    assert!(stays(&mut object, &heap, 62 * PAGE_SIZE));
    let small: Vec<Object> =
        core::iter::from_fn(|| Object::try_new(&heap, layout(64, 8), 2)).collect();
    assert_eq!(small.len(), 64);
    assert_apart(small.iter().chain([&object]));
    assert!(
        !object.resize(&heap, 63 * PAGE_SIZE, 1),
        "the page is taken"
    );
    for object in small {
        object.free(&heap);
    }
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_region_stays_while_its_pages_suffice() {
    let heap = heap(64 << 20);
    let mut object = Object::new(&heap, layout(300_000, 8), 1);
    let pages = 300_000_usize.div_ceil(PAGE_SIZE);
    assert!(stays(&mut object, &heap, pages * PAGE_SIZE));
    assert!(stays(&mut object, &heap, (pages - 1) * PAGE_SIZE + 1));
    assert_eq!(heap.statistics().regions.allocations, 1);
    assert!(object.resize(&heap, 2 << 20, 2));
    assert!(object.resize(&heap, 100, 3));
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn shrinking_within_a_block_asks_nobody() {
    let heap = heap(64 << 20);
    let mut object = Object::new(&heap, layout(200_000, 8), 1);
    heap.source().set_left(0);
    let requests = heap.source().requests();
    for size in [150_000, 100_000, 40_000, 20_000] {
        assert!(stays(&mut object, &heap, size));
    }
    assert_eq!(heap.source().requests(), requests);
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn contents_and_alignment_come_along_through_every_kind_of_memory() {
    let heap = heap(256 << 20);
    let mut numbers = Numbers::new(9);
    for log in 0..=21 {
        let align = 1 << log;
        let mut object = Object::new(&heap, layout(1, align), 1);
        for fill in 2..60 {
            // `resize` looks at contents and alignment each time.
            let size = numbers.size(19);
            assert!(object.resize(&heap, size, fill));
        }
        assert_sound(&heap);
        object.free(&heap);
    }
    assert_empty(&heap);
}

#[test]
fn every_alignment_is_kept_at_many_sizes() {
    let heap = heap(1 << 30);
    for log in 0..=21 {
        let align = 1 << log;
        let sizes = [
            1,
            7,
            16,
            17,
            100,
            1000,
            4096,
            5000,
            16 << 10,
            20_000,
            100_000,
            258_048,
            300_000,
        ];
        // `Object::new` looks at the alignment; two of each, so that none is aligned by chance.
        let objects: Vec<Object> = sizes
            .iter()
            .chain(&[align, align + 1, 3 * align])
            .flat_map(|size| [*size, *size])
            .map(|size| Object::new(&heap, layout(size, align), 1))
            .collect();
        assert_sound(&heap);
        assert_apart(&objects);
        for object in objects {
            object.free(&heap);
        }
    }
    assert_eq!(heap.statistics().failures, 0);
    assert_empty(&heap);
}

#[test]
fn an_aligned_run_takes_any_fitting_place() {
    // One block, its odd pages taken: every place that is left is found before the heap gives up.
    let heap = heap(BLOCK_SIZE);
    let page = layout(PAGE_SIZE, 2 * PAGE_SIZE);
    let even: Vec<Object> = core::iter::from_fn(|| Object::try_new(&heap, page, 1)).collect();
    assert_eq!(even.len(), 31, "the even pages but the header");
    let odd: Vec<Object> =
        core::iter::from_fn(|| Object::try_new(&heap, layout(1, PAGE_SIZE), 2)).collect();
    assert_apart(even.iter().chain(&odd));
    assert_eq!(odd.len(), 32);
    // A single page, with neither neighbour free, is found again.
    let even: Vec<Object> = even
        .into_iter()
        .map(|object| {
            let place = object.pointer();
            object.free(&heap);
            let again = Object::new(&heap, page, 3);
            assert_eq!(again.pointer(), place);
            again
        })
        .collect();
    for object in even.into_iter().chain(odd) {
        object.free(&heap);
    }
    assert_empty(&heap);
}

#[test]
fn cleared_memory_is_clear_where_it_was_used_before() {
    let heap = heap(64 << 20);
    for size in [
        1,
        16,
        40,
        1000,
        5000,
        16 << 10,
        40_000,
        250_000,
        300_000,
        2 << 20,
    ] {
        for align in [1, 64, PAGE_SIZE, 64 << 10] {
            let layout = layout(size, align);
            let kept = Object::new(&heap, layout, 0xff);
            let dirty: Vec<Object> = (0..4).map(|_| Object::new(&heap, layout, 0xff)).collect();
            let mut places: Vec<_> = dirty.iter().map(Object::pointer).collect();
            for object in dirty {
                object.free(&heap);
            }
            // `try_zeroed` looks at every byte.
            let zeroed: Vec<Object> = (0..4)
                .map(|_| Object::try_zeroed(&heap, layout, 0xee).expect("there is memory"))
                .collect();
            if size <= 250_000 && align <= PAGE_SIZE {
                places.retain(|place| zeroed.iter().any(|object| object.pointer() == *place));
                assert!(!places.is_empty(), "no dirty place was used again");
            }
            for object in zeroed {
                object.free(&heap);
            }
            kept.free(&heap);
        }
    }
    assert_empty(&heap);
}

#[test]
fn resizing_is_counted() {
    let heap = heap(64 << 20);
    let object = layout(40, 8);
    let pointer = allocate(&heap, object);
    let pointer = reallocate(&heap, pointer, object, 48);
    assert_eq!(heap.statistics().bytes_requested, 48);
    let pointer = reallocate(&heap, pointer, layout(48, 8), 100_000);
    assert_eq!(heap.statistics().bytes_requested, 100_000);
    assert_eq!(heap.statistics().live(), 1);
    let pointer = reallocate(&heap, pointer, layout(100_000, 8), 90_000);
    assert_eq!(heap.statistics().bytes_requested, 90_000);
    assert_eq!(
        heap.statistics().runs.bytes,
        90_000_usize.next_multiple_of(PAGE_SIZE)
    );
    assert!(heap.statistics().bytes_requested_peak >= 100_000);
    give_back(&heap, pointer, layout(90_000, 8));
    assert_empty(&heap);
}

#[test]
fn a_run_that_came_as_a_region_stays_while_its_pages_suffice() {
    // One block for small things, then too little for another one, but enough for the run.
    let heap = heap(BLOCK_SIZE + 30 * PAGE_SIZE);
    let filler = Object::new(&heap, layout(60 * PAGE_SIZE, 1), 1);
    let mut run = Object::new(&heap, layout(100_000, 1), 2);
    assert_eq!(heap.statistics().regions.live, 1);
    heap.source().set_left(0);
    assert!(stays(&mut run, &heap, 100_001));
    assert!(stays(&mut run, &heap, 99_000));
    run.free(&heap);
    filler.free(&heap);
    assert_sound(&heap);
}
