//! The crate as this program's own heap: collections, threads, and memory that travels between them.

use core::alloc::{GlobalAlloc, Layout};
use core::hash::{BuildHasher, BuildHasherDefault};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::DefaultHasher;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, PAGE_SIZE};

/// Bytes that the source gives at most: more than all the tests together use.
const LIMIT: usize = 512 << 20;

/// A source over the host's allocator with a limit. It must not allocate from the heap it serves, so it only counts.
struct Host {
    out: AtomicUsize,
}

impl Host {
    /// Hands out memory and counts it.
    fn give(&self, layout: Layout) -> Option<NonNull<u8>> {
        let add = |out: usize| out.checked_add(layout.size()).filter(|out| *out <= LIMIT);
        let counted = self
            .out
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        counted.ok()?;
        // SAFETY: blocks and regions are not empty.
        let memory = NonNull::new(unsafe { System.alloc(layout) });
        if memory.is_none() {
            self.out.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        memory
    }

    /// Takes back what was given with `layout`.
    ///
    /// # Safety
    ///
    /// `memory` came from [`give`](Self::give) with this `layout`, and nobody uses it.
    unsafe fn take(&self, memory: NonNull<u8>, layout: Layout) {
        self.out.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory.as_ptr(), layout) };
    }
}

const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a valid layout"),
};

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(BLOCK)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.take(block, BLOCK) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        // A region goes back without its alignment, so all have the same here.
        if align > PAGE_SIZE {
            return None;
        }
        self.give(Layout::from_size_align(size, PAGE_SIZE).ok()?)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let layout =
            Layout::from_size_align(size, PAGE_SIZE).expect("it was valid when it was given");
        // SAFETY: the caller's promise.
        unsafe { self.take(region, layout) };
    }

    fn largest_region(&self) -> usize {
        (LIMIT - self.out.load(Ordering::Relaxed)) / PAGE_SIZE * PAGE_SIZE
    }
}

#[global_allocator]
static HEAP: Allocator<Host> = Allocator::new(Host {
    out: AtomicUsize::new(0),
});

/// Does `work`, and asserts that the heap is sound behind it.
#[track_caller]
fn soundly(work: impl FnOnce()) {
    let before = HEAP.statistics().allocations();
    work();
    HEAP.check().expect("the heap is sound");
    let statistics = HEAP.statistics();
    assert!(
        statistics.allocations() > before,
        "the work did not use this heap"
    );
    assert!(statistics.bytes_held >= statistics.bytes_used);
    assert!(statistics.bytes_used >= statistics.bytes_requested);
}

/// A hasher that needs no random seed, so that a failure can be seen again.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

