use core::cell::Cell;
use core::sync::atomic::AtomicBool;
use std::boxed::Box;
use std::collections::HashSet;
use std::rc::Rc;
use std::thread;
use std::vec::Vec;

use super::*;
use crate::tasks::interruptible_lock::{InterruptibleLock, before_locking};

/// Queues with the host's lock.
type HostTurns = Turns<spin::Mutex<()>>;

/// Puts tasks into the queue of a CPU, while nobody rests.
fn put_all(turns: &HostTurns, cpu: usize, tasks: impl IntoIterator<Item = usize>) {
    for task in tasks {
        assert_eq!(turns.put(cpu, task), None);
    }
}

#[test]
fn a_cpu_takes_its_own_first_then_from_the_longest() {
    let turns = HostTurns::new();
    put_all(&turns, 0, [1]);
    put_all(&turns, 1, [2, 3]);
    put_all(&turns, 2, [4, 5, 6]);
    let taken: Vec<_> = core::iter::from_fn(|| turns.take(0)).collect();
    let tasks: Vec<_> = taken.iter().map(|taken| taken.task).collect();
    assert_eq!((tasks[0], taken[0].is_stolen), (1, false));
    assert!(taken[1..].iter().all(|taken| taken.is_stolen));
    assert_eq!(tasks[1], 4, "of the longest, the one that waits longest");
    assert_eq!(tasks.iter().collect::<HashSet<_>>().len(), 6);
    assert!((0..MOST_CPUS).all(|cpu| turns.waiting(cpu) == 0));
}

#[test]
fn a_queue_has_room_for_all_tasks() {
    let turns = HostTurns::new();
    put_all(&turns, 3, 0..MOST_TASKS);
    assert_eq!(turns.waiting(3), MOST_TASKS);
    let taken: Vec<_> = core::iter::from_fn(|| turns.take(3)).collect();
    assert!(taken.iter().map(|taken| taken.task).eq(0..MOST_TASKS));
}

#[test]
fn at_its_tick_a_cpu_takes_from_longer_queues_alone() {
    let turns = HostTurns::new();
    put_all(&turns, 0, [1]);
    put_all(&turns, 1, [2]);
    let own = |task| Some(Taken::own(task));
    assert_eq!(turns.take_at_tick(0), own(1), "as long as the other");
    let stolen = turns.take_at_tick(0);
    assert_eq!(
        stolen.map(|taken| (taken.task, taken.is_stolen)),
        Some((2, true))
    );
    assert_eq!(turns.take_at_tick(0), None);
}

#[test]
fn who_puts_wakes_one_that_rests_and_each_once() {
    let turns = HostTurns::new();
    assert_eq!(turns.take_or_rest(1), None);
    assert_eq!(turns.take_or_rest(2), None);
    let woken: HashSet<_> = [turns.put(0, 7), turns.put(0, 8), turns.put(0, 9)].into();
    assert_eq!(woken, HashSet::from([Some(1), Some(2), None]));
    assert!(turns.take_or_rest(1).is_some());
    assert!(turns.take_or_rest(2).is_some());
    put_all(&turns, 0, [7]);
}

#[test]
fn a_cpu_that_rests_takes_the_first_itself_and_wakes_others_for_more() {
    let turns = HostTurns::new();
    assert_eq!(turns.take_or_rest(0), None);
    assert_eq!(turns.take_or_rest(1), None);
    assert_eq!(turns.put(0, 7), None);
    assert_eq!(turns.put(0, 8), Some(1));
}

#[test]
fn who_has_taken_rests_no_more() {
    let turns = HostTurns::new();
    assert_eq!(turns.take_or_rest(1), None);
    put_all(&turns, 1, [7]);
    assert_eq!(turns.take_at_tick(1), Some(Taken::own(7)));
    put_all(&turns, 0, [8]);
}

/// Lets CPUs whose ticks come one after the other run tasks that are always busy, all of which begin on the first CPU. Returns how
/// many ticks each task has had.
fn shares(cpus: usize, tasks: usize, ticks: usize) -> Vec<usize> {
    let turns = HostTurns::new();
    let mut running: Vec<Option<usize>> = std::vec![None; cpus];
    let mut shares = std::vec![0; tasks];
    put_all(&turns, 0, 0..tasks);
    for _ in 0..ticks {
        for (cpu, now) in running.iter_mut().enumerate() {
            if let Some(task) = *now {
                shares[task] += 1;
            }
            if let Some(next) = turns.take_at_tick(cpu) {
                let before = now.replace(next.task);
                put_all(&turns, cpu, before);
            }
        }
    }
    shares
}

