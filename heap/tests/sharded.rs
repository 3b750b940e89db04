//! A heap of many shards, driven from one thread that says which CPU it is: every order of events is one that the test chose.

mod common;

use core::cell::Cell;

use common::{CountingSource, Object, layout, remember, seen};
use stack_alloc::{BLOCK_SIZE, CurrentCpu, KEPT_BLOCKS, ShardedAllocator};

/// Shards of the heap under test.
const SHARDS: usize = 4;

/// The CPU that the test says it is on.
struct Chosen;

thread_local! {
    /// Its number.
    static CPU: Cell<usize> = const { Cell::new(0) };
    /// Whether it may wait.
    static MAY_WAIT: Cell<bool> = const { Cell::new(true) };
}

impl CurrentCpu for Chosen {
    fn current_cpu() -> usize {
        CPU.get()
    }

    fn may_wait() -> bool {
        MAY_WAIT.get()
    }
}

type Sharded = ShardedAllocator<CountingSource, Chosen, spin::Mutex<()>, SHARDS>;

/// Creates a heap whose source gives at most `limit` bytes at a time.
fn heap(limit: usize) -> Sharded {
    CPU.set(0);
    MAY_WAIT.set(true);
    let heap = Sharded::new(CountingSource::new(limit));
    heap.set_misuse_handler(remember);
    heap
}

/// Does something on CPU `cpu`.
fn on<T>(cpu: usize, work: impl FnOnce() -> T) -> T {
    CPU.set(cpu);
    work()
}

/// Asserts that every invariant holds, and that the heap holds as much as its source gave.
#[track_caller]
fn assert_sound(heap: &Sharded) {
    heap.check().expect("the heap is sound");
    assert_eq!(heap.statistics().bytes_held, heap.source().bytes_out());
}

/// Asserts that the heap, in which nothing is live, gives all of its memory back.
#[track_caller]
fn assert_empty(heap: &Sharded) {
    assert_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.live(), 0);
    assert_eq!(statistics.bytes_requested, 0);
    heap.trim();
    assert_sound(heap);
    assert_eq!(heap.statistics().bytes_used, 0);
    assert_eq!(heap.source().pieces_out(), 0, "not all went back");
}

#[test]
fn what_another_cpu_gives_back_is_handed_out_again() {
    let heap = heap(64 << 20);
    for size in [
        1,
        16,
        64,
        100,
        4096,
        16384,
        20_000,
        200_000,
        252 << 10,
        300_000,
        5 << 20,
    ] {
        let objects: Vec<Object> = on(0, || {
            (0..300)
                .map_while(|n| Object::try_new(&heap, layout(size, 8), n as u8))
                .collect()
        });
        assert_sound(&heap);
        assert_eq!(heap.statistics().live(), objects.len() as u64);
        on(1, || {
            objects.into_iter().for_each(|object| object.free(&heap))
        });
        assert_sound(&heap);
        assert_eq!(heap.statistics().live(), 0, "of {size} bytes");
    }
    assert_empty(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn memory_goes_home_though_the_owner_never_looks() {
    let heap = heap(64 << 20);
    let objects: Vec<Object> = on(0, || {
        (0..100_000)
            .map(|n| Object::new(&heap, layout(64, 8), n as u8))
            .collect()
    });
    on(1, || {
        objects.into_iter().for_each(|object| object.free(&heap))
    });
    let blocks = heap.source().bytes_out() / BLOCK_SIZE;
    assert!(blocks <= KEPT_BLOCKS + 1 + 1, "{blocks} blocks are out");
    assert_empty(&heap);
}

#[test]
fn nobody_starves_while_another_one_hoards() {
    let heap = heap(16 << 20);
    let objects: Vec<Object> = on(0, || {
        core::iter::from_fn(|| Object::try_new(&heap, layout(1000, 8), 1)).collect()
    });
    assert_eq!(heap.statistics().failures, 1);
    // Every second one: no block falls idle.
    let count = objects.len();
    let mut rest = Vec::new();
    on(0, || {
        for (n, object) in objects.into_iter().enumerate() {
            if n % 2 == 0 {
                object.free(&heap)
            } else {
                rest.push(object)
            }
        }
    });
    on(2, || {
        for _ in 0..count / 2 - 64 {
            rest.push(Object::new(&heap, layout(1000, 8), 2));
        }
    });
    assert!(heap.cpu_statistics(2).unwrap().blocks > 1, "blocks moved");
    assert_sound(&heap);
    on(3, || rest.into_iter().for_each(|object| object.free(&heap)));
    assert_empty(&heap);
    assert_eq!(seen(), []);
}