#[test]
fn vectors_grow_and_shrink() {
    soundly(|| {
        let mut numbers = Vec::new();
        for number in 0..300_000_u64 {
            numbers.push(number);
        }
        assert!(HEAP.statistics().bytes_requested >= 300_000 * 8);
        assert_eq!(numbers.iter().sum::<u64>(), 300_000 * 299_999 / 2);
        numbers.truncate(1000);
        numbers.shrink_to_fit();
        assert_eq!(numbers.iter().sum::<u64>(), 1000 * 999 / 2);
        let nested: Vec<Vec<u8>> = (0..2000).map(|len| vec![7; len]).collect();
        assert!(
            nested
                .iter()
                .enumerate()
                .all(|(len, inner)| inner.len() == len)
        );
        let zeroed = vec![0_u8; 3 << 20];
        assert!(zeroed.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn strings_are_built() {
    soundly(|| {
        let mut text = String::new();
        for number in 0..50_000 {
            text.push_str(&number.to_string());
            text.push(' ');
        }
        let sum: u64 = text
            .split_whitespace()
            .map(|word| word.parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(sum, 50_000 * 49_999 / 2);
    });
}

#[test]
fn maps_hold_what_was_put_in() {
    soundly(|| {
        let mut tree = BTreeMap::new();
        let mut table: Map<String, Vec<u32>> = Map::default();
        let mut queue = VecDeque::new();
        for number in 0..20_000_u32 {
            let key = BuildHasherDefault::<DefaultHasher>::default().hash_one(number);
            tree.insert(key, format!("value {number}"));
            table
                .entry(format!("key {}", number % 500))
                .or_default()
                .push(number);
            queue.push_back(Box::new(number));
            if number % 3 == 0 {
                queue.pop_front();
                tree.pop_first();
            }
        }
        assert_eq!(tree.len(), 20_000 - 6667);
        assert!(tree.values().all(|value| value.starts_with("value ")));
        assert_eq!(table.len(), 500);
        assert!(table.values().all(|numbers| numbers.len() == 40));
        assert!(
            queue
                .iter()
                .zip(queue.iter().skip(1))
                .all(|(a, b)| **a + 1 == **b)
        );
    });
}

#[test]
fn threads_allocate_at_the_same_time() {
    soundly(|| {
        let barrier = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..4_u8)
            .map(|fill| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    barrier.wait();
                    let mut live: VecDeque<Vec<u8>> = VecDeque::new();
                    for step in 0..5000_usize {
                        let len = 1 + step * 37 % 3000 + usize::from(step % 500 == 0) * 100_000;
                        live.push_back(vec![fill; len]);
                        if live.len() > 50 {
                            let oldest = live.pop_front().expect("there are 51");
                            assert!(oldest.iter().all(|byte| *byte == fill));
                        }
                    }
                    live.len()
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().expect("the thread found its bytes"), 50);
        }
    });
}

#[test]
fn what_one_thread_makes_another_frees() {
    soundly(|| {
        let (send, receive) = mpsc::channel::<Box<[usize]>>();
        let maker = thread::spawn(move || {
            for number in 0..10_000 {
                let boxed = vec![number; 1 + number % 100].into_boxed_slice();
                send.send(boxed).expect("somebody listens");
            }
        });
        let freed = receive
            .iter()
            .filter(|boxed| boxed.iter().all(|number| *number == boxed[0]));
        assert_eq!(freed.count(), 10_000);
        maker.join().expect("all was sent");
    });
}

#[test]
fn shared_objects_die_with_their_last_owner() {
    soundly(|| {
        let shared = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&shared);
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let shared = Arc::clone(&shared);
                scope.spawn(move || {
                    for number in 0..1000 {
                        shared
                            .lock()
                            .expect("nobody panics")
                            .push(thread * 1000 + number);
                    }
                });
            }
        });
        let mut numbers = shared.lock().expect("nobody panics").clone();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..4000));
        drop(shared);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn too_much_is_an_error_and_not_the_end() {
    soundly(|| {
        let failures = HEAP.statistics().failures;
        let mut numbers: Vec<u64> = (0..1000).collect();
        // More than the source has; more than any source has; more than a layout can say.
        for more in [LIMIT / 8 + 1, 1 << 56, usize::MAX / 8, usize::MAX] {
            numbers.try_reserve(more).expect_err("there is not so much");
            numbers
                .try_reserve_exact(more)
                .expect_err("there is not so much");
        }
        assert!(HEAP.statistics().failures >= failures + 4);
        assert!(numbers.iter().copied().eq(0..1000));
        let mut text = String::from("still here");
        text.try_reserve(LIMIT).expect_err("there is not so much");
        assert_eq!(text, "still here");
        numbers.try_reserve(100_000).expect("that much there is");
        numbers.extend(0..100_000);
    });
}

#[test]
fn statistics_follow_one_object() {
    // Other tests use the heap at the same time, but none of them has an object as large as this.
    const SIZE: usize = 64 << 20;
    soundly(|| {
        let before = HEAP.statistics();
        let large = vec![1_u8; SIZE];
        let during = HEAP.statistics();
        assert!(during.bytes_requested >= SIZE);
        assert!(during.regions.bytes >= SIZE);
        assert!(during.regions.allocations > before.regions.allocations);
        assert!(during.bytes_held_peak >= SIZE);
        assert!(large.iter().all(|byte| *byte == 1));
        drop(large);
        let after = HEAP.statistics();
        assert!(after.regions.frees > during.regions.frees);
        assert!(after.regions.bytes < SIZE);
        assert!(after.to_string().contains("regions"));
    });
}

#[test]
fn trimming_amid_threads_takes_nothing_that_is_in_use() {
    soundly(|| {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut live = Vec::new();
                for len in 0..3000_usize {
                    live.push(vec![3_u8; len * 7 % 5000]);
                    if len % 100 == 99 {
                        assert!(live.iter().flatten().all(|byte| *byte == 3));
                        live.clear();
                    }
                }
            });
            while !worker.is_finished() {
                HEAP.trim();
                HEAP.check().expect("the heap is sound");
                thread::yield_now();
            }
        });
    });
}
