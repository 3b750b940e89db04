//! All interleavings of two CPUs that switch, wait, wake, end and reap, with the real steps of a life.

use std::collections::{HashMap, HashSet, VecDeque};
use std::vec;
use std::vec::Vec;

use Instruction::{End, Forget, Look, Wait, Wake, Work};

use super::*;

/// CPUs of the model.
const CPUS: usize = 2;

/// Tasks of the model.
const TASKS: usize = 3;

/// What a task does next. Each is one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Instruction {
    /// Looks whether the other task has done its work, or is finished: goes on behind the wait if so.
    Look(Awaited),
    /// Waits, then looks again.
    Wait(Awaited),
    /// Does the work that another one waits for.
    Work,
    /// Wakes the task.
    Wake(usize),
    /// Drops the handle of the task: nobody waits for it.
    Forget(usize),
    /// Ends.
    End,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Awaited {
    /// That the work is done.
    Work,
    /// That the task is finished; its handle is then dropped.
    End(usize),
}

/// Whose context a CPU is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Context {
    /// The CPU's own.
    Idle,
    /// A task's.
    Task(usize),
}

/// A CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cpu {
    /// Where it is.
    context: Context,
    /// It has switched, and not said yet that it has left this task.
    leaves: Option<usize>,
    /// It is about to put this task into its queue.
    puts: Option<usize>,
    /// It has taken this task out of a queue, and is about to take it up.
    takes: Option<usize>,
    /// It is about to wake whoever waits for the end of this task.
    ended: Option<usize>,
    /// It reaps this task.
    reaps: Option<usize>,
}

/// The whole machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    /// The words.
    lives: [u8; TASKS],
    /// What each task still has to do.
    programs: [Vec<Instruction>; TASKS],
    /// Who waits for the end of each task.
    joiners: [Option<usize>; TASKS],
    /// The CPU whose stack pointer is on the task's stack.
    on_stack: [Option<usize>; TASKS],
    /// The stack is there.
    has_stack: [bool; TASKS],
    /// The queues.
    queues: [VecDeque<usize>; CPUS],
    /// The CPUs.
    cpus: [Cpu; CPUS],
    /// The work is done.
    is_done: bool,
}

impl Model {
    /// A machine where these tasks are ready.
    fn new(programs: [Vec<Instruction>; TASKS]) -> Self {
        let lives = programs.each_ref().map(|_| {
            let life = Life::vacant();
            assert!(life.claim());
            life.start();
            life.word().pack()
        });
        let cpu = Cpu {
            context: Context::Idle,
            leaves: None,
            puts: None,
            takes: None,
            ended: None,
            reaps: None,
        };
        Self {
            lives,
            programs,
            joiners: [None; TASKS],
            on_stack: [None; TASKS],
            has_stack: [true; TASKS],
            queues: [(0..TASKS).collect(), VecDeque::new()],
            cpus: [cpu; CPUS],
            is_done: false,
        }
    }

    /// Does one step of a life.
    fn on<T>(&mut self, task: usize, step: impl FnOnce(&Life) -> T) -> T {
        let life = Life(AtomicU8::new(self.lives[task]));
        let result = step(&life);
        self.lives[task] = life.word().pack();
        result
    }

    /// Takes a task from the CPU's own queue, or another's.
    fn take(&mut self, cpu: usize) -> Option<usize> {
        let own = self.queues[cpu].pop_front();
        own.or_else(|| self.queues[1 - cpu].pop_front())
    }

    /// Leaves the CPU's context for that of `next`, or for the idle one.
    fn switch(&mut self, cpu: usize, next: Option<usize>) {
        if let Context::Task(task) = self.cpus[cpu].context {
            self.cpus[cpu].leaves = Some(task);
        }
        self.cpus[cpu].context = Context::Idle;
        self.cpus[cpu].takes = next;
    }

    /// Wakes a task, and remembers to put it into the queue.
    fn wake(&mut self, cpu: usize, task: usize) {
        if self.on(task, Life::wake) {
            self.cpus[cpu].puts = Some(task);
        }
    }

