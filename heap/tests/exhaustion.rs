//! Memory that runs out, at every moment and in every way: null is the answer, and nothing else happens.
//!
//! (`Vec::try_reserve` on the heap as the program's own is in `global.rs`.)

mod common;

use core::ptr::NonNull;

use common::{
    CountedHeap, CountingSource, Numbers, Object, allocate, assert_apart, assert_empty,
    assert_sound, give_back, heap, heap_of, layout, reallocate,
};
use stack_alloc::{
    Allocator, BLOCK_SIZE, KEPT_BLOCKS, MemorySource, PAGE_SIZE, PageStatistics, Statistics,
};

/// What of the statistics a failed request must not change: all but what is held without being used.
///
/// Spare stacks may have gone back to make room, and a block may have come for the record of a region that did not.
#[derive(Debug, PartialEq)]
struct Live {
    classes: Vec<(usize, u64, u64)>,
    runs: PageStatistics,
    regions: PageStatistics,
    requested: usize,
    used: usize,
}

impl Live {
    fn of(statistics: &Statistics) -> Self {
        let classes = statistics.classes.iter();
        Self {
            classes: classes
                .map(|class| (class.chunks_used, class.allocations, class.frees))
                .collect(),
            runs: statistics.runs,
            regions: statistics.regions,
            requested: statistics.bytes_requested,
            used: statistics.bytes_used,
        }
    }
}

/// Asserts that `request` fails with null, is counted, and changes nothing.
#[track_caller]
fn assert_fails<H: CountedHeap>(heap: &H, request: impl FnOnce(&H) -> bool) {
    let before = heap.statistics();
    assert!(!request(heap), "there was memory");
    assert_failed_since(heap, &before);
}

/// Asserts that nothing has happened since `before` but one failed request.
#[track_caller]
fn assert_failed_since(heap: &impl CountedHeap, before: &Statistics) {
    let after = heap.statistics();
    assert_eq!(after.failures, before.failures + 1);
    assert_eq!(Live::of(&after), Live::of(before));
    assert!(after.bytes_held <= before.bytes_held + BLOCK_SIZE);
    assert_sound(heap);
}

/// A program that uses all kinds of memory and grows to some MiB. Every failed request is looked at.
/// Returns how many there were.
fn workload(heap: &impl CountedHeap) -> u64 {
    let mut numbers = Numbers::new(7);
    let mut live: Vec<Object> = Vec::new();
    let failures = heap.statistics().failures;
    for step in 0..400 {
        let fill = u8::try_from(step % 251).expect("small");
        let before = heap.statistics();
        let size = numbers.size(19);
        let log = numbers.below(16);
        match numbers.below(8) {
            0..=4 => live.extend(Object::try_new(heap, layout(size, 1 << log), fill)),
            5 => {
                if let Some(object) = numbers.pick(&mut live) {
                    object.free(heap);
                }
            }
            _ => {
                if let Some(mut object) = numbers.pick(&mut live) {
                    object.resize(heap, size, fill);
                    live.push(object);
                }
            }
        }
        if heap.statistics().failures > before.failures {
            assert_failed_since(heap, &before);
            assert_apart(&live);
        }
    }
    assert_apart(&live);
    for object in live {
        object.free(heap);
    }
    heap.statistics().failures - failures
}

fn a_source_that_fails_at_any_call_costs_one_request_and_nothing_else<H: CountedHeap>() {
    let honest = heap(1 << 30);
    assert_eq!(workload(&honest), 0);
    assert_empty(&honest);
    let requests = honest.source().requests();
    assert!(requests > 50, "only {requests} requests");
    for number in 1..=requests {
        let heap: H = heap_of(1 << 30);
        heap.source().refuse(number);
        let failures = workload(&heap);
        assert!(failures <= 1, "one refusal made {failures} requests fail");
        assert_empty(&heap);
        // And the heap is as good as new.
        assert_eq!(workload(&heap), 0);
        assert_empty(&heap);
    }
}

fn a_source_that_fails_from_any_call_on_leaves_a_working_heap<H: CountedHeap>() {
    for limit in (0..24).map(|blocks| blocks * BLOCK_SIZE + 3 * PAGE_SIZE) {
        let heap: H = heap_of(limit);
        workload(&heap);
        assert_empty(&heap);
        assert_eq!(heap.source().left(), limit);
    }
}

