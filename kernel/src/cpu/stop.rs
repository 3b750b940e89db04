//! Stopping all CPUs but one: before the report of a failure, and before the machine is left.
//!
//! The first CPU that wants to is the one that goes on; any other that wants to later stops instead. The others are
//! stopped by an NMI, which gets through to one that has masked interrupts too: it may be in the middle of anything, and hold
//! any lock. So what comes behind waits for no lock. A CPU that has stopped sleeps for ever.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;

use x86_64::instructions::{hlt, interrupts};

use super::per_cpu::{Own, PerCpu};
use super::{MOST_CPUS, count, current, local_apic_id};
use crate::bench::clock;
use crate::interrupts::local_apic::{self, Message};
use crate::interrupts::timer;

/// The CPU that goes on, or [`NOBODY`].
static LAST: AtomicUsize = AtomicUsize::new(NOBODY);

/// No CPU.
const NOBODY: usize = usize::MAX;

/// Each CPU that has stopped.
static HAS_STOPPED: PerCpu<AtomicBool> =
    PerCpu::new([const { Own::new(AtomicBool::new(false)) }; MOST_CPUS]);

/// How long the last CPU waits for the others. One that has not stopped by then (its hardware is broken, or a host has not let it
/// run) may still write to where the last one does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Masks interrupts, for good, and stops all other CPUs. Returns on one CPU alone, and there each time that it is called.
pub fn all_others() {
    interrupts::disable();
    let found = LAST.compare_exchange(NOBODY, current(), Ordering::SeqCst, Ordering::SeqCst);
    match found {
        Ok(_) => send_and_wait(),
        Err(last) if last == current() => {}
        Err(_) => stop(),
    }
}

/// Returns whether a CPU stops the others, or has: nobody is to be waited for any more.
#[must_use]
pub fn has_begun() -> bool {
    LAST.load(Ordering::Relaxed) != NOBODY
}

/// Returns how many CPUs have stopped.
#[must_use]
pub fn stopped() -> usize {
    let stopped = HAS_STOPPED.iter();
    let stopped = stopped.filter(|has_stopped| has_stopped.load(Ordering::Acquire));
    stopped.count()
}

/// Stops this CPU if another one wants that: the first thing to be done about an NMI.
pub(super) fn obey() {
    if has_begun() && LAST.load(Ordering::Relaxed) != current() {
        stop();
    }
}

/// Stops the others.
fn send_and_wait() {
    let others = count() - 1;
    for cpu in (0..count()).filter(|cpu| *cpu != current()) {
        local_apic_id(cpu).map(|apic_id| local_apic::send(apic_id, Message::Nmi));
    }
    let start = clock::now();
    let passed = || timer::duration_of(clock::now().saturating_sub(start));
    // Where there are others, the rate of the clock is known.
    while stopped() < others && passed().is_some_and(|passed| passed < PATIENCE) {
        core::hint::spin_loop();
    }
}

/// Stops this CPU.
fn stop() -> ! {
    HAS_STOPPED.here().store(true, Ordering::Release);
    loop {
        interrupts::disable();
        hlt();
    }
}
