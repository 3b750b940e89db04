//! Memory that fails on demand: which requests fail, which do not, and what is counted.

mod common;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Heap, Numbers, Object, assert_empty, assert_sound, heap, layout};
use stack_alloc::FaultInjector;

/// A heap that can be made to fail.
const fn injector() -> FaultInjector<Heap> {
    FaultInjector::new(heap(16 << 20))
}

/// Makes `number` requests of `size` bytes and returns the numbers of those that failed, counted from 1.
fn failing(heap: &FaultInjector<Heap>, number: usize, size: usize) -> Vec<usize> {
    let mut failed = Vec::new();
    for request in 1..=number {
        match Object::try_new(heap, layout(size, 8), 1) {
            Some(object) => object.free(heap),
            None => failed.push(request),
        }
    }
    failed
}

#[test]
fn nothing_fails_untold() {
    let heap = injector();
    assert_eq!(failing(&heap, 100, 40), []);
    assert_eq!((heap.requests(), heap.failures()), (100, 0));
    assert_empty(heap.heap());
}

#[test]
fn the_nth_request_fails_once() {
    for nth in 1..10 {
        let heap = injector();
        assert_eq!(failing(&heap, 3, 40), []);
        heap.fail_nth(nth);
        assert_eq!(failing(&heap, 20, 40), [nth]);
        assert_eq!((heap.requests(), heap.failures()), (23, 1));
        assert_empty(heap.heap());
    }
}

#[test]
fn every_nth_request_fails_from_now_on() {
    let heap = injector();
    assert_eq!(failing(&heap, 5, 40), []);
    heap.fail_every(3);
    assert_eq!(failing(&heap, 10, 40), [3, 6, 9]);
    // One has been counted already: setting it again begins anew.
    heap.fail_every(3);
    assert_eq!(failing(&heap, 7, 40), [3, 6]);
    heap.fail_every(1);
    assert_eq!(failing(&heap, 3, 40), [1, 2, 3]);
    assert_eq!((heap.requests(), heap.failures()), (25, 8));
    assert_empty(heap.heap());
}

#[test]
fn requests_above_a_size_fail() {
    let heap = injector();
    heap.fail_above(1000);
    assert_eq!(failing(&heap, 2, 1000), []);
    assert_eq!(failing(&heap, 2, 1001), [1, 2]);
    heap.fail_above(0);
    assert_eq!(failing(&heap, 2, 1), [1, 2]);
    assert_empty(heap.heap());
}

#[test]
fn zero_and_clear_turn_off() {
    let heap = injector();
    heap.fail_nth(2);
    heap.fail_nth(0);
    heap.fail_every(2);
    heap.fail_every(0);
    heap.fail_above(10);
    heap.fail_above(usize::MAX);
    assert_eq!(failing(&heap, 5, 40), []);
    heap.fail_nth(2);
    heap.fail_every(2);
    heap.fail_above(10);
    heap.clear();
    assert_eq!(failing(&heap, 5, 40), []);
    assert_eq!((heap.requests(), heap.failures()), (10, 0));
    assert_empty(heap.heap());
}

#[test]
fn settings_combine_and_each_counts_all_requests() {
    let heap = injector();
    heap.fail_nth(5);
    heap.fail_every(4);
    heap.fail_above(100);
    assert_eq!(failing(&heap, 2, 101), [1, 2]);
    assert_eq!(
        failing(&heap, 7, 100),
        [2, 3, 6],
        "the 4th, 5th and 8th of all"
    );
    assert_eq!(heap.failures(), 5, "each is one, whatever failed it");
    assert_empty(heap.heap());
}

#[test]
fn clearing_allocations_fail_too() {
    let heap = injector();
    heap.fail_every(2);
    let object = Object::try_zeroed(&heap, layout(40, 8), 1).expect("the first one");
    assert!(Object::try_zeroed(&heap, layout(40, 8), 1).is_none());
    object.free(&heap);
    assert_empty(heap.heap());
}

