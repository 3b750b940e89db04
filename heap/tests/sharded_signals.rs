//! Frees and allocations in signal handlers, which come between any two instructions of the heap's: what a non-maskable interrupt is to
//! a kernel.
//!
//! Miri has no signals.
#![cfg(all(unix, not(miri)))]

mod common;

use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::Barrier;
use std::thread;

use common::chosen_cpu::{on, waiting};
use common::heap_under_test::ShardedHeap;
use common::{
    CountingSource, Numbers, allocate, assert_empty_after_trim, give_back, layout, reallocate,
};
use stack_alloc::{Misuse, ShardedAllocator};

/// Threads that are interrupted: more than there are shards, so that they are in each other's way, too.
const THREADS: usize = 3;

/// How often they are, all together, at least.
const INTERRUPTS: usize = 10_000;

/// The heap that threads and handlers use.
static HEAP: ShardedHeap<CountingSource, 2> = ShardedAllocator::new(CountingSource::new(1 << 30));

/// Objects that whoever comes along takes out and puts in, of the layout that [`layout_of`] says.
static SLOTS: [AtomicPtr<u8>; 300] = [const { AtomicPtr::new(ptr::null_mut()) }; 300];

/// What interrupts choose by: a number that goes on with each.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Interrupts that there were; frees, allocations, and requests answered with null among what they did.
static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Something was wrong, where nobody can panic.
static IS_WRONG: AtomicBool = AtomicBool::new(false);

/// Returns the layout of the objects in slot `slot`.
fn layout_of(slot: usize) -> Layout {
    const SIZES: [usize; 8] = [16, 64, 64, 200, 1000, 4096, 20_000, 300_000];
    layout(SIZES[slot % SIZES.len()], 8)
}

/// Marks an object as that of a slot, at its two ends.
fn mark(object: *mut u8, slot: usize) {
    let last = object.wrapping_add(layout_of(slot).size() - 1);
    for end in [object, last] {
        // SAFETY: the object is live and has a byte there.
        unsafe { end.write(slot.to_le_bytes()[0]) };
    }
}

/// Looks at the marks, and frees the object.
fn unmark_and_free(object: *mut u8, slot: usize) {
    let last = object.wrapping_add(layout_of(slot).size() - 1);
    // SAFETY: the object is live, and both ends were written.
    let is_intact = [object, last].map(|end| unsafe { end.read() } == slot.to_le_bytes()[0]);
    if is_intact != [true; 2] {
        IS_WRONG.store(true, Ordering::Relaxed);
    }
    give_back(&HEAP, object, layout_of(slot));
}

/// Puts an object, or null, into a slot, and frees what was there. Returns whether anything was.
fn exchange(slot: usize, object: *mut u8) -> bool {
    let before = SLOTS[slot].swap(object, Ordering::AcqRel);
    if !before.is_null() {
        unmark_and_free(before, slot);
    }
    !before.is_null()
}

/// Notes that a free was called wrong: none is.
fn note_misuse(_: Misuse) {
    IS_WRONG.store(true, Ordering::Relaxed);
}

/// Uses the heap in the middle of whatever it was doing on this thread.
extern "C" fn on_signal(_: libc::c_int) {
    let count = |number: usize| COUNTS[number].fetch_add(1, Ordering::Relaxed);
    waiting(false, || {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        for slot in [number * 7, number * 7 + 3, number * 7 + 5].map(|slot| slot % SLOTS.len()) {
            if number % 3 > 0 {
                if exchange(slot, ptr::null_mut()) {
                    count(1);
                }
                continue;
            }
            let object = allocate(&HEAP, layout_of(slot));
            if object.is_null() {
                count(3);
                continue;
            }
            count(2);
            mark(object, slot);
            exchange(slot, object);
        }
    });
    count(0);
}

/// Lets [`on_signal`] handle a signal.
fn handle_signals() {
    // SAFETY: all zeros are an action: the default one, with an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does nothing that could not be interrupted by itself: it waits for nothing and uses atomics, thread-local
    // cells without a destructor, and the heap, which is what is tested.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// Uses the heap until it is enough.
fn work(cpu: usize, is_enough: &AtomicBool) {
    let mut numbers = Numbers::new(1 + cpu as u64);
    while !is_enough.load(Ordering::Relaxed) {
        let slot = numbers.below(SLOTS.len());
        let object = allocate(&HEAP, layout_of(slot));
        assert!(
            !object.is_null(),
            "there is memory for {:?}",
            layout_of(slot)
        );
        mark(object, slot);
        // To and fro: in place or not.
        let size = layout_of(slot).size();
        let longer = reallocate(&HEAP, object, layout_of(slot), 2 * size);
        let object = reallocate(&HEAP, longer, layout(2 * size, 8), size);
        mark(object, slot);
        exchange(slot, object);
        if numbers.below(1000) == 0 {
            HEAP.trim();
        }
    }
}

#[test]
fn interrupts_use_the_heap_wherever_they_come() {
    HEAP.set_misuse_handler(note_misuse);
    handle_signals();
    let (is_enough, start) = (AtomicBool::new(false), Barrier::new(THREADS + 1));
    let threads = [const { AtomicU64::new(0) }; THREADS];
    thread::scope(|scope| {
        for cpu in 0..THREADS {
            let (is_enough, start, threads) = (&is_enough, &start, &threads);
            scope.spawn(move || {
                // SAFETY: it has no conditions.
                threads[cpu].store(unsafe { libc::pthread_self() }, Ordering::Relaxed);
                start.wait();
                on(cpu, || work(cpu, is_enough));
                // Until nobody is signalled any more.
                start.wait();
            });
        }
        start.wait();
        while COUNTS[0].load(Ordering::Relaxed) < INTERRUPTS as u64 {
            for thread in &threads {
                // SAFETY: the thread waits for the barrier below at its end, so it is there.
                unsafe { libc::pthread_kill(thread.load(Ordering::Relaxed), libc::SIGUSR1) };
            }
        }
        is_enough.store(true, Ordering::Relaxed);
        start.wait();
    });
    for slot in 0..SLOTS.len() {
        exchange(slot, ptr::null_mut());
    }
    assert!(
        !IS_WRONG.load(Ordering::Relaxed),
        "contents changed, or a right free was called wrong"
    );
    assert!(
        COUNTS.iter().all(|count| count.load(Ordering::Relaxed) > 0),
        "{COUNTS:?}"
    );
    println!("{COUNTS:?}");
    assert_empty_after_trim(&HEAP);
}
