//! Blocks as pictures: every page is drawn as what its bytes are.

mod common;

use common::arena::{
    ArenaHeap, Kind, WINDOW, assert_arena_empty, free_all, random_heap, random_step,
};
use common::{Numbers, Object, heap, layout};
use stack_alloc::{BLOCK_SIZE, BlockSnapshot, ObjectState, PAGE_SIZE, PageState, Place};

/// The smallest chunk, and what divides all others.
const GRAIN: usize = 16;

/// The order of a walk: by address modulo 512 MiB, then by the bits of the address from the lowest to the highest.
fn order(address: usize) -> (usize, usize) {
    (address / BLOCK_SIZE % 2048, address.reverse_bits())
}

/// Asserts that page `number` of `block` is drawn as what `what_is` says of its bytes.
#[track_caller]
fn assert_drawn_right(heap: &ArenaHeap, block: &BlockSnapshot, number: usize) {
    let start = block.address + number * PAGE_SIZE;
    let state = block.pages[number];
    assert_eq!(block.page_of(start), Some(state));
    assert_eq!(block.page_of(start + PAGE_SIZE - 1), Some(state));
    let places = || {
        (start..start + PAGE_SIZE)
            .step_by(GRAIN)
            .map(|byte| heap.what_is(byte))
    };
    let mut bytes_live = 0;
    for place in places() {
        let object = place.object();
        let is_right = match state {
            PageState::Absent => matches!(
                place,
                Place::Foreign | Place::GoneBack { .. } | Place::Object { .. }
            ),
            PageState::Header | PageState::Records => place == Place::Own,
            PageState::Free => place == Place::FreePage,
            PageState::Chunks { chunk_size, .. } => {
                place == Place::Tail || object.is_some_and(|object| object.size == chunk_size)
            }
            PageState::Run { pages, .. } => {
                object.is_some_and(|object| object.size == pages * PAGE_SIZE)
            }
            _ => false,
        };
        assert!(is_right, "{state:?} is {place:?}");
        bytes_live +=
            GRAIN * usize::from(object.is_some_and(|object| object.state == ObjectState::Live));
    }
    if let PageState::Chunks {
        used,
        total,
        bytes_used,
        ..
    } = state
    {
        assert_eq!(bytes_used, bytes_live, "page {number} of {block:x?}");
        assert_eq!(state.bytes_used(), bytes_live);
        assert!(used <= total);
    }
}

/// Asserts that the first pages of runs are marked, and that the counts of all runs add up to the statistics.
#[track_caller]
fn assert_adds_up(heap: &ArenaHeap, blocks: &[BlockSnapshot]) {
    let statistics = heap.statistics();
    let (mut chunks, mut runs) = (0, 0);
    for block in blocks {
        let mut rest = 0;
        for page in block.pages {
            match page {
                PageState::Chunks {
                    used,
                    is_first: true,
                    ..
                } => chunks += used,
                PageState::Run {
                    pages,
                    is_first: true,
                } => {
                    runs += 1;
                    rest = pages - 1;
                }
                PageState::Run {
                    is_first: false, ..
                } => {
                    assert!(rest > 0, "a run begins with its first page");
                    rest -= 1;
                }
                _ => assert_eq!(rest, 0, "a run is as long as it says"),
            }
        }
    }
    let expected: usize = statistics
        .classes
        .iter()
        .map(|class| class.chunks_used)
        .sum();
    assert_eq!((chunks, runs), (expected, statistics.runs.live));
    assert_eq!(blocks.len(), statistics.blocks);
    let reserved = blocks.iter().filter(|block| block.is_reserved).count();
    assert_eq!(reserved, statistics.blocks_reserved);
}

#[test]
fn every_page_is_drawn_as_what_its_bytes_are() {
    let (rounds, steps) = if cfg!(miri) { (1, 20) } else { (60, 300) };
    for seed in 0..rounds {
        let heap = random_heap(seed);
        let mut numbers = Numbers::new(seed + 4000);
        let mut live = Vec::new();
        for number in 0..steps {
            random_step(&heap, &mut numbers, &mut live);
            if number % 29 == 0 {
                let blocks: Vec<_> = heap.blocks().collect();
                assert!(blocks.is_sorted_by_key(|block| order(block.address)));
                assert_adds_up(&heap, &blocks);
                for block in &blocks {
                    (0..WINDOW).for_each(|page| assert_drawn_right(&heap, block, page));
                }
            }
        }
        free_all(&heap, live);
        assert_arena_empty(&heap);
    }
}

#[test]
fn every_block_and_part_is_seen_once() {
    for seed in 0..if cfg!(miri) { 1 } else { 30 } {
        let heap = random_heap(seed);
        let mut numbers = Numbers::new(seed);
        let mut live = Vec::new();
        for _ in 0..200 {
            random_step(&heap, &mut numbers, &mut live);
        }
        let source = heap.source();
        let out = source.out();
        let mut expected: Vec<_> = out
            .iter()
            .filter(|(_, _, kind)| *kind != Kind::Region)
            .map(|(first, _, _)| source.address(first / WINDOW * WINDOW))
            .collect();
        expected.dedup();
        expected.sort_unstable_by_key(|address| order(*address));
        let seen: Vec<_> = heap.blocks().map(|block| block.address).collect();
        assert_eq!(seen, expected, "seed {seed}");
        free_all(&heap, live);
    }
}

#[test]
fn a_walk_among_changes_ends() {
    let heap = heap(8 * BLOCK_SIZE);
    let mut kept = Vec::new();
    for block in heap.blocks() {
        assert!(block.address.is_multiple_of(BLOCK_SIZE));
        kept.push(Object::new(&heap, layout(200_000, 8), 1));
    }
    assert!(kept.is_empty(), "an empty heap has no blocks");
    kept.push(Object::new(&heap, layout(200_000, 8), 1));
    for _ in heap.blocks() {
        kept.extend(Object::try_new(&heap, layout(200_000, 8), 1));
    }
    assert!(kept.len() <= 8 + 1);
    kept.into_iter().for_each(|object| object.free(&heap));
}
