//! A shrinker under the program's own heap: `try_reserve` gets what a cache gives up.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;
use std::sync::Mutex;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource};

/// Bytes that the source gives at most.
const LIMIT: usize = 96 << 20;

/// A source over the host's allocator with a limit.
struct Host {
    left: AtomicUsize,
}

impl Host {
    fn give(&self, layout: Layout) -> Option<NonNull<u8>> {
        let less = |left: usize| left.checked_sub(layout.size());
        let counted = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        counted.ok()?;
        // SAFETY: blocks and regions are not empty.
        NonNull::new(unsafe { System.alloc(layout) })
    }

    /// Takes back what was given with `layout`.
    ///
    /// # Safety
    ///
    /// `memory` came from [`give`](Self::give) with this `layout`, and nobody uses it.
    unsafe fn take(&self, memory: NonNull<u8>, layout: Layout) {
        self.left.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory.as_ptr(), layout) };
    }
}

const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a valid layout"),
};

/// Regions of this source are aligned to a block, so that their layout follows from their size.
fn region(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, BLOCK_SIZE).ok()
}

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(BLOCK)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: blocks are given with this layout.
        unsafe { self.take(block, BLOCK) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let layout = region(size).filter(|layout| align <= layout.align())?;
        self.give(layout)
    }

    unsafe fn release_region(&self, memory: NonNull<u8>, size: usize) {
        let layout = region(size).expect("it was valid when it was given");
        // SAFETY: regions are given with this layout.
        unsafe { self.take(memory, layout) };
    }
}

#[global_allocator]
static HEAP: Allocator<Host> = Allocator::new(Host {
    left: AtomicUsize::new(LIMIT),
});

/// What can be spared.
static CACHE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Gives the cache up, if nobody has it in hand.
fn drop_cache(_: Layout) -> bool {
    let Ok(mut cache) = CACHE.try_lock() else {
        return false;
    };
    let spared = core::mem::take(&mut *cache);
    !spared.is_empty()
}

#[test]
fn reserving_gets_what_the_cache_gives_up() {
    HEAP.add_shrinker(drop_cache).expect("room for one");
    let fill_cache = || {
        let mut cache = CACHE.lock().expect("no test failed");
        cache.extend((0..8).map(|fill| vec![fill; 8 << 20]));
    };
    for _ in 0..3 {
        fill_cache();
        let mut large: Vec<u8> = Vec::new();
        large.try_reserve(64 << 20).expect("the cache goes first");
        assert!(CACHE.lock().expect("no test failed").is_empty());
        large.resize(64 << 20, 1);
        // Nothing is in the cache any more, so that more cannot be had.
        let failures = HEAP.statistics().failures;
        large
            .try_reserve(64 << 20)
            .expect_err("there is not so much");
        assert_eq!(HEAP.statistics().failures, failures + 1);
        assert_eq!(large.len(), 64 << 20);
        // It frees to this heap what its owner holds: growing in small steps works all the same.
        drop(large);
        let mut small: Vec<Vec<u8>> = Vec::new();
        fill_cache();
        while !CACHE.lock().expect("no test failed").is_empty() {
            small.push(vec![2; 1000]);
        }
        assert!(small.len() > 20_000, "the source was used up first");
        assert!(small.iter().flatten().all(|byte| *byte == 2));
    }
    HEAP.check().expect("the heap is sound");
}
