//! Tasks on all CPUs: they wander, wake each other across CPUs, and end anywhere. All of this holds on one CPU too, so it runs on
//! any machine: `make kernel-test TESTS=wandering SMP=4`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use kernel::cpu;
use kernel::memory::physical;
use kernel::random::Random;
use kernel::tasks::{self, Task, Waiter};
use kernel::testing::Test;
use kernel::tests;
use x86_64::instructions::interrupts;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "wandering";
    tasks_run_on_every_cpu,
    more_tasks_than_cpus_wander,
    a_task_has_its_cpu_while_interrupts_are_masked,
    what_each_cpu_runs_is_told,
    ends_are_waited_for_from_other_cpus,
    no_wake_up_is_lost_between_two,
    wake_ups_at_any_time_harm_nobody,
    sleepers_wake_on_all_cpus,
    cpus_without_tasks_are_idle,
    short_tasks_on_all_cpus_reuse_stacks,
    tasks_that_nobody_waits_for_are_reaped,
};

/// Starts a task for which there must be room.
#[track_caller]
fn spawn(function: impl FnOnce() + Send + 'static) -> Task {
    tasks::spawn("wandering", function).expect("there is room")
}

/// Starts `count` tasks that are given their numbers, and waits for all.
#[track_caller]
fn spawn_and_join(count: usize, function: impl Fn(usize) + Clone + Send + 'static) {
    let spawn_one = |number| {
        let function = function.clone();
        spawn(move || function(number))
    };
    let all: Vec<Task> = (0..count).map(spawn_one).collect();
    all.into_iter().for_each(Task::join);
}

fn tasks_run_on_every_cpu() {
    let seen = Arc::new(AtomicUsize::new(0));
    let all = (1 << cpu::count()) - 1;
    let by_tasks = seen.clone();
    // Each spins until all CPUs have been seen: one task at least on each.
    spawn_and_join(cpu::count(), move |_| {
        while by_tasks.fetch_or(1 << cpu::current(), Ordering::Relaxed) != all {
            hint::spin_loop();
        }
    });
    assert_eq!(seen.load(Ordering::Relaxed), all);
}

fn more_tasks_than_cpus_wander() {
    let before: Vec<_> = (0..cpu::count()).map(tasks::counts_of).collect();
    // All are busy until each has been on every CPU itself.
    let tasks = cpu::count() + 1;
    let been_everywhere = Arc::new(AtomicUsize::new(0));
    spawn_and_join(tasks, move |_| {
        let mut seen = 0_usize;
        while been_everywhere.load(Ordering::Relaxed) < tasks {
            let before = seen.count_ones() as usize;
            seen |= 1 << cpu::current();
            let is_new = before < cpu::count() && seen.count_ones() as usize == cpu::count();
            been_everywhere.fetch_add(usize::from(is_new), Ordering::Relaxed);
            hint::spin_loop();
        }
    });
    let counts = |cpu: usize| tasks::counts_of(cpu) - before[cpu];
    assert!((0..cpu::count()).all(|cpu| counts(cpu).switches > 0));
    let has_stolen = |cpu| counts(cpu).steals > 0;
    assert_eq!((0..cpu::count()).any(has_stolen), cpu::count() > 1);
}

fn a_task_has_its_cpu_while_interrupts_are_masked() {
    spawn_and_join(2 * cpu::count(), |_| {
        for _ in 0..1000 {
            interrupts::without_interrupts(|| {
                let (cpu, task) = (cpu::current(), tasks::running_index());
                assert_eq!(tasks::current_of(cpu).as_str(), "wandering");
                assert_eq!((cpu::current(), tasks::running_index()), (cpu, task));
            });
        }
    });
}

