//! A heap of many shards when another CPU has its turn in the middle of one's own work: on a visit, behind an unlock, or while a lock is
//! waited for.
//!
//! One thread is all CPUs, and says when the other one's turn comes. Where one has to wait for another, there are two.

mod common;

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use common::arena::{Arena, Kind, Rules, WINDOW};
use common::chosen_cpu::{Chosen, on, waiting};
use common::{
    CountingSource, HeapUnderTest, Object, assert_empty_after_trim, assert_sound, in_time, layout,
    remember, seen,
};
use lock_api::{GuardSend, RawMutex};
use stack_alloc::{BLOCK_SIZE, CurrentCpu, ShardedAllocator};

/// A heap of four shards, which tells when a turn may come.
type Sharded<S> = ShardedAllocator<S, ChosenByTurns, MutexByTurns, 4>;

/// When a turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The heap asks whether it may wait.
    Asked,
    /// It has unlocked something.
    Unlocked,
    /// It is about to wait for a lock.
    Waiting,
}

/// What happens then.
type Turn = Box<dyn FnOnce()>;

thread_local! {
    /// The turn that comes next on this thread.
    static NEXT: RefCell<Option<(Moment, Turn)>> = const { RefCell::new(None) };
    /// Whoever looks at a lock on this thread finds it taken.
    static LOOKS_BUSY: Cell<bool> = const { Cell::new(false) };
    /// Whoever tries a lock on this thread does so in vain.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Lets `turn` happen the next time that it is `moment` on this thread.
#[track_caller]
fn at_next(moment: Moment, turn: impl FnOnce() + 'static) {
    let before = NEXT.replace(Some((moment, Box::new(turn))));
    assert!(before.is_none(), "there is one turn at a time");
}

/// Lets the next turn happen, if this is its moment.
fn come(moment: Moment) {
    let turn = NEXT.with_borrow_mut(|next| next.take_if(|next| next.0 == moment));
    if let Some((_, turn)) = turn {
        turn();
    }
}

/// Asserts that the turn has come.
#[track_caller]
fn assert_came() {
    assert!(NEXT.take().is_none(), "the turn did not come");
}

/// The CPU that the test has chosen.
struct ChosenByTurns;

impl CurrentCpu for ChosenByTurns {
    fn current_cpu() -> usize {
        Chosen::current_cpu()
    }

    fn may_wait() -> bool {
        come(Moment::Asked);
        Chosen::may_wait()
    }
}

/// A spin lock.
struct MutexByTurns(spin::Mutex<()>);

// SAFETY: it is a lock that keeps the promise, and nothing is done while it is neither free nor held.
unsafe impl RawMutex for MutexByTurns {
    const INIT: Self = Self(spin::Mutex::new(()));

    type GuardMarker = GuardSend;

    fn lock(&self) {
        if !self.try_lock() {
            come(Moment::Waiting);
            RawMutex::lock(&self.0);
        }
    }

    fn try_lock(&self) -> bool {
        !IS_BUSY.get() && RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller's promise: it is held.
        unsafe { RawMutex::unlock(&self.0) };
        come(Moment::Unlocked);
    }

    fn is_locked(&self) -> bool {
        LOOKS_BUSY.get() || self.0.is_locked()
    }
}

/// Creates a heap that lives as long as the program, so that turns can use it.
fn heap_over<S>(source: S) -> &'static Sharded<S>
where
    Sharded<S>: HeapUnderTest<Source = S>,
{
    let heap = Sharded::over(source);
    HeapUnderTest::set_misuse_handler(&heap, remember);
    Box::leak(Box::new(heap))
}

/// Has CPU 1 free `count` regions while CPU 2 is on a visit: it takes in what CPU 3 gave back.
#[track_caller]
fn free_regions_during_a_visit(heap: &'static Sharded<CountingSource>, count: u8) {
    let region = |n| on(1, || Object::new(heap, layout(1 << 20, 8), n));
    let regions: Vec<_> = (0..count).map(region).collect();
    let object = on(2, || Object::new(heap, layout(5000, 8), 1));
    on(3, || object.free(heap));
    let held = heap.source().bytes_out();
    at_next(Moment::Asked, move || {
        on(1, || {
            regions.into_iter().for_each(|region| region.free(heap));
        });
        assert_eq!(heap.source().bytes_out(), held, "somebody may be looking");
    });
    on(2, || Object::new(heap, layout(100_000, 8), 1).free(heap));
    assert_came();
    assert_eq!(seen(), []);
}

#[test]
fn a_region_freed_during_a_visit_is_counted_until_it_is_gone() {
    for count in 1..=12 {
        let heap = heap_over(CountingSource::new(64 << 20));
        free_regions_during_a_visit(heap, count);
        assert_sound(heap);
        assert_eq!(heap.statistics().live(), 0);
        assert_empty_after_trim(heap);
    }
}

#[test]
fn regions_freed_during_a_visit_go_home_with_the_next_one() {
    let heap = heap_over(CountingSource::new(64 << 20));
    free_regions_during_a_visit(heap, 4);
    on(1, || Object::new(heap, layout(1 << 20, 8), 1).free(heap));
    assert!(heap.source().bytes_out() < 1 << 20, "no region is left");
    assert_empty_after_trim(heap);
}

#[test]
fn memory_of_regions_freed_during_a_visit_is_had_by_whoever_needs_it() {
    let heap = heap_over(CountingSource::new(34 << 20));
    free_regions_during_a_visit(heap, 32);
    // All of it, from a shard that has nothing.
    on(0, || Object::new(heap, layout(33 << 20, 8), 1).free(heap));
    assert_empty_after_trim(heap);
}

#[test]
fn two_cpus_that_ask_at_once_get_no_two_parts_of_one_window() {
    in_time(|| {
        let rules = Rules {
            part_pages: 20,
            one_part_a_window: false,
            asks: true,
            ..Rules::PARTS
        };
        let heap = heap_over(Arena::full(2, rules));
        let (send, receive) = mpsc::channel();
        // The lock is that of what all share: CPU 0 has its part, and did not write its header yet.
        at_next(Moment::Unlocked, move || {
            assert_eq!(heap.source().out(), [(0, 20, Kind::Part)]);
            let object = on(1, || Object::new(heap, layout(64, 8), 1));
            send.send(object).expect("it is waited for");
        });
        let first = on(0, || Object::new(heap, layout(64, 8), 2));
        assert_came();
        let second = receive.recv().expect("it was sent");
        let out = heap.source().out();
        assert_eq!(out, [(0, 20, Kind::Part), (WINDOW, 20, Kind::Part)]);
        assert_ne!(
            first.pointer().addr() / BLOCK_SIZE,
            second.pointer().addr() / BLOCK_SIZE
        );
        on(2, || [first, second].map(|object| object.free(heap)));
        assert_empty_after_trim(heap);
        assert_eq!(seen(), []);
    });
}

#[test]
fn a_shard_that_is_busy_is_waited_for_if_nobody_else_has_memory() {
    in_time(|| {
        let heap = heap_over(CountingSource::new(4 << 20));
        let size = layout(1000, 8);
        // CPU 1 takes everything, and gives every second object back: no block falls idle.
        let mut objects: Vec<_> = on(1, || {
            core::iter::from_fn(|| Object::try_new(heap, size, 1)).collect()
        });
        let mut rest = Vec::new();
        while let Some(object) = objects.pop() {
            on(1, || object.free(heap));
            rest.extend(objects.pop());
        }
        let is_waited_for = Arc::new(AtomicBool::new(false));
        let (send, entered) = mpsc::channel();
        let busy = {
            let is_waited_for = Arc::clone(&is_waited_for);
            thread::spawn(move || {
                at_next(Moment::Asked, move || {
                    send.send(()).expect("it is waited for");
                    while !is_waited_for.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                });
                // In its shard, while it looks for memory that nobody has.
                on(1, || {
                    assert!(Object::try_new(heap, layout(3000, 8), 1).is_none());
                });
                assert_came();
            })
        };
        entered.recv().expect("it has entered");
        at_next(Moment::Waiting, move || {
            is_waited_for.store(true, Ordering::Release);
        });
        let object = on(0, || Object::new(heap, size, 2));
        assert_came();
        busy.join().expect("it has found nothing");
        object.free(heap);
        rest.into_iter().for_each(|object| object.free(heap));
        assert_empty_after_trim(heap);
        assert_eq!(seen(), []);
    });
}

#[test]
fn shards_that_are_busy_each_time_are_waited_for() {
    let heap = heap_over(CountingSource::new(BLOCK_SIZE));
    let size = layout(1000, 8);
    let mut objects: Vec<_> = on(1, || {
        core::iter::from_fn(|| Object::try_new(heap, size, 1)).collect()
    });
    on(1, || objects.remove(0).free(heap));
    IS_BUSY.set(true);
    let object = on(0, || Object::try_new(heap, size, 2));
    IS_BUSY.set(false);
    objects.push(object.expect("CPU 1 has room"));
    objects.into_iter().for_each(|object| object.free(heap));
    assert_empty_after_trim(heap);
    assert_eq!(seen(), []);
}

/// Has CPU 1 ask for as much as there is, which CPU 0 had before, while the others use memory of their own all the time: each of them is
/// out of its shard for a moment now and then, but never is one when somebody looks.
fn hand_on_all_of_it(size: usize) {
    let heap = heap_over(CountingSource::new(
        size.next_multiple_of(BLOCK_SIZE) + BLOCK_SIZE,
    ));
    let size = layout(size, 8);
    let object = on(0, || Object::new(heap, size, 1));
    LOOKS_BUSY.set(true);
    on(0, || object.free(heap));
    let object = on(1, || Object::try_new(heap, size, 2));
    object.expect("it is there").free(heap);
    heap.trim();
    LOOKS_BUSY.set(false);
    assert_eq!(heap.source().bytes_out(), 0, "it goes home all the same");
    assert_eq!(seen(), []);
}

#[test]
fn a_block_on_its_way_is_waited_for() {
    hand_on_all_of_it(200 << 10);
}

#[test]
fn a_region_on_its_way_is_waited_for() {
    hand_on_all_of_it(30 << 20);
}

#[test]
fn a_region_freed_by_who_may_not_wait_goes_home_from_a_busy_heap() {
    let heap = heap_over(CountingSource::new(4 << 20));
    let region = on(0, || Object::new(heap, layout(1 << 20, 8), 1));
    on(1, || waiting(false, || region.free(heap)));
    LOOKS_BUSY.set(true);
    heap.trim();
    LOOKS_BUSY.set(false);
    assert_eq!(heap.source().bytes_out(), 0, "and so does its record");
    assert_eq!(seen(), []);
}
