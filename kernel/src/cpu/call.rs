//! Having other CPUs do something: call a function, look whether there is something to do, or stand still.
//!
//! They are called by an ordinary interrupt, so only where they have interrupts enabled: **where they hold no lock**. The
//! function runs in its handler, and may do what handlers may: allocate, free, print, take locks, but not wait for others.
//!
//! # Why nobody waits for ever
//!
//! Who calls waits until the others have done it, and they may be spinning for a lock with interrupts masked. So the caller must
//! hold no lock: it must have interrupts enabled, or it panics. There is one call at a time; who wants to call meanwhile waits
//! with interrupts enabled, and so takes part in the other's call.
//!
//! [`alone`] masks interrupts before it waits, and still holds no lock. Another CPU can be kept from taking the interrupt by a lock
//! of a third one, never by the caller's; that third one either runs, and will release it, or stands still already, and so holds
//! none.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use x86_64::instructions::interrupts;

use super::per_cpu::{Own, PerCpu};
use super::{MOST_CPUS, count, current, local_apic_id};
use crate::interrupts::hook::Hook;
use crate::interrupts::local_apic::{self, Message};
use crate::interrupts::vector::CALL;

/// Somebody is calling.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// What is called.
static FUNCTION: Hook<fn()> = Hook::new();

/// Each CPU that is called and has not done it yet.
static IS_CALLED: PerCpu<AtomicBool> =
    PerCpu::new([const { Own::new(AtomicBool::new(false)) }; MOST_CPUS]);

/// The CPU that is alone, or [`NOBODY`].
static ALONE: AtomicUsize = AtomicUsize::new(NOBODY);

/// No CPU.
const NOBODY: usize = usize::MAX;

/// How many CPUs stand still.
static STANDING: AtomicUsize = AtomicUsize::new(0);

/// Calls a function on every CPU, with interrupts masked there, and returns when all have done it.
///
/// # Panics
///
/// If interrupts are masked: in a handler, or while a lock is held.
#[track_caller]
pub fn on_all(function: fn()) {
    call(0..count(), function);
}

/// Calls a function on one CPU, with interrupts masked there, and returns when it has done it.
///
/// # Panics
///
/// If interrupts are masked, in a handler or while a lock is held; or there is no such CPU.
#[track_caller]
pub fn on(cpu: usize, function: fn()) {
    assert!(cpu < count(), "there is no CPU {cpu}");
    call(cpu..cpu + 1, function);
}

/// Has a CPU that sleeps look again whether there is something to do. It is not waited for; can be called anywhere but in an NMI.
pub fn wake(cpu: usize) {
    send(cpu);
}

/// Runs `body` while all other CPUs stand still, with interrupts masked here and there, and no lock held there: nothing changes
/// but by `body`. Keep it short.
///
/// # Panics
///
/// If interrupts are masked: in a handler, or while a lock is held. (In another `body`, or where there is one CPU, it is just run.)
#[track_caller]
pub fn alone<T>(body: impl FnOnce() -> T) -> T {
    let is_alone = || ALONE.load(Ordering::Relaxed) == current() && !interrupts::are_enabled();
    if count() == 1 || is_alone() {
        return interrupts::without_interrupts(body);
    }
    let busy = Busy::begin();
    let result = interrupts::without_interrupts(|| {
        let count = count();
        let others = || (0..count).filter(|cpu| *cpu != current());
        FUNCTION.set(stand_still);
        ALONE.store(current(), Ordering::Release);
        others().for_each(ask);
        while STANDING.load(Ordering::Acquire) < others().count() {
            core::hint::spin_loop();
        }
        let result = body();
        ALONE.store(NOBODY, Ordering::Release);
        result
    });
    busy.wait(0..count());
    result
}

/// Calls a function on some CPUs.
#[track_caller]
fn call(cpus: core::ops::Range<usize>, function: fn()) {
    let busy = Busy::begin();
    if count() == 1 {
        // It has perhaps no APIC to call itself with.
        interrupts::without_interrupts(function);
        return;
    }
    FUNCTION.set(function);
    // This one last: it is interrupted at once. (By now it may be another one. Each is asked once all the same.)
    let own = current();
    cpus.clone().filter(|cpu| *cpu != own).for_each(ask);
    cpus.clone().filter(|cpu| *cpu == own).for_each(ask);
    busy.wait(cpus);
}

/// While this lives, nobody else calls.
struct Busy(());

impl Busy {
    /// Waits until nobody calls.
    #[track_caller]
    fn begin() -> Self {
        assert!(
            interrupts::are_enabled(),
            "other CPUs were called with interrupts masked: in an interrupt's handler, or while a lock is held"
        );
        while IS_BUSY.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        Self(())
    }

    /// Waits until some CPUs have done what they were called for.
    fn wait(&self, cpus: core::ops::Range<usize>) {
        for cpu in cpus {
            while IS_CALLED.of(cpu).load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        IS_BUSY.store(false, Ordering::Release);
    }
}

/// Has a CPU call the function.
fn ask(cpu: usize) {
    IS_CALLED.of(cpu).store(true, Ordering::Release);
    send(cpu);
}

/// Sends a CPU the interrupt.
fn send(cpu: usize) {
    local_apic_id(cpu).map(|apic_id| local_apic::send(apic_id, Message::Vector(CALL)));
}

/// Calls the function, if this CPU is called: what the interrupt's handler does.
pub(crate) fn answer() {
    let is_called = IS_CALLED.here();
    if is_called.load(Ordering::Acquire) {
        FUNCTION.call();
        is_called.store(false, Ordering::Release);
    }
}

/// Stands still while another CPU is alone.
fn stand_still() {
    STANDING.fetch_add(1, Ordering::AcqRel);
    while ALONE.load(Ordering::Acquire) != NOBODY {
        core::hint::spin_loop();
    }
    STANDING.fetch_sub(1, Ordering::AcqRel);
}