fn what_was_full_once_gets_as_full_again<H: CountedHeap>() {
    for size in [1, 48, 1000, 5000, 16 << 10, 40_000, 250_000, 300_000] {
        for limit in [BLOCK_SIZE, 2 * BLOCK_SIZE, 9 * BLOCK_SIZE + PAGE_SIZE] {
            let heap: H = heap_of(limit);
            let layout = layout(size, 8);
            let fill_up = || -> Vec<Object> {
                core::iter::from_fn(|| Object::try_new(&heap, layout, 1)).collect()
            };
            let first = fill_up();
            assert_fails(&heap, |heap| !allocate(heap, layout).is_null());
            assert_apart(&first);
            let count = first.len();
            // Free every second one, the rest, and all at once: the same number fits each time.
            let (stay, go): (Vec<_>, Vec<_>) = first
                .into_iter()
                .enumerate()
                .partition(|(number, _)| number % 2 == 0);
            let freed = go.len();
            for (_, object) in go {
                object.free(&heap);
            }
            let back = fill_up();
            assert_eq!(back.len(), freed, "{size} bytes in {limit}");
            for object in stay.into_iter().map(|(_, object)| object).chain(back) {
                object.free(&heap);
            }
            let again = fill_up();
            // The first stacks of a small heap are shorter, and lose a little more to their tails.
            assert!(again.len() >= count, "{size} bytes in {limit}");
            assert!(again.len() <= count + count / 16, "{size} bytes in {limit}");
            for object in again {
                object.free(&heap);
            }
            assert_empty(&heap);
        }
    }
}

fn a_full_heap_serves_other_sizes_once_something_is_free<H: CountedHeap>() {
    let heap: H = heap_of(BLOCK_SIZE);
    let small = layout(64, 8);
    let objects: Vec<Object> = core::iter::from_fn(|| Object::try_new(&heap, small, 1)).collect();
    let pages = H::PAGES_OF_A_BLOCK;
    assert_eq!(objects.len(), pages * 64, "all pages but the header");
    let run = layout(60 * PAGE_SIZE, 8);
    assert_fails(&heap, |heap| !allocate(heap, run).is_null());
    for object in objects {
        object.free(&heap);
    }
    // The empty stack that its list keeps is given up for those who need its page.
    Object::new(&heap, layout(pages * PAGE_SIZE, 8), 2).free(&heap);
    assert_empty(&heap);
}

fn without_any_memory_every_request_is_null<H: CountedHeap>() {
    let heap: H = heap_of(0);
    for size in [0, 1, 16, 5000, 16 << 10, 40_000, 300_000, 1 << 30] {
        for align in [1, 16, PAGE_SIZE, 2 << 20] {
            assert_fails(&heap, |heap| !allocate(heap, layout(size, align)).is_null());
            assert_fails(&heap, |heap| {
                // SAFETY: the heap takes any layout.
                !unsafe { heap.alloc_zeroed(layout(size, align)) }.is_null()
            });
        }
    }
    assert_eq!(heap.statistics().largest_available, 0);
    assert_eq!(heap.statistics().bytes_held, 0);
    assert_empty(&heap);
}

fn regions_that_fail_again_and_again_gather_no_blocks<H: CountedHeap>() {
    let heap: H = heap_of(3 * BLOCK_SIZE);
    for _ in 0..100 {
        assert_fails(&heap, |heap| !allocate(heap, layout(1 << 20, 8)).is_null());
    }
    assert_eq!(
        heap.source().bytes_out(),
        0,
        "a hopeless region took a block"
    );
    assert_empty(&heap);
}

fn idle_blocks_are_given_up_for_a_region<H: CountedHeap>() {
    let heap: H = heap_of(8 * BLOCK_SIZE);
    let run = layout(240_000, 8);
    let objects: Vec<Object> = (0..8).map(|fill| Object::new(&heap, run, fill)).collect();
    for object in objects {
        object.free(&heap);
    }
    // (With two shards it is one more, since one of them has done nothing.)
    let kept = KEPT_BLOCKS + usize::from(H::IS_SHARDED);
    assert_eq!(heap.statistics().blocks_idle, kept);
    // Four blocks are kept, four are left; the region takes six, the record's block one.
    let region = Object::new(&heap, layout(6 * BLOCK_SIZE, 8), 1);
    region.free(&heap);
    assert_empty(&heap);
}

