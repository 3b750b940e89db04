//! A heap of many shards in windows of 256 KiB that are not one shard's alone: parts of blocks, regions beside them, and runs as long as
//! what is left of a block.

mod common;

use core::iter::once;

use common::arena::{Arena, ArenaHeap, Kind, Rules, WINDOW};
use common::chosen_cpu::on;
use common::heap_under_test::ShardedHeap;
use common::{
    HeapUnderTest, Object, assert_empty_after_trim, assert_sound, layout, remember, seen,
};
use stack_alloc::PAGE_SIZE;

/// A heap of four shards.
type Sharded = ShardedHeap<Arena, 4>;

/// A source of parts and regions, without a block.
const PARTS_AND_REGIONS: Rules = Rules {
    blocks: false,
    ..Rules::ALL
};

/// Pages of a region.
const REGION_PAGES: usize = 80;

/// Creates a heap over `arena`.
fn heap_over(arena: Arena) -> Sharded {
    let heap = Sharded::new(arena);
    heap.set_misuse_handler(remember);
    heap
}

/// A region of CPU 1's that begins in the window of a part of CPU 0's, right behind it.
struct Neighbours {
    heap: Sharded,
    region: Object,
    /// One object in the part of each.
    rest: [Object; 2],
}

impl Neighbours {
    /// Creates a heap with nothing else in it.
    fn new() -> Self {
        let heap = heap_over(Arena::new(3, once(0..16), PARTS_AND_REGIONS));
        let of_first = on(0, || Object::new(&heap, layout(64, 8), 1));
        heap.source().add_pages(2 * WINDOW + 32..3 * WINDOW);
        let of_second = on(1, || Object::new(&heap, layout(64, 8), 2));
        heap.source().add_pages(16..16 + REGION_PAGES);
        let size = layout(REGION_PAGES * PAGE_SIZE, 8);
        let region = on(1, || Object::new(&heap, size, 3));
        let out = heap.source().out();
        assert_eq!(
            out,
            [
                (0, 16, Kind::Part),
                (16, REGION_PAGES, Kind::Region),
                (2 * WINDOW + 32, WINDOW - 32, Kind::Part),
            ]
        );
        Self {
            heap,
            region,
            rest: [of_first, of_second],
        }
    }

    /// Frees what is left, and asserts that no free was called wrong.
    #[track_caller]
    fn end(heap: &Sharded, rest: [Object; 2]) {
        assert_sound(heap);
        rest.into_iter().for_each(|object| object.free(heap));
        assert_empty_after_trim(heap);
        assert_eq!(seen(), [], "what was right was called wrong");
    }
}

#[test]
fn a_region_in_the_window_of_a_part_is_freed_by_anybody() {
    for cpu in 0..Sharded::CPUS {
        let Neighbours { heap, region, rest } = Neighbours::new();
        on(cpu, || region.free(&heap));
        assert_eq!(heap.source().pieces_out(Kind::Region), 0);
        Neighbours::end(&heap, rest);
    }
}

#[test]
fn a_region_in_the_window_of_a_part_is_resized_by_anybody() {
    for (cpu, size) in (0..Sharded::CPUS).flat_map(|cpu| [(cpu, 64), (cpu, 300_000)]) {
        let Neighbours {
            heap,
            mut region,
            rest,
        } = Neighbours::new();
        assert!(on(cpu, || region.resize(&heap, size, 4)), "by CPU {cpu}");
        assert_sound(&heap);
        on(cpu, || region.free(&heap));
        Neighbours::end(&heap, rest);
    }
}

#[test]
fn an_empty_heap_has_every_run_that_fits_behind_record_and_header() {
    /// Pages of a block that no object can have.
    const TAKEN: usize = WINDOW - Sharded::PAGES_OF_A_BLOCK;
    // Fewer pages may be chunks.
    for (align, pages) in [1, 2, 4, 8, 16, 32]
        .into_iter()
        .flat_map(|align| (5..WINDOW).map(move |pages| (align, pages)))
    {
        let heap = heap_over(Arena::full(1, Rules::BLOCKS));
        let size = layout(pages * PAGE_SIZE, align * PAGE_SIZE);
        let run = Object::try_new(&heap, size, 1);
        let fits = TAKEN.next_multiple_of(align) + pages <= WINDOW;
        assert_eq!(run.is_some(), fits, "{pages} pages aligned to {align}");
        run.into_iter().for_each(|run| run.free(&heap));
        assert_empty_after_trim(&heap);
    }
}

#[test]
fn aligned_runs_are_had_as_in_a_heap_with_one_lock() {
    // What fits in a block whose first page is taken, and has an alignment, fits when the second one is, too.
    for (align, pages) in [2, 4, 8, 16, 32]
        .into_iter()
        .flat_map(|align| (5..WINDOW).map(move |pages| (align, pages)))
    {
        let size = layout(pages * PAGE_SIZE, align * PAGE_SIZE);
        let one_lock = ArenaHeap::new(Arena::full(1, Rules::BLOCKS));
        let sharded = heap_over(Arena::full(1, Rules::BLOCKS));
        assert_eq!(
            Object::try_new(&one_lock, size, 1).is_some(),
            Object::try_new(&sharded, size, 1).is_some(),
            "{pages} pages aligned to {align}"
        );
    }
}

#[test]
fn a_window_belongs_to_one_shard_and_the_source_is_told_so() {
    let rules = Rules {
        part_pages: 20,
        one_part_a_window: false,
        asks: true,
        ..Rules::PARTS
    };
    let heap = heap_over(Arena::full(2, rules));
    let objects = [0, 1].map(|cpu| on(cpu, || Object::new(&heap, layout(64, 8), 1)));
    let out = heap.source().out();
    assert_eq!(out, [(0, 20, Kind::Part), (WINDOW, 20, Kind::Part)]);
    // Both windows are taken.
    let third = on(2, || Object::try_new(&heap, layout(100_000, 8), 1));
    assert!(third.is_none());
    assert_eq!(heap.source().out(), out, "there is no use for more");
    objects.into_iter().for_each(|object| object.free(&heap));
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn a_part_of_no_use_goes_back_at_once_if_the_source_does_not_ask() {
    for cpu in 0..Sharded::CPUS {
        let rules = Rules {
            one_part_a_window: false,
            ..Rules::PARTS
        };
        let heap = heap_over(Arena::new(1, once(0..20), rules));
        let object = on(0, || Object::new(&heap, layout(64, 8), 1));
        // There is no room for this one but in the rest of the same window.
        heap.source().add_pages(20..WINDOW);
        let run = on(cpu, || Object::try_new(&heap, layout(100_000, 8), 1));
        assert!(run.is_none());
        let was_given = heap.source().times_given(heap.source().address(20));
        assert!(was_given > 0, "the source has tried");
        assert_eq!(heap.source().out(), [(0, 20, Kind::Part)]);
        assert_eq!(seen(), [], "no harm was done");
        object.free(&heap);
        assert_empty_after_trim(&heap);
    }
}