    /// Lets a CPU do its next step; `false` where it has none.
    fn step(&mut self, cpu: usize) -> bool {
        let now = self.cpus[cpu];
        if let Some(task) = now.puts {
            self.cpus[cpu].puts = None;
            self.queues[cpu].push_back(task);
        } else if let Some(task) = now.takes {
            // The last instructions of the old context: still on its stack.
            self.on(task, Life::take_up);
            assert_eq!(self.on_stack[task], None, "two CPUs are in one context");
            assert!(self.has_stack[task], "it runs on a stack that is gone");
            self.on_stack[task] = Some(cpu);
            self.cpus[cpu].takes = None;
            self.cpus[cpu].context = Context::Task(task);
        } else if let Some(task) = now.leaves {
            assert_eq!(self.on_stack[task].take(), Some(cpu));
            assert!(self.has_stack[task], "a CPU was on a stack that is gone");
            self.cpus[cpu].leaves = None;
            match self.on(task, Life::left) {
                Left::Ready => self.cpus[cpu].puts = Some(task),
                Left::Waiting => {}
                Left::Finished => self.cpus[cpu].ended = Some(task),
            }
        } else if let Some(task) = now.ended {
            self.cpus[cpu].ended = None;
            if let Some(joiner) = self.joiners[task] {
                self.wake(cpu, joiner);
            }
        } else if let Some(task) = now.reaps {
            self.cpus[cpu].reaps = None;
            assert_eq!(
                self.on_stack[task], None,
                "a stack goes while a CPU is on it"
            );
            assert!(self.has_stack[task], "a stack goes twice");
            self.has_stack[task] = false;
            self.on(task, Life::vacate);
        } else {
            return match now.context {
                Context::Task(task) => self.run(cpu, task),
                Context::Idle => match self.take(cpu) {
                    Some(task) => {
                        self.switch(cpu, Some(task));
                        true
                    }
                    None => false,
                },
            };
        }
        true
    }

    /// Lets a task do its next instruction.
    fn run(&mut self, cpu: usize, task: usize) -> bool {
        match self.programs[task].remove(0) {
            Look(awaited) => {
                let has_come = match awaited {
                    Awaited::Work => self.is_done,
                    Awaited::End(other) => {
                        self.joiners[other] = Some(task);
                        let phase = self.on(other, |life| life.phase());
                        phase == Phase::Finished
                    }
                };
                if !has_come {
                    self.programs[task].insert(0, Wait(awaited));
                } else if let Awaited::End(other) = awaited {
                    self.on(other, Life::release);
                }
            }
            Wait(awaited) => {
                self.programs[task].insert(0, Look(awaited));
                if self.on(task, Life::wait) {
                    let next = self.take(cpu);
                    self.switch(cpu, next);
                }
            }
            Work => self.is_done = true,
            Wake(other) => self.wake(cpu, other),
            Forget(other) => self.on(other, Life::release),
            End => {
                self.on(task, Life::end);
                let next = self.take(cpu);
                self.switch(cpu, next);
            }
        }
        true
    }

    /// Lets the timer of a CPU tick, where interrupts are not masked: between two instructions of a task. `false` where nothing
    /// comes of it.
    fn tick(&mut self, cpu: usize) -> bool {
        let now = self.cpus[cpu];
        let is_masked = [now.puts, now.takes, now.leaves, now.ended, now.reaps]
            .iter()
            .any(Option::is_some);
        if is_masked || now.context == Context::Idle {
            return false;
        }
        let next = self.take(cpu);
        if next.is_some() {
            self.switch(cpu, next);
        }
        next.is_some()
    }

    /// Lets a CPU reap a task, if there is one to be.
    fn reap(&mut self, cpu: usize) -> bool {
        if self.cpus[cpu].reaps.is_some() || self.cpus[cpu].leaves.is_some() {
            return false;
        }
        let reaped = (0..TASKS).find(|&task| self.on(task, Life::reap));
        self.cpus[cpu].reaps = reaped;
        reaped.is_some()
    }

    /// Returns all that can come next.
    fn successors(&self) -> Vec<Self> {
        let mut successors = Vec::new();
        for cpu in 0..CPUS {
            for act in [Self::step, Self::tick, Self::reap] {
                let mut next = self.clone();
                if act(&mut next, cpu) {
                    successors.push(next);
                }
            }
        }
        successors
    }

    /// Returns whether all tasks have done all that they had to do.
    fn is_over(&self) -> bool {
        self.programs.iter().all(Vec::is_empty)
    }
}

