//! Starting the other CPUs: what the one that booted does for it.
//!
//! The firmware's table of processors ([`madt`](mod@crate::acpi::madt)) says which there are. One after the other is
//! told to start, and comes up by itself:
//!
//! ```text
//!  the first CPU                                     another CPU
//!  makes its call stacks and segments                asleep since the reset of the machine
//!  writes the trampoline below 1 MiB      low_memory,
//!  offers it a number                     trampoline
//!  sends reset, start, start ──────────────────────▶ 16, 32, 64 bits; takes the kernel's page tables
//!  waits, for a bounded time                         takes the number                    arrival
//!       ◀───────────────────────────────────── counts itself as up
//!                                                    sleeps until there is something to do
//! ```
//!
//! One that does not come up in time is reset again, so that it never will, and left out: the number goes to the next one.

mod arrival;
mod low_memory;
mod trampoline;

use core::fmt;
use core::mem;
use core::time::Duration;

pub use low_memory::LowMemory;

use super::roster::Roster;
use super::{MOST_CPUS, count};
use crate::acpi;
use crate::bench::clock;
use crate::gdt;
use crate::interrupts::local_apic::{self, Message};
use crate::interrupts::{controller, timer};
use crate::memory::guarded_stack::{GuardedStack, NoStack};
use crate::stack_name::StackName;
use arrival::Offer;
use trampoline::Trampoline;

/// Bytes of the call stack that a CPU has where no task runs on it.
const STACK_BYTES: usize = 64 * 1024;

/// How long a CPU is given from its reset to its start.
const RESET_TIME: Duration = Duration::from_millis(10);

/// How long a CPU is given until it is told to start again: one that is quick has begun before.
const FIRST_TRY: Duration = Duration::from_millis(2);

/// How long a CPU is given to come up: far more than any needs, though the host of an emulated one may be busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a CPU was not started. Displays as a part of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The kernel has [`MOST_CPUS`].
    TooMany,
    /// There is no memory for its call stacks.
    NoStack(NoStack),
    /// The first CPU cannot send it anything.
    Unreachable,
    /// It did not come up in time.
    Silent,
    /// It came up, but its interrupt controller is not where the first CPU has it.
    NoController,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "the kernel runs on {MOST_CPUS} at most"),
            Self::NoStack(error) => error.fmt(f),
            Self::Unreachable => f.write_str("its APIC has a number that needs x2APIC mode"),
            Self::Silent => f.write_str("it did not come up in time"),
            Self::NoController => f.write_str("its APIC is not where the APIC of the first one is"),
        }
    }
}

impl core::error::Error for NotStarted {}

/// Starts all CPUs of the machine, and tells what came of it. `low_memory` is what [`LowMemory::reserve`] gave; it goes back to the
/// frame allocator. Needs interrupts enabled; called once.
pub(crate) fn all(low_memory: Option<LowMemory>) {
    let (Ok(madt), Some(own)) = (acpi::madt(), super::local_apic_id(0)) else {
        // Without that there are no others to be found, or no way to reach them.
        return;
    };
    let roster = Roster::new(madt.processors(), own);
    if roster.others() == 0 {
        return;
    }
    let Some(low_memory) = low_memory else {
        log::warn!(
            "cpu: the other {} cannot be started: there is no free memory below 1 MiB to start in",
            roster.others()
        );
        return;
    };
    let trampoline = Trampoline::new(low_memory);
    for apic_id in roster.chosen() {
        if let Err(reason) = start(apic_id, &trampoline, PATIENCE) {
            log::warn!("cpu: the one with APIC {apic_id} is left out: {reason}");
        }
    }
    if roster.left_out() > 0 {
        log::warn!(
            "cpu: {} more are left alone: {}",
            roster.left_out(),
            NotStarted::TooMany
        );
    }
    log::info!("cpu: {} of {} are up", count(), roster.others() + 1);
}

/// Starts the CPU with this local APIC, which is none of those that are up, and gives it `patience` to come. For tests: those that
/// there are have been started when the kernel booted.
///
/// # Errors
///
/// [`NotStarted`]; the CPU will not come up any more.
pub fn start_late(
    apic_id: u32,
    low_memory: LowMemory,
    patience: Duration,
) -> Result<(), NotStarted> {
    start(apic_id, &Trampoline::new(low_memory), patience)
}

/// Starts the CPU with this local APIC, which is none of those that are up.
fn start(apic_id: u32, trampoline: &Trampoline, patience: Duration) -> Result<(), NotStarted> {
    let cpu = count();
    if cpu >= MOST_CPUS {
        return Err(NotStarted::TooMany);
    }
    gdt::prepare(cpu).map_err(NotStarted::NoStack)?;
    let name = StackName::from_fmt(format_args!("CPU {cpu}"));
    let stack = GuardedStack::new(name, STACK_BYTES).map_err(NotStarted::NoStack)?;
    trampoline.set(cpu, stack.top());
    let offer = Offer::make();
    let outcome = wake(apic_id, trampoline, &offer, patience);
    let outcome = outcome.and(if count() > cpu {
        Ok(())
    } else {
        Err(NotStarted::NoController)
    });
    if outcome.is_err() {
        // Wherever it is, it goes no further: from here on its stack is nobody's.
        local_apic::send(apic_id, Message::Reset);
        pause(RESET_TIME);
    } else {
        // It is on this stack for ever.
        mem::forget(stack);
    }
    outcome
}

/// Tells a CPU to start, and waits until it is up, or has found out that it cannot be.
fn wake(
    apic_id: u32,
    trampoline: &Trampoline,
    offer: &Offer,
    patience: Duration,
) -> Result<(), NotStarted> {
    if !local_apic::send(apic_id, Message::Reset) {
        return Err(NotStarted::Unreachable);
    }
    pause(RESET_TIME);
    for patience in [FIRST_TRY, patience] {
        // A CPU that runs already does not care.
        local_apic::send(apic_id, Message::Start(trampoline.frame()));
        if wait_until(patience, || offer.is_decided()) {
            break;
        }
    }
    // One that comes in the very last moment has taken the offer, and will be up or say why not.
    if offer.withdraw() || !wait_until(PATIENCE, || offer.is_decided()) {
        return Err(NotStarted::Silent);
    }
    Ok(())
}

/// Waits until `is_done`, but not much longer than `duration`. Returns whether it is done.
fn wait_until(duration: Duration, is_done: impl Fn() -> bool) -> bool {
    let start = clock::now();
    loop {
        if is_done() {
            return true;
        }
        let passed = clock::now().saturating_sub(start);
        // Where APICs are used, the rate of the clock is known.
        if timer::duration_of(passed).is_none_or(|passed| passed >= duration) {
            return is_done();
        }
        core::hint::spin_loop();
    }
}

/// Waits so long.
fn pause(duration: Duration) {
    wait_until(duration, || false);
}
