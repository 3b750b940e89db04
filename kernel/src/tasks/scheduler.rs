//! Turns on the machine: which context each CPU is in, and how it switches to another one.
//!
//! Each CPU has a context of its own, the idle one, which it is in when no task is ready: it sleeps there until an interrupt. So a
//! task that waits is left, always, and free to go on where there is room.
//!
//! A switch is two halves. `switch_to` runs in the old context; the new one, whether it was left before or is new, begins
//! with `switched`, which says what becomes of the old one: see [`life`](super::life) for why that cannot be said
//! earlier. Interrupts are masked from the choice of the next task to the end of `switched`, so nothing comes in between on
//! this CPU; and no lock is held across, so nobody waits for a context that does not run.
//!
//! What is masked is bounded: a switch takes at most a push, a pop and a look at each CPU's queue, and a tick of the first CPU looks
//! once at each task for sleepers.

use core::mem;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence};

use x86_64::instructions::interrupts;

use super::life::{Left, Life};
use super::turns::{Taken, Turns};
use super::{MOST_TASKS, context, counts, table, waiting};
use crate::cpu::{self, MOST_CPUS, Own, PerCpu};
use crate::interrupts::timer;
use crate::lock::{MaskingLock, named_lock};
use crate::memory::guarded_stack::{GuardedStack, NoStack};

named_lock!(QueueLock, "the lock of a CPU's queue of tasks");

/// Who waits for a turn.
static TURNS: Turns<MaskingLock<QueueLock>> = Turns::new();

/// The most contexts: those of tasks, then the idle ones of CPUs.
const MOST_CONTEXTS: usize = MOST_TASKS + MOST_CPUS;

/// Where each context that no CPU is in has its saved registers. Written by the switch, before the context is said to be left.
static STACK_POINTERS: [AtomicU64; MOST_CONTEXTS] = [const { AtomicU64::new(0) }; MOST_CONTEXTS];

/// The context that each CPU is in: the first task's on the CPU that boots, the idle one on others.
static RUNNING: PerCpu<AtomicUsize> = PerCpu::new({
    let mut running = [const { Own::new(AtomicUsize::new(0)) }; MOST_CPUS];
    let mut cpu = 1;
    while cpu < MOST_CPUS {
        running[cpu] = Own::new(AtomicUsize::new(idle(cpu)));
        cpu += 1;
    }
    running
});

/// The context that each CPU was in before it switched: what [`switched`] is about.
static LEFT: PerCpu<AtomicUsize> =
    PerCpu::new([const { Own::new(AtomicUsize::new(0)) }; MOST_CPUS]);

/// Bytes of the idle context's stack on the CPU that boots: as for a task, because handlers of interrupts run on it.
const IDLE_STACK_BYTES: usize = table::STACK_BYTES;

/// Makes the idle context of the CPU that boots, which is in the first task's. To be called once, before that task waits.
///
/// # Errors
///
/// [`NoStack`], if there is no memory for it.
pub fn init() -> Result<(), NoStack> {
    let stack = GuardedStack::new("idle", IDLE_STACK_BYTES)?;
    let stack_pointer = context::prepare(&stack, || rest(), switched, finish);
    STACK_POINTERS[idle(0)].store(stack_pointer, Ordering::Release);
    // It is never left for good.
    mem::forget(stack);
    Ok(())
}

/// Makes the context that calls this the idle one of its CPU, which is not the one that boots: from here on the CPU runs tasks.
pub fn run_this_cpu() -> ! {
    rest()
}

/// What each CPU does that has nothing to do.
fn rest() -> ! {
    loop {
        interrupts::disable();
        match TURNS.take_or_rest(cpu::current()) {
            Some(taken) => switch_to_taken(taken),
            None => halt(),
        }
    }
}

/// Ends the turn of the task that runs: the last act of each CPU's timer's handler, with interrupts masked.
pub fn preempt() {
    let cpu = cpu::current();
    counts::count_tick(cpu, is_idle(RUNNING.here().load(Ordering::Relaxed)));
    if cpu == 0 {
        waiting::wake_sleepers(timer::ticks());
    }
    if let Some(taken) = TURNS.take_at_tick(cpu) {
        switch_to_taken(taken);
    }
}

/// Gives the rest of this task's turn up.
///
/// # Panics
///
/// If interrupts are masked, in an interrupt's handler or because a lock is held: another task might want that lock.
#[track_caller]
pub fn yield_now() {
    assert_may_wait();
    interrupts::without_interrupts(|| {
        if let Some(taken) = TURNS.take(cpu::current()) {
            switch_to_taken(taken);
        }
    });
}