fn what_each_cpu_runs_is_told() {
    let go_on = Arc::new(AtomicBool::new(true));
    let wait = go_on.clone();
    let names = || (0..cpu::count()).map(tasks::current_of);
    let all: Vec<Task> = (0..cpu::count())
        .map(|_| {
            let wait = wait.clone();
            spawn(move || {
                while wait.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        })
        .collect();
    // This task looks from one of the CPUs; the others are busy.
    while names().filter(|name| name.as_str() == "wandering").count() < cpu::count() - 1 {
        tasks::yield_now();
    }
    go_on.store(false, Ordering::Relaxed);
    all.into_iter().for_each(Task::join);
}

fn ends_are_waited_for_from_other_cpus() {
    let crossed = Arc::new(AtomicUsize::new(0));
    let by_tasks = crossed.clone();
    let least = if cpu::count() > 1 { 20 } else { 0 };
    spawn_and_join(cpu::count() + 1, move |_| {
        let ran_on = Arc::new(AtomicUsize::new(usize::MAX));
        let mut rounds = 0;
        while rounds < 40 || by_tasks.load(Ordering::Relaxed) < least {
            let other = ran_on.clone();
            spawn(move || other.store(cpu::current(), Ordering::Relaxed)).join();
            let ran_on = ran_on.swap(usize::MAX, Ordering::Relaxed);
            assert_ne!(ran_on, usize::MAX, "it has not run yet");
            by_tasks.fetch_add(usize::from(ran_on != cpu::current()), Ordering::Relaxed);
            rounds += 1;
        }
    });
    assert!(crossed.load(Ordering::Relaxed) >= least);
}

/// Two places to wait at, and whose turn it is.
#[derive(Default)]
struct PingPong {
    /// Where each waits for its turn.
    waiters: [Waiter; 2],
    /// How many turns there have been.
    turns: AtomicU64,
}

impl PingPong {
    /// Takes every second turn, up to `turns`.
    fn play(&self, own: u64, turns: u64) {
        let [mine, other] = [own, 1 - own].map(|side| &self.waiters[usize::from(side == 1)]);
        for turn in (own..turns).step_by(2) {
            mine.wait_for(|| (self.turns.load(Ordering::Relaxed) == turn).then_some(()));
            self.turns.store(turn + 1, Ordering::Relaxed);
            other.wake();
        }
    }
}

fn no_wake_up_is_lost_between_two() {
    const TURNS: u64 = 3000;
    // One that is lost is a test that does not end. As many pairs as CPUs, so that both halves are anywhere.
    let games: Arc<Vec<PingPong>> =
        Arc::new((0..cpu::count()).map(|_| PingPong::default()).collect());
    let by_tasks = games.clone();
    spawn_and_join(2 * cpu::count(), move |number| {
        by_tasks[number / 2].play(number as u64 % 2, TURNS);
    });
    assert!(
        games
            .iter()
            .all(|game| game.turns.load(Ordering::Relaxed) == TURNS)
    );
}

fn wake_ups_at_any_time_harm_nobody() {
    const STEPS: u64 = 1500;
    struct Player {
        waiter: Waiter,
        permits: AtomicU64,
        steps: AtomicU64,
    }
    let count = cpu::count() + 2;
    let player = |_| Player {
        waiter: Waiter::new(),
        permits: AtomicU64::new(1),
        steps: AtomicU64::new(0),
    };
    let players: Arc<Vec<Player>> = Arc::new((0..count).map(player).collect());
    let by_tasks = players.clone();
    // Each passes a permit on to somebody, wakes somebody else for nothing, and waits for its next permit.
    spawn_and_join(count, move |own| {
        let mut random = Random::from_seed(own as u64 + 1);
        let me = &by_tasks[own];
        for step in 0..STEPS {
            by_tasks[random.below(count)].waiter.wake();
            me.waiter.wait_for(|| {
                let permits = me.permits.load(Ordering::Relaxed).checked_sub(1)?;
                me.permits.store(permits, Ordering::Relaxed);
                Some(())
            });
            // A task that runs on two CPUs counts wrong. (Nobody else writes this.)
            assert_eq!(me.steps.load(Ordering::Relaxed), step);
            me.steps.store(step + 1, Ordering::Relaxed);
            if random.below(4) == 0 {
                tasks::yield_now();
            }
            me.permits.store(1, Ordering::Relaxed);
            by_tasks[random.below(count)].waiter.wake();
        }
    });
    assert!(
        players
            .iter()
            .all(|player| player.steps.load(Ordering::Relaxed) == STEPS)
    );
}

fn sleepers_wake_on_all_cpus() {
    spawn_and_join(4 * cpu::count(), |number| {
        for round in 0..5 {
            tasks::sleep(Duration::from_millis((number as u64 + round) % 7));
        }
    });
}

fn cpus_without_tasks_are_idle() {
    let before: Vec<_> = (0..cpu::count()).map(tasks::counts_of).collect();
    let is_idle = |cpu: usize| (tasks::counts_of(cpu) - before[cpu]).idle_ticks > 0;
    while !(0..cpu::count()).all(is_idle) {
        tasks::sleep(Duration::from_millis(8));
    }
}

fn short_tasks_on_all_cpus_reuse_stacks() {
    let spawners = cpu::count() + 1;
    spawn_and_join(spawners, |number| {
        let mut random = Random::from_seed(number as u64 + 1);
        for round in 0..60_usize {
            let sum = Arc::new(AtomicUsize::new(0));
            let by_task = sum.clone();
            let yields = random.below(3);
            spawn(move || {
                // Some of the stack, written, looked at again in a later turn.
                let mut words = [0_usize; 256];
                words.fill(round);
                let words = hint::black_box(&words);
                (0..yields).for_each(|_| tasks::yield_now());
                by_task.store(words.iter().sum(), Ordering::Relaxed);
            })
            .join();
            assert_eq!(sum.load(Ordering::Relaxed), 256 * round);
        }
    });
    let account = physical::account();
    assert!(account.is_balanced(), "{account}");
}

fn tasks_that_nobody_waits_for_are_reaped() {
    let before = tasks::count();
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..500 {
        let ended = ended.clone();
        let work = move || {
            ended.fetch_add(1, Ordering::Relaxed);
        };
        // Those that have ended leave room for others.
        while tasks::spawn("forgotten", work.clone()).map(drop).is_err() {
            tasks::yield_now();
        }
    }
    while tasks::count() > before {
        tasks::yield_now();
        tasks::reap();
    }
    assert_eq!(ended.load(Ordering::Relaxed), 500);
    assert_eq!(Arc::strong_count(&ended), 1);
}
