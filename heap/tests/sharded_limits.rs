//! How much memory a heap of many shards keeps, and how much of it can be live: what its documentation says.

mod common;

use common::chosen_cpu::on;
use common::heap_under_test::ShardedHeap;
use common::{
    CountingSource, Heap, HeapUnderTest, Numbers, Object, assert_empty_after_trim, assert_sound,
    layout,
};
use stack_alloc::{BLOCK_SIZE, KEPT_BLOCKS};

/// Shards of the heap under test.
const SHARDS: usize = 4;

/// A heap of so many shards.
type Sharded = ShardedHeap<CountingSource, SHARDS>;

/// Stacks, or runs, that others may empty before somebody looks. (With the next one he does.)
const MOST_EMPTIED: usize = 15;

/// One size of each kind that lives in blocks.
const SIZES: [usize; 8] = [16, 48, 1000, 5000, 16 << 10, 40_000, 130_000, 250_000];

/// Fills 20 blocks for each CPU with objects of `size` bytes, and returns those of each.
fn fill(heap: &Sharded, size: usize) -> Vec<Vec<Object>> {
    let bytes = 20 * BLOCK_SIZE;
    let objects = |cpu| {
        let object = |_| on(cpu, || Object::new(heap, layout(size, 8), 1));
        (0..bytes / size.max(16)).map(object).collect()
    };
    (0..SHARDS).map(objects).collect()
}

/// Frees the objects of each CPU on the one that is `offset` CPUs further: in order, or at random.
fn free(heap: &Sharded, all: Vec<Vec<Object>>, offset: usize, is_random: bool) {
    let mut numbers = Numbers::new(7);
    for (cpu, mut objects) in all.into_iter().enumerate() {
        on(cpu + offset, || {
            while let Some(object) = match is_random {
                true => numbers.pick(&mut objects),
                false => objects.pop(),
            } {
                object.free(heap);
            }
        });
    }
}

/// Asserts that of 80 blocks, whose objects CPUs have freed, at most `most` are left without anybody having called `trim`.
#[track_caller]
fn assert_kept(offset: usize, most: usize) {
    for (size, is_random) in SIZES
        .into_iter()
        .flat_map(|size| [(size, false), (size, true)])
    {
        let heap = Sharded::over(CountingSource::new(1 << 30));
        let all = fill(&heap, size);
        assert!(heap.source().bytes_out() >= 20 * SHARDS * BLOCK_SIZE);
        free(&heap, all, offset, is_random);
        assert_sound(&heap);
        let kept = heap.source().bytes_out().div_ceil(BLOCK_SIZE);
        assert!(
            kept <= most,
            "{kept} blocks are kept after objects of {size} bytes, {most} may be"
        );
        assert_empty_after_trim(&heap);
    }
}

#[test]
fn each_shard_keeps_one_block_and_all_together_a_few() {
    assert_kept(0, KEPT_BLOCKS + SHARDS);
}

#[test]
fn what_others_have_emptied_goes_home_but_for_a_few_stacks() {
    assert_kept(1, KEPT_BLOCKS + SHARDS + SHARDS * MOST_EMPTIED);
}

#[test]
fn what_others_have_begun_to_empty_goes_home_though_the_owner_does_the_rest() {
    for size in [48, 1000, 5000] {
        let heap = Sharded::over(CountingSource::new(1 << 30));
        for (cpu, objects) in fill(&heap, size).into_iter().enumerate() {
            // Of each page, or each few, one object is left for the owner.
            let numbered = objects.into_iter().enumerate();
            let (own, others): (Vec<_>, Vec<_>) = numbered.partition(|(n, _)| n % 4 == 0);
            on(cpu + 1, || {
                (others.into_iter()).for_each(|(_, object)| object.free(&heap));
            });
            on(cpu, || {
                own.into_iter().for_each(|(_, object)| object.free(&heap));
            });
        }
        assert_sound(&heap);
        assert_eq!(heap.statistics().live(), 0);
        let kept = heap.source().bytes_out().div_ceil(BLOCK_SIZE);
        // The last stacks of each shard lie side by side.
        let most = KEPT_BLOCKS + 2 * SHARDS;
        assert!(
            kept <= most,
            "{kept} blocks are kept after objects of {size} bytes, {most} may be"
        );
        assert_empty_after_trim(&heap);
    }
}

#[test]
fn regions_go_home_at_once_whoever_frees_them() {
    let heap = Sharded::over(CountingSource::new(64 << 20));
    for cpu in 0..SHARDS {
        let region = on(0, || Object::new(&heap, layout(5 << 20, 8), 1));
        on(cpu, || region.free(&heap));
        let kept = heap.source().bytes_out();
        assert!(
            kept <= BLOCK_SIZE,
            "{kept} bytes are kept: more than the record's block"
        );
    }
    assert_empty_after_trim(&heap);
}

/// Returns how many bytes of small objects of all sizes there can be in 4 MiB.
fn most_live<H: HeapUnderTest<Source = CountingSource>>() -> usize {
    let heap = H::over(CountingSource::new(4 << 20));
    let mut numbers = Numbers::new(5);
    let mut objects = Vec::new();
    while let Some(object) = Object::try_new(&heap, layout(numbers.size(9), 8), 1) {
        objects.push(object);
    }
    let live = heap.statistics().bytes_requested;
    objects.into_iter().for_each(|object| object.free(&heap));
    assert_empty_after_trim(&heap);
    live
}

#[test]
fn nearly_as_much_is_live_as_in_a_heap_with_one_lock() {
    let (one_lock, one, four) = (
        most_live::<Heap>(),
        most_live::<ShardedHeap<_, 1>>(),
        most_live::<Sharded>(),
    );
    for live in [one, four] {
        assert!(
            live * 10 >= one_lock * 9,
            "{live} bytes instead of {one_lock}"
        );
    }
}