fn huge_layouts_are_null<H: CountedHeap>() {
    const MOST: usize = isize::MAX as usize;
    let heap: H = heap_of(usize::MAX);
    let kept = Object::new(&heap, layout(48, 8), 1);
    for align in (0..=62).map(|log| 1_usize << log) {
        let largest = MOST - (align - 1);
        let sizes = [0, 1, 15, 16, 4095, 4096, 4097, BLOCK_SIZE, 1 << 48];
        for size in sizes.iter().filter_map(|less| largest.checked_sub(*less)) {
            if size < 1 << 48 && align < 1 << 48 {
                continue;
            }
            let huge = layout(size, align);
            assert_fails(&heap, |heap| !allocate(heap, huge).is_null());
            assert_fails(&heap, |heap| {
                // SAFETY: the heap takes any layout.
                !unsafe { heap.alloc_zeroed(huge) }.is_null()
            });
        }
    }
    kept.free(&heap);
    assert_empty(&heap);
}

fn a_huge_realloc_is_null_and_keeps_the_object<H: CountedHeap>() {
    const MOST: usize = isize::MAX as usize;
    let heap: H = heap_of(1 << 30);
    for size in [16, 5000, 40_000, 300_000] {
        let object = Object::new(&heap, layout(size, 8), 5);
        for new_size in [
            1 << 48,
            MOST - PAGE_SIZE,
            MOST - 7,
            MOST,
            usize::MAX - 7,
            usize::MAX,
        ] {
            let before = heap.statistics();
            let moved = reallocate(&heap, object.pointer(), object.layout(), new_size);
            assert!(moved.is_null(), "{size} grew to {new_size:#x}");
            assert_eq!(Live::of(&heap.statistics()), Live::of(&before));
            object.assert_intact();
        }
        object.free(&heap);
    }
    assert_empty(&heap);
}

fn nothing_can_be_asked_for<H: CountedHeap>() {
    let heap: H = heap_of(64 << 20);
    let mut live = Vec::new();
    for align in (0..=21).map(|log| 1 << log) {
        for _ in 0..3 {
            live.push(Object::new(&heap, layout(0, align), 0));
        }
    }
    let mut addresses: Vec<_> = live.iter().map(|object| object.pointer().addr()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), live.len(), "each is somewhere else");
    assert_eq!(heap.statistics().bytes_requested, 0);
    for (number, mut object) in live.into_iter().enumerate() {
        assert!(object.resize(&heap, number * 100, 1));
        assert!(object.resize(&heap, 0, 1));
        object.free(&heap);
        assert_sound(&heap);
    }
    assert_empty(&heap);
}

/// Brings a heap into some state: full, fragmented, fresh, with much or little left in the source.
fn some_state(heap: &impl CountedHeap, numbers: &mut Numbers) -> Vec<Object> {
    let mut live = Vec::new();
    let largest = u32::try_from(numbers.below(21)).expect("small");
    for _ in 0..numbers.below(300) {
        if numbers.below(3) > 0 {
            let layout = layout(numbers.size(largest), 1 << numbers.below(14));
            live.extend(Object::try_new(heap, layout, 1));
        } else if let Some(object) = numbers.pick(&mut live) {
            object.free(heap);
        }
    }
    match numbers.below(4) {
        0 => heap.trim(),
        // To the brim, so that what is left lies in the stacks.
        1 => {
            heap.source().set_left(0);
            for size in [40_000, PAGE_SIZE] {
                let more = || Object::try_new(heap, layout(size, 8), 1);
                live.extend(core::iter::from_fn(more));
            }
        }
        _ => {}
    }
    live
}

