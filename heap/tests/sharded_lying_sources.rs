//! Sources that break their promises to a heap of many shards: what one shard was given, or nobody has taken yet, is not given out
//! again.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use common::chosen_cpu::on;
use common::heap_under_test::ShardedHeap;
use common::{Object, assert_apart, give_back, layout, remember, seen};
use stack_alloc::{BLOCK_SIZE, MemorySource, MisuseKind, PAGE_SIZE};

/// A heap of four shards.
type Sharded = ShardedHeap<Scripted, 4>;

/// Windows of the size of a block that a [`Scripted`] source has.
const WINDOWS: usize = 16;

/// A source that answers requests with the windows that a test has written down, be it true or not, and then with "no".
struct Scripted {
    memory: NonNull<u8>,
    /// The windows of the blocks to come.
    blocks: Mutex<VecDeque<usize>>,
    /// The windows in which the regions to come begin.
    regions: Mutex<VecDeque<usize>>,
}

impl Scripted {
    const ARENA: Layout = match Layout::from_size_align(WINDOWS * BLOCK_SIZE, BLOCK_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid layout"),
    };

    fn new(blocks: &[usize], regions: &[usize]) -> Self {
        // SAFETY: the layout is not empty.
        let memory = unsafe { System.alloc_zeroed(Self::ARENA) };
        Self {
            memory: NonNull::new(memory).expect("the host has 4 MiB"),
            blocks: Mutex::new(blocks.iter().copied().collect()),
            regions: Mutex::new(regions.iter().copied().collect()),
        }
    }

    /// Returns the address of a window.
    fn address(&self, window: usize) -> usize {
        self.memory.addr().get() + window * BLOCK_SIZE
    }

    /// Returns the window that is next in `script`.
    fn next(&self, script: &Mutex<VecDeque<usize>>) -> Option<NonNull<u8>> {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let window = script.pop_front()?;
        assert!(window < WINDOWS);
        // SAFETY: inside the arena (checked).
        Some(unsafe { self.memory.add(window * BLOCK_SIZE) })
    }
}

// SAFETY: the memory is the source's own, and nobody reads the pointer but to hand it out.
unsafe impl Send for Scripted {}

// SAFETY: what changes is behind mutexes.
unsafe impl Sync for Scripted {}

// SAFETY: it is none: breaking the promises is what it is for. The memory is valid at least, and the arena is large enough that what
// the heap might write after a lie stays inside.
unsafe impl MemorySource for Scripted {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.next(&self.blocks)
    }

    unsafe fn release_block(&self, _: NonNull<u8>) {}

    fn get_region(&self, _: usize, _: usize) -> Option<NonNull<u8>> {
        self.next(&self.regions)
    }

    unsafe fn release_region(&self, _: NonNull<u8>, _: usize) {}
}

impl Drop for Scripted {
    fn drop(&mut self) {
        // SAFETY: the memory came from `System` with this layout; the heap that used it is gone.
        unsafe { System.dealloc(self.memory.as_ptr(), Self::ARENA) };
    }
}

/// Creates a heap over a source that gives such blocks and regions.
fn heap(blocks: &[usize], regions: &[usize]) -> Sharded {
    let heap = Sharded::new(Scripted::new(blocks, regions));
    heap.set_misuse_handler(remember);
    heap
}

/// Asserts that the handler was told of memory that the heap holds already, and of nothing else.
#[track_caller]
fn assert_told_of_overlap() {
    let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
    assert!(!kinds.is_empty(), "a lie was kept secret");
    assert!(
        kinds.iter().all(|kind| *kind == MisuseKind::SourceOverlaps),
        "{kinds:?}"
    );
}

/// A run of which a block has room for one.
fn large_run() -> Layout {
    layout(200_000, 8)
}

/// A region of four windows.
fn region() -> Layout {
    layout(4 * BLOCK_SIZE, 8)
}

#[test]
fn one_block_given_twice_is_not_two_for_the_reserve() {
    let heap = heap(&[0, 0], &[]);
    assert_eq!(heap.set_reserve(2, || true), 1);
    assert_told_of_overlap();
    assert_eq!(heap.statistics().blocks_reserved, 1);
    heap.check().expect("no lie got in");
}

#[test]
fn the_block_of_the_reserve_is_handed_out_once() {
    let heap = heap(&[0; 64], &[]);
    assert_eq!(heap.set_reserve(1, || true), 1);
    // The source offers what is held back, and then what is in use.
    let run = on(0, || Object::new(&heap, large_run(), 1));
    assert_told_of_overlap();
    let other = on(1, || Object::try_new(&heap, large_run(), 2));
    assert!(other.is_none());
    assert_told_of_overlap();
    heap.check().expect("no lie got in");
    run.free(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn a_block_of_another_shard_is_a_no() {
    let heap = heap(&[0, 0, 1], &[]);
    let runs = [0, 1, 1].map(|cpu| on(cpu, || Object::try_new(&heap, large_run(), 1)));
    assert_told_of_overlap();
    let runs: Vec<_> = runs.into_iter().flatten().collect();
    assert_eq!(runs.len(), 2, "there are two blocks");
    assert_apart(&runs);
    heap.check().expect("no lie got in");
    runs.into_iter().for_each(|run| run.free(&heap));
    assert_eq!(seen(), []);
}

#[test]
fn a_region_that_begins_or_ends_in_a_block_of_another_shard_is_a_no() {
    for first in [1, 4] {
        let heap = heap(&[4, 10], &[first; 3]);
        let object = on(0, || Object::new(&heap, layout(64, 8), 1));
        let region = on(1, || Object::try_new(&heap, region(), 2));
        assert!(region.is_none(), "windows from {first} on");
        assert_told_of_overlap();
        heap.check().expect("no lie got in");
        object.free(&heap);
        assert_eq!(seen(), []);
    }
}

#[test]
fn a_block_inside_a_region_is_refused_and_nobody_finds_it() {
    // A block for the record, one out of the middle of the region, and a true one.
    for inside in 0..4 {
        let heap = heap(&[8, inside, 9], &[0]);
        let region = on(0, || Object::new(&heap, region(), 1));
        assert_eq!(region.pointer().addr(), heap.source().address(0));
        let runs: Vec<_> = (0..3)
            .filter_map(|_| on(0, || Object::try_new(&heap, large_run(), 2)))
            .collect();
        assert_told_of_overlap();
        assert_eq!(runs.len(), 2, "there are two blocks");
        assert_apart(runs.iter().chain([&region]));
        heap.check().expect("no lie got in");
        // If it were found, the region's contents would be taken for a header, and this for a chunk.
        let wrong = region.pointer();
        let wrong = wrong.wrapping_add(inside * BLOCK_SIZE + 7 * PAGE_SIZE + 16);
        for cpu in 0..4 {
            on(cpu, || give_back(&heap, wrong, layout(16, 8)));
            let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
            assert_eq!(kinds, [MisuseKind::Interior], "by CPU {cpu}");
        }
        region.assert_intact();
        runs.into_iter().for_each(|run| run.free(&heap));
        on(1, || region.free(&heap));
        assert_eq!(seen(), []);
        heap.check().expect("sound to the end");
    }
}