/// Tries all interleavings; returns how many states there are. Where nothing can happen any more, all tasks must have ended, and
/// those in `reaped` must have been reaped.
fn try_all(programs: [Vec<Instruction>; TASKS], reaped: &[usize]) -> usize {
    let mut seen = HashSet::new();
    let mut open = vec![Model::new(programs)];
    while let Some(model) = open.pop() {
        if !seen.insert(model.clone()) {
            continue;
        }
        let successors = model.successors();
        if successors.is_empty() {
            assert!(
                model.is_over(),
                "some wait for ever, and nobody runs: {model:?}"
            );
            assert!(
                reaped.iter().all(|&task| !model.has_stack[task]),
                "a stack stays: {model:?}"
            );
        }
        open.extend(successors);
    }
    seen.len()
}

#[test]
fn a_wake_up_is_never_lost_and_nobody_runs_twice() {
    let states = try_all(
        [
            vec![Look(Awaited::Work), End],
            vec![Work, Wake(0), End],
            // Wakes what it need not, at any time.
            vec![Wake(0), Wake(1), End],
        ],
        &[],
    );
    assert!(states > 1000, "{states}");
}

#[test]
fn joining_from_another_cpu_sees_the_end_and_frees_the_stack_behind_it() {
    let states = try_all(
        [
            vec![Look(Awaited::End(1)), End],
            vec![End],
            vec![Wake(0), End],
        ],
        &[1],
    );
    assert!(states > 1000, "{states}");
}

#[test]
fn who_is_forgotten_is_reaped_when_no_cpu_is_on_its_stack() {
    let states = try_all(
        [
            vec![Forget(1), End],
            vec![Forget(2), End],
            vec![Forget(0), End],
        ],
        &[0, 1, 2],
    );
    assert!(states > 1000, "{states}");
}

#[test]
fn a_chain_of_joins_ends() {
    let states = try_all(
        [
            vec![Look(Awaited::End(1)), End],
            vec![Look(Awaited::End(2)), End],
            vec![Work, End],
        ],
        &[1, 2],
    );
    assert!(states > 1000, "{states}");
}

#[test]
fn a_wait_that_nobody_ends_is_found() {
    // The model sees what it is there to see.
    let forgets = [vec![Look(Awaited::Work), End], vec![Work, End], vec![End]];
    let result = std::panic::catch_unwind(|| try_all(forgets, &[]));
    assert!(result.is_err());
}

/// A step of a life, by name.
type Step = (&'static str, fn(&Life));

/// All steps that must be possible.
const STEPS: [Step; 6] = [
    ("start", |life| life.start()),
    ("take_up", |life| life.take_up()),
    ("wait", |life| {
        life.wait();
    }),
    ("end", |life| life.end()),
    ("left", |life| {
        life.left();
    }),
    ("release", |life| life.release()),
];

#[test]
fn words_are_packed_and_unpacked() {
    let mut seen = HashMap::new();
    for bits in 0..32 {
        let word = Word::unpack(bits);
        assert_eq!(word.pack(), bits);
        assert_eq!(seen.insert(std::format!("{word:?}"), bits), None);
    }
}

#[test]
fn steps_are_possible_where_the_picture_says() {
    for bits in 0..32 {
        for (name, step) in STEPS {
            let word = Word::unpack(bits);
            let is_possible = match name {
                "start" => word.phase == Phase::Claimed,
                "take_up" => word.phase == Phase::Ready,
                "wait" | "end" => word.phase == Phase::Running,
                "left" => matches!(word.phase, Phase::Running | Phase::Leaving | Phase::Ending),
                _ => word.is_held,
            };
            let life = Life(AtomicU8::new(bits));
            let result = std::panic::catch_unwind(|| step(&life));
            assert_eq!(result.is_ok(), is_possible, "{name} of {word:?}");
            if !is_possible {
                assert_eq!(life.word(), word, "nothing has changed");
            }
        }
    }
}

#[test]
fn only_one_of_many_threads_claims_wakes_and_reaps() {
    for _ in 0..200 {
        let life = Life::vacant();
        let winners = |act: fn(&Life) -> bool| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| act(&life))).collect();
                let won = threads.into_iter().map(|thread| thread.join().unwrap());
                won.filter(|won| *won).count()
            })
        };
        assert_eq!(winners(Life::claim), 1);
        life.start();
        life.take_up();
        assert!(life.wait());
        assert_eq!(life.left(), Left::Waiting);
        assert_eq!(winners(Life::wake), 1);
        life.take_up();
        // Kept from those who came second.
        assert!(!life.wait());
        life.end();
        assert_eq!(life.left(), Left::Finished);
        assert_eq!(winners(Life::reap), 0, "somebody holds its handle");
        life.release();
        assert_eq!(winners(Life::reap), 1);
        life.vacate();
    }
}
