//! The other CPU's side of its start: from the trampoline to where it waits for something to do.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;
use x86_64::instructions::{hlt, interrupts as flag, tlb};
use x86_64::registers::control::{Cr0, Cr4};

use super::super::{identity, stop};
use super::controller;
use crate::{gdt, interrupts, tasks};

/// What is going on with the CPU that is being started.
static STATE: AtomicU32 = AtomicU32::new(NOTHING);

/// No number is offered.
const NOTHING: u32 = 0;
/// A number is offered, and nobody has come.
const OFFERED: u32 = 1;
/// A CPU has taken the number, and sets itself up.
const TAKEN: u32 = 2;
/// It is up, or has found out that it cannot be.
const DECIDED: u32 = 3;

/// How the first CPU is set up. The others are set up in the same way.
static REGISTERS: Once<Registers> = Once::new();

/// What a CPU is set up with.
struct Registers {
    /// Of these, the trampoline has set all already.
    cr0: u64,
    /// Of these, the trampoline has set one.
    cr4: u64,
}

/// The offer of a number to the CPU that is being started.
#[derive(Debug)]
pub(super) struct Offer(());

impl Offer {
    /// Offers the number that the trampoline has. One CPU is started at a time.
    pub(super) fn make() -> Self {
        REGISTERS.call_once(|| Registers {
            cr0: Cr0::read_raw(),
            cr4: Cr4::read_raw(),
        });
        STATE.store(OFFERED, Ordering::Release);
        Self(())
    }

    /// Returns whether the CPU is up, or has found out that it cannot be.
    pub(super) fn is_decided(&self) -> bool {
        STATE.load(Ordering::Acquire) == DECIDED
    }

    /// Takes the offer back, unless it was taken. Returns whether it did.
    pub(super) fn withdraw(&self) -> bool {
        change(OFFERED, NOTHING)
    }
}

/// Changes the state from one to another, if it is that. Returns whether it was.
fn change(from: u32, to: u32) -> bool {
    let found = STATE.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
    found.is_ok()
}

/// Where a CPU enters the kernel, on its own call stack, with the kernel's page tables and interrupts masked.
pub(super) extern "C" fn arrive(cpu: u64) -> ! {
    if !change(OFFERED, TAKEN) {
        // Too late: this CPU is about to be reset.
        stay_out();
    }
    // Whoever was offered a number was given one that is in range.
    identity::enter(usize::try_from(cpu).unwrap_or(0));
    set_registers();
    gdt::load();
    interrupts::init();
    let is_up = controller::join();
    if is_up {
        identity::count_in();
        // Whoever has unmapped something meanwhile did not tell this CPU: only from here on it is told.
        tlb::flush_all();
        // Nor did one who has stopped the others meanwhile.
        stop::obey();
    }
    STATE.store(DECIDED, Ordering::Release);
    if !is_up {
        stay_out();
    }
    flag::enable();
    tasks::run_this_cpu()
}

/// Sets the control registers as the first CPU has them.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves both registers"
)]
fn set_registers() {
    if let Some(registers) = REGISTERS.get() {
        // SAFETY: the first CPU has run the same kernel, on the same page tables, with these.
        unsafe {
            Cr0::write_raw(registers.cr0);
            Cr4::write_raw(registers.cr4);
        }
    }
}

/// Sleeps for ever.
fn stay_out() -> ! {
    loop {
        flag::disable();
        hlt();
    }
}
