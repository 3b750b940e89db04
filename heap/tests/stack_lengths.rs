//! How long the stacks of a list are: a list of few stays at the least length, one of many gets longer ones, of a small part of
//! what it has; and whatever their length, all of them go home.

mod common;

use common::{Heap, Numbers, Object, assert_empty, assert_sound, heap, layout};
use stack_alloc::{BLOCK_SIZE, ClassStatistics, PAGE_SIZE};

/// Bytes of objects that make every list a long one: a 32nd of it is more than the longest stack, a third of a block.
const LONG_LIST: usize = 5 << 20;

/// The most chunks of a stack's run: four words.
const MOST_CHUNKS: usize = 256;

/// Returns the row of the class with chunks of `chunk_size` bytes.
fn class(heap: &Heap, chunk_size: usize) -> ClassStatistics {
    let classes = heap.statistics().classes;
    let mut rows = classes.into_iter();
    rows.find(|row| row.chunk_size == chunk_size)
        .expect("there is such a class")
}

/// Returns the sizes of chunks.
fn chunk_sizes() -> Vec<usize> {
    let classes = heap(0).statistics().classes;
    classes.iter().map(|class| class.chunk_size).collect()
}

/// Returns a heap that is large enough for stacks of full length, with what makes it so.
fn large_heap() -> (Heap, Vec<Object>) {
    let heap = heap(512 << 20);
    let ballast = (0..4)
        .map(|_| Object::new(&heap, layout(BLOCK_SIZE - PAGE_SIZE, 8), 1))
        .collect();
    (heap, ballast)
}

/// Allocates objects of `size` bytes, a chunk's size, up to `bytes` bytes. Returns them, and for each new stack the chunks
/// there were before and the chunks that came with it.
fn fill(heap: &Heap, size: usize, bytes: usize) -> (Vec<Object>, Vec<(usize, usize)>) {
    let mut objects = Vec::new();
    let mut stacks = Vec::new();
    let mut total = class(heap, size).chunks_total;
    for number in 0..bytes / size {
        let fill = u8::try_from(number % 251).expect("small");
        objects.push(Object::new(heap, layout(size, 8), fill));
        // No stack comes before the last one is full.
        if number < total {
            continue;
        }
        let now = class(heap, size).chunks_total;
        stacks.push((total, now - total));
        total = now;
    }
    (objects, stacks)
}

#[test]
fn a_short_list_has_short_stacks_and_a_long_one_long_stacks() {
    let mut longer = 0;
    for size in chunk_sizes() {
        let (heap, ballast) = large_heap();
        let (objects, stacks) = fill(&heap, size, LONG_LIST);
        assert_sound(&heap);
        let least = stacks[0].1;
        for (before, chunks) in stacks.iter().copied() {
            let share = before * size / 32;
            assert!(chunks >= least, "{size}: {chunks} of at least {least}");
            assert!(
                chunks == least || chunks * size <= share,
                "{size}: a stack of {chunks} chunks for a list of {before}"
            );
            assert!(chunks <= MOST_CHUNKS && chunks * size <= BLOCK_SIZE / 3);
        }
        // The first ones are as short as can be. (The last one may be what a block had left.)
        assert!(least * size <= 7 * PAGE_SIZE, "{size}: {least}");
        let most = stacks.iter().map(|(_, chunks)| *chunks).max();
        longer += usize::from(most.is_some_and(|most| most >= 2 * least));
        for object in objects.into_iter().chain(ballast) {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
    // Those of the smallest chunks are as long as can be from the start.
    assert!(longer >= 10, "lists of {longer} sizes get longer stacks");
}

#[test]
fn a_short_list_stays_short_beside_a_long_one() {
    let (heap, ballast) = large_heap();
    let (long, stacks) = fill(&heap, 1024, LONG_LIST);
    assert!(stacks.iter().any(|(_, chunks)| *chunks > 4 * stacks[0].1));
    for size in chunk_sizes().into_iter().filter(|size| *size != 1024) {
        let small = Object::new(&heap, layout(size, 8), 1);
        let row = class(&heap, size);
        assert!(row.chunks_total * size <= 7 * PAGE_SIZE, "{row:?}");
        small.free(&heap);
    }
    for object in long.into_iter().chain(ballast) {
        object.free(&heap);
    }
    assert_empty(&heap);
}

#[test]
fn a_list_that_was_long_and_is_short_again_gets_short_stacks() {
    let (heap, ballast) = large_heap();
    let (long, stacks) = fill(&heap, 1024, LONG_LIST);
    for object in long {
        object.free(&heap);
    }
    heap.trim();
    assert_eq!(class(&heap, 1024).chunks_total, 0);
    let (short, again) = fill(&heap, 1024, 4 * PAGE_SIZE);
    assert_eq!(again[0], stacks[0]);
    for object in short.into_iter().chain(ballast) {
        object.free(&heap);
    }
    assert_empty(&heap);
}

#[test]
fn long_stacks_go_home_in_any_order() {
    for size in [16, 48, 1024, 3584, 5120, 16_384] {
        let (heap, ballast) = large_heap();
        let mut numbers = Numbers::new(size as u64);
        let (mut objects, _) = fill(&heap, size, LONG_LIST);
        // Holes all over, so that long stacks and short ones have room; then no more than a few, then none.
        for left in [objects.len() / 2, 10, 0] {
            while objects.len() > left {
                numbers
                    .pick(&mut objects)
                    .expect("some are left")
                    .free(&heap);
            }
            assert_sound(&heap);
            let row = class(&heap, size);
            assert_eq!(row.chunks_used, left);
            if left <= 10 {
                // Those that are left may have a stack each, and one is kept.
                assert!(row.chunks_total <= (left + 1) * MOST_CHUNKS, "{row:?}");
            }
        }
        for object in ballast {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
}

#[test]
fn blocks_of_a_long_list_are_full_but_for_a_twentieth() {
    let mut wasteful = Vec::new();
    for size in chunk_sizes() {
        let heap = heap(512 << 20);
        let (objects, _) = fill(&heap, size, LONG_LIST);
        let statistics = heap.statistics();
        // Of a block, the header is the heap's, and a last block may be new.
        let held = statistics.bytes_held - statistics.blocks * PAGE_SIZE - BLOCK_SIZE;
        if statistics.free_in_pages.saturating_sub(BLOCK_SIZE) * 20 > held {
            wasteful.push((size, statistics.free_in_pages * 100 / held));
        }
        for object in objects {
            object.free(&heap);
        }
        assert_empty(&heap);
    }
    assert_eq!(
        wasteful,
        [],
        "sizes, and the free pages of their heaps in per cent"
    );
}