#[test]
fn busy_tasks_have_fair_shares() {
    const TICKS: usize = 2000;
    for cpus in 1..=MOST_CPUS {
        for tasks in 1..=MOST_TASKS {
            let shares = shares(cpus, tasks, TICKS);
            let fair = (TICKS * cpus / tasks).min(TICKS);
            let (least, most) = (
                *shares.iter().min().expect("there are tasks"),
                *shares.iter().max().expect("there are tasks"),
            );
            assert!(
                least * 10 >= fair * 9 && most * 10 <= fair * 11,
                "{cpus} CPUs, {tasks} tasks: {least} to {most} of {fair}"
            );
        }
    }
}

#[test]
fn many_cpus_take_each_task_once() {
    // Few tasks, so that queues are found empty at the last moment; and many.
    for tasks in [1, 3, MOST_TASKS] {
        take_each_once(tasks);
    }
}

/// Has CPUs take and put these tasks, and from each other.
fn take_each_once(tasks: usize) {
    const CPUS: usize = 4;
    const ROUNDS: usize = 20_000;
    let turns = HostTurns::new();
    let on_cpu = [const { AtomicBool::new(false) }; MOST_TASKS];
    put_all(&turns, 0, 0..tasks);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (turns, on_cpu) = (&turns, &on_cpu);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let taken = if round % 3 == 0 {
                        turns.take_at_tick(cpu)
                    } else {
                        turns.take(cpu)
                    };
                    let Some(taken) = taken else { continue };
                    assert!(!on_cpu[taken.task].swap(true, Ordering::SeqCst));
                    on_cpu[taken.task].store(false, Ordering::SeqCst);
                    assert_eq!(turns.put(cpu, taken.task), None, "nobody rests");
                }
            });
        }
    });
    let rest: HashSet<_> = core::iter::from_fn(|| turns.take(0))
        .map(|taken| taken.task)
        .collect();
    assert_eq!(rest.len(), tasks);
}

#[test]
fn no_cpu_sleeps_through_a_task() {
    const ROUNDS: usize = 20_000;
    // A thread that sleeps, woken as CPUs are by interrupts. If one is not woken, this test does not end.
    let turns = HostTurns::new();
    let runs = AtomicUsize::new(0);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            while runs.load(Ordering::SeqCst) < ROUNDS {
                match turns.take_or_rest(1) {
                    Some(_) => {
                        runs.fetch_add(1, Ordering::SeqCst);
                    }
                    None => thread::park(),
                }
            }
        });
        for round in 0..ROUNDS {
            // Earlier and later, so that the two meet in each of their steps.
            (0..round % 64).for_each(|_| core::hint::spin_loop());
            if turns.put(0, 7).is_some() {
                sleeper.thread().unpark();
            }
            let mut looks = 0;
            while runs.load(Ordering::SeqCst) <= round {
                looks += 1;
                if looks % 1000 == 0 {
                    thread::yield_now();
                }
            }
        }
    });
}

/// Queues whose locks let a test do something at the last moment.
fn interruptible() -> &'static Turns<InterruptibleLock> {
    Box::leak(Box::default())
}

#[test]
fn a_task_that_is_put_while_a_cpu_looks_is_found_or_wakes_it() {
    // Behind the last look, before the CPU sleeps: it is not found, so the CPU must be woken.
    let turns = HostTurns::new();
    let woken = turns.resting.rest_and_look(1, || {
        assert_eq!(turns.take(1), None);
        Some(turns.put(0, 7))
    });
    assert_eq!(woken, Some(Some(1)));
    // Before the last look: it is found.
    let found = turns.resting.rest_and_look(2, || {
        let _ = turns.put(0, 8);
        turns.take(2)
    });
    assert!(found.is_some());
}

#[test]
fn a_cpu_that_rests_while_a_task_is_put_is_woken() {
    let turns = interruptible();
    // Right before the task is in the queue, another CPU finds nothing.
    before_locking(|| assert_eq!(turns.take_or_rest(1), None));
    assert_eq!(turns.put(0, 7), Some(1));
}

#[test]
fn a_task_that_is_taken_by_another_cpu_at_the_last_moment_is_not_taken() {
    let turns = interruptible();
    assert_eq!(turns.put(0, 7), None);
    let other = Rc::new(Cell::new(None));
    let taken_by_other = other.clone();
    before_locking(move || taken_by_other.set(turns.take(1)));
    assert_eq!(turns.take(0), None);
    assert_eq!(other.get().map(|taken| taken.task), Some(7));
    // The same for who steals; it goes on to the next queue.
    assert_eq!((turns.put(0, 7), turns.put(2, 8)), (None, None));
    let taken_by_own = other.clone();
    before_locking(move || taken_by_own.set(turns.take(2)));
    assert_eq!(turns.take(1).map(|taken| taken.task), Some(7));
    assert_eq!(other.get().map(|taken| taken.task), Some(8));
}
