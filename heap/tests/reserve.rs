//! Blocks that are held back for urgent requests: who gets them, who does not, and how they come back.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

use common::arena::{
    Arena, ArenaHeap, Kind, Rules, WINDOW, assert_arena_empty, assert_arena_sound, churn, free_all,
};
use common::{Numbers, Object, allocate, assert_apart, give_back, in_time, layout, remember, seen};
use stack_alloc::{
    Allocator, BLOCK_SIZE, KEPT_BLOCKS, LARGEST_RESERVE, MisuseKind, PAGE_SIZE, Place,
};

thread_local! {
    /// Whether this thread's requests are urgent.
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// What the heaps of this file ask.
fn is_urgent() -> bool {
    URGENT.get()
}

/// Does `work` as something urgent.
fn urgently<T>(work: impl FnOnce() -> T) -> T {
    URGENT.set(true);
    let result = work();
    URGENT.set(false);
    result
}

/// Creates a heap over so many windows that give blocks alone.
fn heap(windows: usize) -> ArenaHeap {
    Allocator::new(Arena::full(windows, Rules::BLOCKS))
}

/// Creates a heap over `windows` windows, one of them in reserve, in which all other memory is live.
fn full_heap(windows: usize) -> (ArenaHeap, Vec<Object>) {
    let heap = heap(windows);
    assert_eq!(heap.set_reserve(1, is_urgent), 1);
    let run = layout(63 * PAGE_SIZE, 8);
    let live: Vec<Object> = core::iter::from_fn(|| Object::try_new(&heap, run, 1)).collect();
    assert_eq!(live.len(), windows - 1, "the reserve is not for everybody");
    (heap, live)
}

/// Returns how many blocks are in reserve, and asserts that the heap is sound.
#[track_caller]
fn reserved(heap: &ArenaHeap) -> usize {
    assert_arena_sound(heap);
    heap.statistics().blocks_reserved
}

/// A layout for each class, each length of a run, and each alignment of a run.
fn layouts_that_fit_a_block() -> Vec<Layout> {
    let classes = heap(1).statistics().classes;
    let chunks = classes.iter().map(|class| layout(class.chunk_size, 8));
    let runs = (5..WINDOW).map(|pages| layout(pages * PAGE_SIZE, 8));
    let aligned = [2, 4, 8, 16, 32].into_iter().flat_map(|align| {
        let lengths = 1..=WINDOW - align;
        lengths.map(move |pages| layout(pages * PAGE_SIZE, align * PAGE_SIZE))
    });
    let step = if cfg!(miri) { 17 } else { 1 };
    chunks.chain(runs).chain(aligned).step_by(step).collect()
}

#[test]
fn the_reserve_is_held_and_counted() {
    let heap = heap(12);
    for (asked, had) in [(1, 1), (3, 3), (8, 8), (9, 8), (usize::MAX, 8), (2, 2)] {
        assert_eq!(heap.set_reserve(asked, is_urgent), had);
        assert_eq!(reserved(&heap), had);
        assert_eq!(heap.statistics().blocks, had);
        assert_eq!(heap.statistics().blocks_idle, 0);
        assert_eq!(heap.source().bytes_out(), had * BLOCK_SIZE);
        assert_eq!(heap.statistics().free_in_pages, 0);
        assert_eq!(heap.statistics().largest_available, 0);
        heap.trim();
        assert_eq!(reserved(&heap), had, "trim leaves it");
    }
    assert_eq!(LARGEST_RESERVE, 8);
    assert_eq!(heap.set_reserve(0, is_urgent), 0);
    assert_arena_empty(&heap);
    assert_eq!(heap.source().bytes_out(), 0);
    assert_eq!(heap.statistics().bytes_held_peak, 8 * BLOCK_SIZE);
}

#[test]
fn urgent_requests_of_every_kind_get_it_and_others_do_not() {
    let (heap, live) = full_heap(2);
    for asked in layouts_that_fit_a_block() {
        assert!(allocate(&heap, asked).is_null(), "{asked:?}");
        assert_eq!(reserved(&heap), 1);
        let failures = heap.statistics().failures;
        let object = urgently(|| Object::try_new(&heap, asked, 2));
        let object = object.unwrap_or_else(|| panic!("nothing for {asked:?}"));
        assert_eq!(reserved(&heap), 0);
        assert_eq!(heap.statistics().failures, failures);
        assert_apart(live.iter().chain([&object]));
        object.free(&heap);
        assert_eq!(reserved(&heap), 1, "it is filled up again");
        assert_eq!(heap.statistics().blocks_idle, 0);
    }
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn what_no_block_can_hold_does_not_touch_it() {
    let (heap, live) = full_heap(2);
    for asked in [
        layout(64 * PAGE_SIZE, 8),
        layout(1, BLOCK_SIZE),
        layout(33 * PAGE_SIZE, 32 * PAGE_SIZE),
        layout(1 << 30, 8),
        layout(isize::MAX as usize, 1),
    ] {
        assert!(urgently(|| allocate(&heap, asked)).is_null(), "{asked:?}");
        assert_eq!(reserved(&heap), 1);
    }
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn urgent_requests_take_what_is_free_before_the_reserve() {
    let heap = heap(3);
    assert_eq!(heap.set_reserve(1, is_urgent), 1);
    let run = layout(63 * PAGE_SIZE, 8);
    let first = urgently(|| Object::new(&heap, run, 1));
    let second = urgently(|| Object::new(&heap, run, 2));
    assert_eq!(reserved(&heap), 1);
    let third = urgently(|| Object::new(&heap, run, 3));
    assert_eq!(reserved(&heap), 0);
    assert!(urgently(|| allocate(&heap, run)).is_null());
    assert_eq!(heap.statistics().failures, 1);
    free_all(&heap, [first, second, third]);
    assert_eq!(reserved(&heap), 1);
    assert_arena_empty(&heap);
}

#[test]
fn clearing_and_growing_can_be_urgent_too() {
    let (heap, live) = full_heap(2);
    let zeroed = urgently(|| Object::try_zeroed(&heap, layout(5000, 8), 1));
    zeroed.expect("there is the reserve").free(&heap);
    assert_eq!(reserved(&heap), 1);
    // A chunk in what the reserve gave, which the others then have for growing.
    let mut chunk = urgently(|| Object::new(&heap, layout(100, 8), 1));
    assert!(chunk.resize(&heap, 10_000, 2), "the block serves everybody");
    assert!(chunk.resize(&heap, 40 * PAGE_SIZE, 3));
    assert!(!chunk.resize(&heap, 63 * PAGE_SIZE + 1, 4));
    assert_eq!(reserved(&heap), 0);
    chunk.free(&heap);
    assert_eq!(reserved(&heap), 1);
    let mut live = live.into_iter();
    let mut grown = live.next().expect("a run");
    assert!(
        urgently(|| grown.resize(&heap, 1000, 5)),
        "a chunk elsewhere"
    );
    grown.free(&heap);
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn the_rest_of_a_block_out_of_the_reserve_serves_everybody() {
    let (heap, live) = full_heap(3);
    let urgent = urgently(|| Object::new(&heap, layout(16, 8), 1));
    let rest: Vec<Object> =
        core::iter::from_fn(|| Object::try_new(&heap, layout(PAGE_SIZE, 8), 2)).collect();
    assert_eq!(rest.len(), 62);
    assert_eq!(reserved(&heap), 0);
    // The urgent one goes, the block stays: it is not idle.
    urgent.free(&heap);
    assert_eq!(reserved(&heap), 0);
    free_all(&heap, rest);
    assert_eq!(reserved(&heap), 1);
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn the_next_whole_block_that_falls_idle_fills_it_up() {
    let (heap, mut live) = full_heap(4);
    let urgent = urgently(|| Object::new(&heap, layout(63 * PAGE_SIZE, 8), 2));
    assert_eq!(reserved(&heap), 0);
    // Another block than the one that was in reserve.
    live.pop().expect("a run").free(&heap);
    assert_eq!(reserved(&heap), 1);
    assert_eq!(heap.statistics().blocks_idle, 0);
    assert!(allocate(&heap, layout(1, 1)).is_null(), "it is held back");
    live.pop().expect("a run").free(&heap);
    assert_eq!(reserved(&heap), 1);
    assert_eq!(heap.statistics().blocks_idle, 1);
    urgent.free(&heap);
    assert_eq!(heap.statistics().blocks_idle, 2);
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn a_block_with_a_spare_stack_fills_it_up_too() {
    let (heap, live) = full_heap(2);
    for size in [16, 1000, 5000, 16 << 10] {
        // The empty stack would stay in hand otherwise.
        urgently(|| Object::new(&heap, layout(size, 8), 2)).free(&heap);
        assert_eq!(reserved(&heap), 1, "{size} bytes");
        assert_eq!(heap.statistics().classes.map(|class| class.stacks), [0; 36]);
    }
    free_all(&heap, live);
    assert_arena_empty(&heap);
}

#[test]
fn idle_blocks_in_hand_become_the_reserve_when_memory_is_short() {
    let heap = heap(3);
    let run = layout(63 * PAGE_SIZE, 8);
    let runs: Vec<Object> = (0..3).map(|fill| Object::new(&heap, run, fill)).collect();
    let mut runs = runs.into_iter();
    let live = runs.next().expect("a run");
    free_all(&heap, runs);
    // Nothing is left in the source; two blocks are idle, one with a spare stack.
    Object::new(&heap, layout(48, 8), 1).free(&heap);
    assert_eq!(heap.statistics().blocks_idle, 2);
    assert_eq!(heap.set_reserve(3, is_urgent), 2, "the third one is live");
    assert_eq!(reserved(&heap), 2);
    assert_eq!(heap.statistics().blocks_idle, 0);
    live.free(&heap);
    assert_eq!(reserved(&heap), 3, "now it is not");
    assert_eq!(heap.set_reserve(1, is_urgent), 1);
    assert_eq!(heap.source().bytes_out(), BLOCK_SIZE);
    assert_arena_empty(&heap);
}

#[test]
fn the_reserve_is_lowered_with_as_many_idle_blocks_as_are_kept() {
    let heap = heap(KEPT_BLOCKS + LARGEST_RESERVE);
    assert_eq!(heap.set_reserve(8, is_urgent), 8);
    let run = layout(63 * PAGE_SIZE, 8);
    let runs: Vec<Object> = core::iter::from_fn(|| Object::try_new(&heap, run, 1)).collect();
    free_all(&heap, runs);
    assert_eq!(heap.statistics().blocks_idle, KEPT_BLOCKS);
    for blocks in [7, 3, 0] {
        assert_eq!(heap.set_reserve(blocks, is_urgent), blocks);
        assert_eq!(reserved(&heap), blocks);
        assert!(heap.statistics().blocks_idle <= KEPT_BLOCKS);
        let held = heap.statistics().blocks_idle + blocks;
        assert_eq!(heap.source().bytes_out(), held * BLOCK_SIZE);
    }
    assert_arena_empty(&heap);
    assert_eq!(heap.source().bytes_out(), 0);
}

#[test]
fn an_urgent_request_finds_room_beside_idle_parts() {
    // As many idle parts as are kept, all too short, and one block in reserve.
    let parts = (1..=KEPT_BLOCKS).map(|window| window * WINDOW..window * WINDOW + 10);
    let pages = parts.chain(core::iter::once(0..WINDOW));
    let rules = Rules {
        regions: false,
        ..Rules::ALL
    };
    let heap = Allocator::new(Arena::new(1 + KEPT_BLOCKS, pages, rules));
    assert_eq!(heap.set_reserve(1, is_urgent), 1);
    let small = layout(9 * PAGE_SIZE, 8);
    let runs: Vec<Object> = core::iter::from_fn(|| Object::try_new(&heap, small, 1)).collect();
    assert_eq!(runs.len(), KEPT_BLOCKS);
    free_all(&heap, runs);
    assert_eq!(heap.statistics().blocks_idle, KEPT_BLOCKS);
    let large = layout(40 * PAGE_SIZE, 8);
    assert!(allocate(&heap, large).is_null());
    let object = urgently(|| Object::new(&heap, large, 2));
    assert_arena_sound(&heap);
    object.free(&heap);
    assert_eq!(reserved(&heap), 1);
    assert_arena_empty(&heap);
}

#[test]
fn regions_do_not_take_the_reserve_away() {
    let heap = Allocator::new(Arena::full(4, Rules::ALL));
    assert_eq!(heap.set_reserve(2, is_urgent), 2);
    let region = layout(64 * PAGE_SIZE, 8);
    let object = Object::new(&heap, region, 1);
    assert_eq!(heap.source().pieces_out(Kind::Region), 1);
    assert!(
        allocate(&heap, region).is_null(),
        "one is the record's block"
    );
    assert_eq!(reserved(&heap), 2);
    object.free(&heap);
    assert_eq!(reserved(&heap), 2);
    assert_arena_empty(&heap);
}

#[test]
fn each_block_of_the_reserve_may_be_refused() {
    for number in 1..=4 {
        let heap = heap(8);
        heap.source().refuse(number);
        let had = heap.set_reserve(4, is_urgent);
        assert_eq!(had, number - 1, "call {number} was refused");
        assert_eq!(reserved(&heap), had);
        // What is missing comes with blocks that fall idle.
        let run = layout(63 * PAGE_SIZE, 8);
        let runs = (0..4)
            .map(|fill| Object::new(&heap, run, fill))
            .collect::<Vec<_>>();
        free_all(&heap, runs);
        assert_eq!(reserved(&heap), 4);
        assert_eq!(heap.statistics().blocks_idle, had);
        assert_arena_empty(&heap);
    }
}

#[test]
fn any_call_of_the_source_may_fail() {
    // Returns requests that were answered with null.
    let workload = |heap: &ArenaHeap| {
        let mut numbers = Numbers::new(4);
        let mut live = Vec::new();
        for step in 0..300 {
            if step % 60 == 0 {
                heap.set_reserve(numbers.below(4), is_urgent);
                assert_arena_sound(heap);
            }
            let asked = layout(numbers.size(16), 1 << numbers.below(14));
            URGENT.set(numbers.below(3) == 0);
            match numbers.below(3) {
                0 => free_all(heap, numbers.pick(&mut live)),
                _ => live.extend(Object::try_new(heap, asked, 1)),
            }
            URGENT.set(false);
        }
        assert_arena_sound(heap);
        assert_apart(&live);
        free_all(heap, live);
        assert_arena_empty(heap);
        heap.statistics().failures
    };
    let honest = heap(64);
    assert_eq!(workload(&honest), 0);
    let step = if cfg!(miri) { 20 } else { 1 };
    for number in (1..=honest.source().requests()).step_by(step) {
        let heap = heap(64);
        heap.source().refuse(number);
        assert!(workload(&heap) <= 1);
        assert_eq!(heap.set_reserve(0, is_urgent), 0);
        assert_eq!(heap.source().bytes_out(), 0);
    }
}

#[test]
fn random_requests_that_are_not_urgent_leave_it_whole() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        let rules = if seed % 2 == 0 {
            Rules::BLOCKS
        } else {
            Rules::ALL
        };
        let pages = core::iter::once(seed * 5..seed * 5 + 6 * WINDOW);
        let heap = Allocator::new(Arena::new(8, pages, rules));
        let had = heap.set_reserve(3, is_urgent);
        assert_eq!(had, 3);
        let mut numbers = Numbers::new(seed as u64);
        churn(&heap, &mut numbers, if cfg!(miri) { 60 } else { 1000 }, 16);
        assert_eq!(reserved(&heap), 3);
        assert!(
            heap.statistics().failures > 0 || cfg!(miri),
            "memory was not short"
        );
        // And with some urgent ones, it comes back in the end.
        let mut live = Vec::new();
        for step in 0..if cfg!(miri) { 60 } else { 1000 } {
            let before = heap.statistics().blocks_reserved;
            let asked = layout(numbers.size(16), 1 << numbers.below(14));
            let urgent = numbers.below(4) == 0;
            if numbers.below(3) > 0 {
                URGENT.set(urgent);
                live.extend(Object::try_new(&heap, asked, 1));
                URGENT.set(false);
                let after = heap.statistics().blocks_reserved;
                assert!(after == before || urgent && after + 1 == before);
            } else {
                free_all(&heap, numbers.pick(&mut live));
                assert!(heap.statistics().blocks_reserved >= before);
            }
            if step % 32 == 0 {
                assert_arena_sound(&heap);
            }
        }
        assert_apart(&live);
        free_all(&heap, live);
        heap.trim();
        assert!(reserved(&heap) <= 3);
        assert_eq!(heap.set_reserve(3, is_urgent), 3);
        assert_arena_empty(&heap);
    }
}

#[test]
fn what_is_in_reserve_is_known_and_free() {
    let heap = heap(1);
    heap.set_misuse_handler(remember);
    assert_eq!(heap.set_reserve(1, is_urgent), 1);
    assert_eq!(heap.what_is(heap.source().address(0)), Place::Own);
    assert_eq!(heap.what_is(heap.source().address(1)), Place::FreePage);
    assert_eq!(heap.what_is(heap.source().address(63)), Place::FreePage);
    assert_eq!(heap.live_objects().count(), 0);
    let urgent = urgently(|| Object::new(&heap, layout(100, 8), 1));
    let (pointer, asked) = (urgent.pointer(), urgent.layout());
    assert_eq!(heap.live_objects().count(), 1);
    urgent.free(&heap);
    give_back(&heap, pointer, asked);
    let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
    assert_eq!(kinds, [MisuseKind::DoubleFree]);
    assert_eq!(reserved(&heap), 1);
    assert_arena_empty(&heap);
}

/// How often [`count_and_look`] was called.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Says that it is urgent, and uses a heap meanwhile.
fn count_and_look() -> bool {
    ASKED.fetch_add(1, Ordering::Relaxed);
    LOOKED_AT.statistics();
    assert!(LOOKED_AT.check().is_ok());
    true
}

/// A heap whose urgent contexts look at it.
static LOOKED_AT: common::Heap = common::heap(BLOCK_SIZE);

#[test]
fn urgency_is_asked_without_the_lock_and_only_when_memory_is_out() {
    in_time(|| {
        let heap = &LOOKED_AT;
        assert_eq!(heap.set_reserve(1, count_and_look), 1);
        assert_eq!(ASKED.load(Ordering::Relaxed), 0);
        let first = Object::new(heap, layout(100, 8), 1);
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        let second = Object::new(heap, layout(100, 8), 2);
        // SAFETY: the heap takes any layout.
        let third = unsafe { heap.alloc_zeroed(layout(5000, 8)) };
        assert_eq!(ASKED.load(Ordering::Relaxed), 1, "there was memory");
        give_back(heap, third, layout(5000, 8));
        assert!(allocate(heap, layout(63 * PAGE_SIZE, 8)).is_null());
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
        first.free(heap);
        second.free(heap);
        // Whoever sets the reserve last says what is urgent.
        assert_eq!(heap.set_reserve(1, || false), 1);
        assert!(allocate(heap, layout(100, 8)).is_null());
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
        assert_eq!(heap.set_reserve(0, || false), 0);
        common::assert_empty(heap);
    });
}