#[test]
fn growing_fails_and_leaves_the_object_as_it_was() {
    let heap = injector();
    let mut object = Object::new(&heap, layout(40, 8), 1);
    heap.fail_nth(1);
    // `resize` looks at the contents after a "no".
    assert!(!object.resize(&heap, 41, 2));
    assert!(object.resize(&heap, 5000, 3));
    heap.fail_above(8000);
    assert!(!object.resize(&heap, 8001, 4));
    assert!(object.resize(&heap, 8000, 5));
    assert_eq!((heap.requests(), heap.failures()), (5, 2));
    object.free(&heap);
    assert_empty(heap.heap());
}

#[test]
fn shrinking_and_freeing_never_fail_and_do_not_count() {
    let heap = injector();
    let mut object = Object::new(&heap, layout(5000, 8), 1);
    heap.fail_every(1);
    heap.fail_nth(1);
    heap.fail_above(0);
    assert!(object.resize(&heap, 5000, 2));
    assert!(object.resize(&heap, 4999, 3));
    assert!(object.resize(&heap, 16, 4));
    object.free(&heap);
    assert_eq!((heap.requests(), heap.failures()), (1, 0));
    assert_empty(heap.heap());
}

#[test]
fn a_failed_request_does_not_reach_the_heap() {
    let heap = injector();
    heap.fail_every(1);
    assert_eq!(failing(&heap, 10, 40).len(), 10);
    let statistics = heap.heap().statistics();
    assert_eq!((statistics.allocations(), statistics.failures), (0, 0));
    assert_eq!(heap.heap().source().requests(), 0);
}

#[test]
fn a_no_of_the_heap_itself_is_no_injected_failure() {
    let heap: FaultInjector<Heap> = FaultInjector::new(heap(0));
    assert_eq!(failing(&heap, 2, 40), [1, 2]);
    assert_eq!((heap.requests(), heap.failures()), (2, 0));
    assert_eq!(heap.heap().statistics().failures, 2);
}

#[test]
fn each_failing_request_is_found_by_counting_up() {
    /// Needs three requests, and gives back what it got when one fails.
    fn operation(heap: &FaultInjector<Heap>) -> bool {
        let sizes = [100, 5000, 300_000];
        let objects: Vec<Object> = sizes
            .iter()
            .map_while(|size| Object::try_new(heap, layout(*size, 8), 1))
            .collect();
        let complete = objects.len() == sizes.len();
        for object in objects {
            object.free(heap);
        }
        complete
    }
    let heap = injector();
    for nth in 1..=3 {
        heap.fail_nth(nth);
        assert!(!operation(&heap));
        assert_eq!(heap.heap().statistics().live(), 0);
        assert_sound(heap.heap());
    }
    heap.fail_nth(4);
    assert!(operation(&heap));
    assert_eq!(heap.failures(), 3);
    assert_empty(heap.heap());
}

#[test]
fn with_many_threads_the_right_number_fails() {
    const THREADS: usize = 4;
    let requests = if cfg!(miri) { 50 } else { 5000 };
    let heap = injector();
    heap.fail_every(10);
    let failed = AtomicUsize::new(0);
    let work = |seed: usize| {
        let mut numbers = Numbers::new(seed as u64);
        for _ in 0..requests {
            match Object::try_new(&heap, layout(numbers.size(10), 8), 1) {
                Some(object) => object.free(&heap),
                None => _ = failed.fetch_add(1, Ordering::Relaxed),
            }
        }
    };
    thread::scope(|threads| {
        for seed in 0..THREADS {
            threads.spawn(move || work(seed));
        }
    });
    let failed = failed.into_inner();
    assert_eq!(failed, THREADS * requests / 10);
    assert_eq!(heap.failures(), failed);
    assert_eq!(heap.requests(), THREADS * requests);
    assert_empty(heap.heap());
}

#[test]
fn with_many_threads_the_nth_fails_for_one_of_them() {
    const THREADS: usize = 4;
    let heap = injector();
    for round in 1..if cfg!(miri) { 4 } else { 200 } {
        heap.fail_nth(THREADS * 5);
        let heap = &heap;
        let failed: usize = thread::scope(|threads| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| threads.spawn(move || failing(heap, 10, 64).len()))
                .collect();
            let failed = threads.into_iter().map(|thread| thread.join());
            failed.map(|failed| failed.expect("it ran")).sum()
        });
        assert_eq!(failed, 1);
        assert_eq!(heap.failures(), round);
    }
    assert_empty(heap.heap());
}
