//! The timer of each CPU, ticking 250 times a second, and time as the CPU's time-stamp counter tells it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use x86_64::instructions::{hlt, interrupts};
use x86_64::structures::idt::InterruptStackFrame;

use super::handling::Handling;
use super::hook::Hook;
use super::vector::TIMER;
use super::{controller, rate};
use crate::bench::clock;
use crate::{cpu, tasks};

/// Ticks a second.
pub const FREQUENCY_HZ: u32 = 250;

/// Ticks of the first CPU since its timer was started.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// What the time-stamp counter counts a second; 0 where that is not known.
static TSC_HZ: AtomicU64 = AtomicU64::new(0);

/// What the time-stamp counter said when the timer was started.
static TSC_AT_START: AtomicU64 = AtomicU64::new(0);

/// What each tick of the first CPU calls.
static ON_TICK: Hook<fn()> = Hook::new();

/// What each tick of any CPU calls.
static ON_EACH_TICK: Hook<fn()> = Hook::new();

/// Returns how often the timer of the first CPU has ticked: this is what time is told by.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Returns whether the timer has ever ticked, so that a sleeping CPU will wake.
pub fn is_ticking() -> bool {
    ticks() > 0
}

/// Returns what the time-stamp counter counts a second, as measured at boot; `None` where there was nothing to measure it
/// with. Under QEMU's `-icount shift=0` it counts instructions, 10⁹ to a second.
pub fn tsc_hz() -> Option<u64> {
    Some(TSC_HZ.load(Ordering::Relaxed)).filter(|hz| *hz > 0)
}

/// Returns how long so many counts of the time-stamp counter take, where that is known.
pub fn duration_of(tsc: u64) -> Option<Duration> {
    rate::duration(tsc, tsc_hz()?)
}

/// Returns how long ago the timer was started, which is soon after the kernel was.
pub fn uptime() -> Duration {
    let since_start = clock::now().saturating_sub(TSC_AT_START.load(Ordering::Relaxed));
    // Where the counter's rate is not known, ticks must do.
    duration_of(since_start)
        .or_else(|| rate::duration(ticks(), u64::from(FREQUENCY_HZ)))
        .unwrap_or_default()
}

/// Waits so long at least. The CPU sleeps meanwhile, if something can wake it.
///
/// Where neither the timer ticks nor the rate of the time-stamp counter is known, there is no time, and it returns at once.
pub fn sleep(duration: Duration) {
    if tsc_hz().is_none() && !wakes() {
        return;
    }
    let start = uptime();
    while uptime().saturating_sub(start) < duration {
        if wakes() {
            hlt();
        } else {
            core::hint::spin_loop();
        }
    }
}

/// Returns whether a tick will wake a CPU that sleeps here.
fn wakes() -> bool {
    is_ticking() && interrupts::are_enabled() && !controller::is_silent()
}

/// Chooses what each tick of the first CPU calls, with interrupts masked.
pub fn on_tick(function: fn()) {
    ON_TICK.set(function);
}

/// Chooses what each tick of any CPU calls, with interrupts masked. CPUs tick at the same time.
pub fn on_each_tick(function: fn()) {
    ON_EACH_TICK.set(function);
}

/// Begins to tell time, given what the time-stamp counter counts a second; 0 if that is not known.
pub(super) fn set_clock(tsc_hz: u64) {
    TSC_AT_START.store(clock::now(), Ordering::Relaxed);
    TSC_HZ.store(tsc_hz, Ordering::Relaxed);
}

/// Called at each tick of any CPU.
pub(super) extern "x86-interrupt" fn handler(_: InterruptStackFrame) {
    let handling = Handling::begin(TIMER);
    if cpu::current() == 0 {
        TICKS.fetch_add(1, Ordering::Relaxed);
        ON_TICK.call();
    }
    ON_EACH_TICK.call();
    controller::end_of_interrupt(TIMER);
    drop(handling);
    // Last of all, when the controller knows that the interrupt is done: this may switch to another call stack, and return much
    // later. All that the interrupted code needs is on its own.
    tasks::preempt();
}