fn the_largest_available_can_be_had<H: CountedHeap>() {
    for seed in 0..400 {
        let mut numbers = Numbers::new(seed);
        let limit = numbers.size(23);
        let heap: H = heap_of(limit);
        let live = some_state(&heap, &mut numbers);
        for left in [
            heap.source().left(),
            0,
            numbers.size(12),
            numbers.size(15),
            numbers.size(21),
        ] {
            heap.source().set_left(left);
            let statistics = heap.statistics();
            let size = statistics.largest_available;
            if size == 0 {
                continue;
            }
            let align = 1 << numbers.below(5);
            let object = Object::try_new(&heap, layout(size, align), 2);
            let object = object.unwrap_or_else(|| {
                panic!("seed {seed}: no {size} bytes with {left} left:\n{statistics}")
            });
            object.free(&heap);
            assert_sound(&heap);
        }
        for object in live {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
}

#[test]
fn a_region_too_small_to_be_one_is_not_available() {
    // The heap's only block is full: of a record, and of a run. What the source has left is less than what comes
    // as a region: a request of that size would be for a chunk.
    let heap = heap(64 << 20);
    let region = Object::new(&heap, layout(1 << 20, 8), 1);
    let run = Object::new(&heap, layout(62 * PAGE_SIZE, 8), 2);
    for pages in 0..10 {
        heap.source().set_left(pages * PAGE_SIZE);
        let available = heap.statistics().largest_available;
        assert_eq!(available, if pages > 4 { pages * PAGE_SIZE } else { 0 });
        if available > 0 {
            Object::new(&heap, layout(available, 8), 3).free(&heap);
        }
    }
    region.free(&heap);
    run.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_source_that_knows_only_blocks_serves_what_a_block_can_hold() {
    struct Blocks(CountingSource);
    // SAFETY: blocks are those of another source.
    unsafe impl MemorySource for Blocks {
        fn get_block(&self) -> Option<NonNull<u8>> {
            self.0.get_block()
        }
        unsafe fn release_block(&self, block: NonNull<u8>) {
            // SAFETY: the caller's promise is that of the other source.
            unsafe { self.0.release_block(block) }
        }
    }
    let heap = Allocator::<Blocks>::new(Blocks(CountingSource::new(4 * BLOCK_SIZE)));
    let largest = Object::new(&heap, layout(BLOCK_SIZE - PAGE_SIZE, 8), 1);
    assert!(Object::try_new(&heap, layout(BLOCK_SIZE - PAGE_SIZE + 1, 8), 1).is_none());
    assert!(Object::try_new(&heap, layout(1, BLOCK_SIZE), 1).is_none());
    let held: Vec<Object> =
        core::iter::from_fn(|| Object::try_new(&heap, layout(200_000, 8), 2)).collect();
    assert_eq!(held.len(), 3);
    assert!(heap.statistics().largest_available < 200_000);
    heap.check().expect("sound");
    for object in held.into_iter().chain([largest]) {
        object.free(&heap);
    }
    heap.trim();
    assert_eq!(heap.source().0.pieces_out(), 0);
}

fn a_free_never_needs_memory<H: CountedHeap>() {
    // Frees of everything, in an order that empties stacks and blocks early and late, with a source that gives nothing.
    let heap: H = heap_of(4 << 20);
    let mut numbers = Numbers::new(3);
    let mut live: Vec<Object> = (0..2000)
        .filter_map(|_| Object::try_new(&heap, layout(numbers.size(18), 8), 1))
        .collect();
    heap.source().set_left(0);
    let requests = heap.source().requests();
    while let Some(object) = numbers.pick(&mut live) {
        let (pointer, layout) = (object.pointer(), object.layout());
        object.assert_intact();
        give_back(&heap, pointer, layout);
    }
    assert_eq!(heap.source().requests(), requests);
    assert_empty(&heap);
}

on_every_heap! { CountingSource:
    a_source_that_fails_at_any_call_costs_one_request_and_nothing_else,
    a_source_that_fails_from_any_call_on_leaves_a_working_heap,
    what_was_full_once_gets_as_full_again,
    a_full_heap_serves_other_sizes_once_something_is_free,
    without_any_memory_every_request_is_null,
    regions_that_fail_again_and_again_gather_no_blocks,
    idle_blocks_are_given_up_for_a_region,
    huge_layouts_are_null,
    a_huge_realloc_is_null_and_keeps_the_object,
    nothing_can_be_asked_for,
    the_largest_available_can_be_had,
    a_free_never_needs_memory,
}