/// Lets others run until the running task is woken, or was; returns whether it has waited at all. To be called with interrupts
/// masked.
pub(super) fn wait_masked(life: &Life) -> bool {
    let waits = life.wait();
    if waits {
        switch_away();
    }
    waits
}

/// Wakes a task, which may run, wait, be about to, or be another one meanwhile: each wait may end early. Can be called
/// in a handler of interrupts, but not of an NMI.
pub(super) fn wake(task: usize) {
    interrupts::without_interrupts(|| {
        if table::life(task).wake() {
            put(task);
        }
    });
}

/// Puts a task that has just become ready into this CPU's queue, and wakes a CPU that rests. To be called with interrupts masked.
pub(super) fn put(task: usize) {
    if let Some(resting) = TURNS.put(cpu::current(), task) {
        cpu::wake(resting);
    }
}

/// Says where the registers of a task that has never run are.
pub(super) fn set_stack_pointer(task: usize, stack_pointer: u64) {
    STACK_POINTERS[task].store(stack_pointer, Ordering::Release);
}

/// Returns the place of the running task among all, without any lock. A task keeps it; a later one may have it too. The idle
/// contexts of CPUs have places behind those of tasks.
#[must_use]
pub fn running_index() -> usize {
    // In one step: a task that is moved to another CPU in between would get that of somebody else.
    interrupts::without_interrupts(|| RUNNING.here().load(Ordering::Relaxed))
}

/// Returns the place of what runs on a CPU.
pub(super) fn running_on(cpu: usize) -> usize {
    RUNNING.of(cpu).load(Ordering::Relaxed)
}

/// Returns whether that is the place of a CPU's idle context.
pub(super) const fn is_idle(context: usize) -> bool {
    context >= MOST_TASKS
}

/// Returns how many tasks wait in the queue of a CPU for their turn.
#[must_use]
pub fn waiting_on(cpu: usize) -> usize {
    TURNS.waiting(cpu)
}

/// Refuses to wait where nobody may.
#[track_caller]
pub(super) fn assert_may_wait() {
    assert!(
        interrupts::are_enabled(),
        "a task gave its turn up with interrupts masked: in an interrupt's handler, or while it holds a lock"
    );
}

/// Returns the place of a CPU's idle context.
const fn idle(cpu: usize) -> usize {
    MOST_TASKS + cpu
}

/// Switches to a task that was taken out of a queue, with interrupts masked. Returns when it is this context's turn again,
/// perhaps on another CPU.
fn switch_to_taken(taken: Taken) {
    counts::count_switch(cpu::current(), taken.is_stolen);
    table::life(taken.task).take_up();
    switch_to(taken.task);
}

/// Switches to the next task, or to the idle context, with interrupts masked.
fn switch_away() {
    let cpu = cpu::current();
    match TURNS.take(cpu) {
        Some(taken) => switch_to_taken(taken),
        None => switch_to(idle(cpu)),
    }
}

/// Switches to another context, with interrupts masked: that of a task that was just taken up by this CPU, or the CPU's idle one.
fn switch_to(to: usize) {
    let from = RUNNING.here().swap(to, Ordering::Relaxed);
    LEFT.here().store(from, Ordering::Relaxed);
    let target = STACK_POINTERS[to].load(Ordering::Acquire);
    // SAFETY: (1) interrupts are masked, and no lock is held: those of queues are released. (2) `target` is where `to` saved
    // its registers when it was left, or what `prepare` made. It is used once: a task is taken up once for each time that it
    // has become ready, and it becomes so only when it was left (`life`); the idle context is this CPU's alone, and left, because
    // a task runs. The stack of a task that was taken up is not reaped, and that of an idle context never goes. (3) The place
    // is `from`'s own, and nobody takes `from` up before `switched` has said that it was left.
    unsafe { context::switch(STACK_POINTERS[from].as_ptr(), target) };
    // It is this context's turn again, on whatever CPU.
    switched();
}

/// The second half of a switch, in the new context, with interrupts masked: says that this CPU is no longer in the old one.
pub(super) extern "C" fn switched() {
    let left = LEFT.here().load(Ordering::Relaxed);
    if is_idle(left) {
        return;
    }
    match table::life(left).left() {
        Left::Ready => put(left),
        Left::Waiting => {}
        Left::Finished => table::ended(left).wake(),
    }
}

/// Ends the running task: what its context calls last.
pub(super) extern "C" fn finish() -> ! {
    interrupts::disable();
    table::life(RUNNING.here().load(Ordering::Relaxed)).end();
    switch_away();
    unreachable!("a task that has ended was taken up again")
}

/// Lets interrupts in, and has the CPU sleep until one comes.
fn halt() {
    // The instructions are said not to touch memory. Locks that were released before must be free for the handlers that come.
    compiler_fence(Ordering::SeqCst);
    interrupts::enable_and_hlt();
}
