//! The non-maskable interrupt. It comes at any moment, in code that holds a lock too.
//!
//! A machine reports failures of its hardware this way: they end the kernel. All others (somebody pressed a button, asked QEMU's
//! monitor for one, or a program sent one) are counted and given to a hook.
//!
//! CPUs of the kernel send each other NMIs too, to [stop](crate::cpu::stop) or to [forget](crate::cpu::translations). Those are
//! neither counted nor given to the hook. The machine's come to the first CPU alone. Where one of each kind comes at once, the CPU
//! takes one: its own business is done, and the machine is asked whether something has failed all the same. (A button pressed at
//! that very moment may be missed.)

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;

use super::hook::Hook;
use super::io_apic::{self, Raises};
use super::{controller, counts, local_apic, pit};
use crate::cpu::{MOST_CPUS, Own, PerCpu};
use crate::exception::NON_MASKABLE_INTERRUPT;

/// What an NMI calls.
static ON_NMI: Hook<fn()> = Hook::new();

/// Whether each CPU is in what an NMI calls.
static IS_HANDLING: PerCpu<AtomicBool> =
    PerCpu::new([const { Own::new(AtomicBool::new(false)) }; MOST_CPUS]);

/// Chooses what an NMI calls. The function must neither wait for a lock nor print nor cause an exception: whoever was interrupted
/// may be at anything. It may free what is on the heap, and allocate where null will do: the heap does not wait there.
pub fn on_nmi(function: fn()) {
    ON_NMI.set(function);
}

/// Returns how many NMIs have come.
#[must_use]
pub fn nmi_count() -> u64 {
    counts::of(NON_MASKABLE_INTERRUPT)
}

/// Handles an NMI. Returns whether the kernel can go on.
pub(super) fn handle() -> bool {
    if hardware_has_failed() {
        return false;
    }
    let is_handling = IS_HANDLING.here();
    is_handling.store(true, Ordering::Relaxed);
    ON_NMI.call();
    is_handling.store(false, Ordering::Relaxed);
    true
}

/// Returns whether this CPU is in what an NMI calls. (NMIs do not interrupt each other.)
#[must_use]
pub fn is_handling() -> bool {
    // A task must not be moved between asking where it is and looking there.
    without_interrupts(|| IS_HANDLING.here().load(Ordering::Relaxed))
}

/// Returns whether the machine says that memory or a device has failed.
pub(super) fn hardware_has_failed() -> bool {
    /// Memory, or a device on the main bus.
    const FAILURES: u8 = 1 << 7 | 1 << 6;
    // SAFETY: reading this port changes nothing.
    let status: u8 = unsafe { Port::new(0x61).read() };
    // All bits are set where there is no such port.
    status & FAILURES != 0 && status != 0xff
}

/// The line of the ISA bus that the old timer has.
const OLD_TIMER_LINE: u8 = 0;

/// While this lives, NMIs come many times a second, wherever the CPU is: the old timer raises them. For tests.
pub struct Storm(());

impl Storm {
    /// Starts one, of `hz` NMIs a second; `None` where there is no I/O APIC to make NMIs of the old timer's ticks. Only one
    /// at a time.
    #[must_use]
    pub fn start(hz: u32) -> Option<Self> {
        let madt = controller::apics()?;
        let input = madt.isa_line(OLD_TIMER_LINE);
        pit::start(hz);
        io_apic::route(&madt, input, Raises::Nmi, local_apic::id()).then_some(Self(()))
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        if let Some(madt) = controller::apics() {
            io_apic::mask(&madt, madt.isa_line(OLD_TIMER_LINE));
        }
    }
}

impl fmt::Debug for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storm")
    }
}
