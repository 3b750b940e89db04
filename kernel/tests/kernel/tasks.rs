//! Tasks that take turns.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use kernel::interrupts::timer;
use kernel::lock::InterruptMaskingLock;
use kernel::memory::physical;
use kernel::random::Random;
use kernel::tasks::{self, MOST_TASKS, SpawnError};
use kernel::testing::Test;
use kernel::tests;
use lock_api::Mutex;
use x86_64::instructions::interrupts as cpu;

use crate::heap::free_frames_trimmed;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "tasks";
    a_task_runs_and_is_waited_for,
    what_a_task_captures_arrives_and_is_dropped_once,
    captures_of_any_alignment_are_aligned,
    tasks_take_turns_without_asking,
    a_yielding_task_lets_the_others_run,
    a_sleeping_task_lets_the_others_run,
    sleep_is_never_too_short,
    a_full_table_is_an_error_and_its_room_comes_back,
    stacks_go_back,
    tasks_allocate_at_once,
    nobody_waits_with_interrupts_masked => Panics("gave its turn up with interrupts masked"),
    nobody_waits_under_a_lock => Panics("gave its turn up with interrupts masked"),
};

fn a_task_runs_and_is_waited_for() {
    let has_run = Arc::new(AtomicBool::new(false));
    let by_task = has_run.clone();
    let task = tasks::spawn("one", move || {
        assert!(cpu::are_enabled());
        assert_eq!(tasks::running_name().as_str(), "one");
        by_task.store(true, Ordering::Relaxed);
    })
    .expect("there is room");
    task.join();
    assert!(has_run.load(Ordering::Relaxed));
    assert_eq!(Arc::strong_count(&has_run), 1);
}

fn what_a_task_captures_arrives_and_is_dropped_once() {
    let kept = Arc::new(());
    let (clone, numbers, boxed) = (kept.clone(), [7_u64; 100], Box::new(9));
    let task = tasks::spawn("captures", move || {
        assert!(numbers.iter().sum::<u64>() == 700 && *boxed == 9);
        assert_eq!(Arc::strong_count(&clone), 2);
    });
    task.expect("there is room").join();
    assert_eq!(Arc::strong_count(&kept), 1);
}

fn captures_of_any_alignment_are_aligned() {
    /// A value that must lie at a multiple of 256.
    #[repr(align(256))]
    struct Aligned(u8);
    let (small, large) = (3_u8, Aligned(4));
    let task = tasks::spawn("aligned", move || {
        let place = core::ptr::from_ref(&large).addr();
        assert!(place.is_multiple_of(256) && large.0 == 4 && small == 3);
        let local = hint::black_box([0_u128; 4]);
        assert!(local.as_ptr().addr().is_multiple_of(16));
    });
    task.expect("there is room").join();
}

fn tasks_take_turns_without_asking() {
    // Each spins until the other has been seen: only the timer can end its turn.
    let flags = Arc::new([const { AtomicBool::new(false) }; 2]);
    let spawn = |own: usize| {
        let flags = flags.clone();
        tasks::spawn("spinning", move || {
            flags[own].store(true, Ordering::Relaxed);
            while !flags[1 - own].load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        })
        .expect("there is room")
    };
    let (first, second) = (spawn(0), spawn(1));
    first.join();
    second.join();
}

fn a_yielding_task_lets_the_others_run() {
    let turns = Arc::new(AtomicU64::new(0));
    let by_task = turns.clone();
    let task = tasks::spawn("counting", move || {
        for _ in 0..50 {
            by_task.fetch_add(1, Ordering::Relaxed);
            tasks::yield_now();
        }
    });
    let task = task.expect("there is room");
    while turns.load(Ordering::Relaxed) < 50 {
        tasks::yield_now();
    }
    task.join();
}

/// Asserts that a sleep was long enough. Its ticks are told by one clock and its length by another, which was set by the first
/// and may be a little off.
#[track_caller]
fn assert_slept(slept: Duration, asked: Duration) {
    assert!(slept * 10 >= asked * 9, "{slept:?} of {asked:?}");
}

fn a_sleeping_task_lets_the_others_run() {
    let start = timer::uptime();
    let task = tasks::spawn("sleeping", || tasks::sleep(Duration::from_millis(30)));
    let task = task.expect("there is room");
    tasks::sleep(Duration::from_millis(10));
    task.join();
    assert_slept(timer::uptime() - start, Duration::from_millis(30));
}

fn sleep_is_never_too_short() {
    for milliseconds in [0, 1, 4, 8, 20] {
        for _ in 0..3 {
            let (start, asked) = (timer::uptime(), Duration::from_millis(milliseconds));
            tasks::sleep(asked);
            assert_slept(timer::uptime() - start, asked);
        }
    }
}

fn nobody_waits_with_interrupts_masked() {
    cpu::without_interrupts(tasks::yield_now);
}

fn nobody_waits_under_a_lock() {
    let lock = Mutex::<InterruptMaskingLock, ()>::new(());
    let task = tasks::spawn("short", || {}).expect("there is room");
    let _guard = lock.lock();
    task.join();
}

fn a_full_table_is_an_error_and_its_room_comes_back() {
    for _ in 0..2 {
        let go = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        let error = loop {
            let go = go.clone();
            let wait = move || {
                while !go.load(Ordering::Relaxed) {
                    tasks::yield_now();
                }
            };
            match tasks::spawn("waiting", wait) {
                Ok(task) => all.push(task),
                Err(error) => break error,
            }
        };
        assert_eq!(error, SpawnError::TooMany);
        assert_eq!(tasks::count(), MOST_TASKS);
        go.store(true, Ordering::Relaxed);
        all.into_iter().for_each(tasks::Task::join);
        // The last one was reaped too.
        assert_eq!(Arc::strong_count(&go), 1);
    }
}

fn stacks_go_back() {
    let before = free_frames_trimmed();
    for _ in 0..20 {
        tasks::spawn("short", || {}).expect("there is room").join();
    }
    assert_eq!(free_frames_trimmed(), before);
    assert!(physical::counts().free <= before);
}

fn tasks_allocate_at_once() {
    let workers: [_; 5] = core::array::from_fn(|number| {
        let work = move || {
            let mut random = Random::from_seed(number as u64 + 1);
            let mut objects: Vec<Vec<u8>> = Vec::new();
            for round in 0..2000 {
                let fill = u8::try_from((number * 50 + round) % 251).unwrap_or_default();
                objects.push(vec![fill; 1 + random.log_distributed(0, 13)]);
                if objects.len() > 30 {
                    let object = objects.swap_remove(random.below(30));
                    assert!(object.iter().all(|byte| *byte == object[0]));
                }
            }
        };
        tasks::spawn("allocating", work).expect("there is room")
    });
    workers.into_iter().for_each(tasks::Task::join);
}
