//! Which CPU this is.
//!
//! The base of the segment GS is a register that each CPU has. It points to the CPU's number, so the number is one instruction
//! away, wherever the CPU is: in an NMI, in an exception, in the middle of a switch of tasks. There is no user mode, so nobody
//! ever puts another base there (and there is no `swapgs`).

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::MOST_CPUS;
use super::per_cpu::{Own, PerCpu};

/// The numbers, for GS to point to. Never written.
static NUMBERS: PerCpu<usize> = PerCpu::new({
    let mut numbers = [const { Own::new(0) }; MOST_CPUS];
    let mut number = 0;
    while number < MOST_CPUS {
        numbers[number] = Own::new(number);
        number += 1;
    }
    numbers
});

/// How many CPUs are up.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// What each local APIC is called, or [`UNKNOWN`].
static LOCAL_APIC_IDS: PerCpu<AtomicU32> =
    PerCpu::new([const { Own::new(AtomicU32::new(UNKNOWN)) }; MOST_CPUS]);

/// No local APIC is called so: it stands for all of them.
const UNKNOWN: u32 = u32::MAX;

/// Gives the CPU that runs this its number: the first thing that it does in the kernel, because locks and handlers ask for it.
///
/// # Panics
///
/// If the number is not below [`MOST_CPUS`].
pub(crate) fn enter(cpu: usize) {
    // Any number is sound to have. Two CPUs with the same one would take each other's locks for their own.
    let number: *const usize = NUMBERS.of(cpu);
    GsBase::write(VirtAddr::from_ptr(number));
}

/// Returns the number of the CPU that runs this code: below [`MOST_CPUS`], and 0 for the one that booted.
///
/// It can be called anywhere, in an NMI too. Where the code may be moved to another CPU (interrupts are enabled, and tasks
/// move), the answer may be old when it comes.
#[must_use]
#[inline(always)]
pub fn current() -> usize {
    let number;
    // SAFETY: GS points to a number that nobody writes (`enter`, which is called before anything else is). Not `pure`: the answer
    // changes with no change of memory that the compiler knows of.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(nomem, nostack, preserves_flags)) };
    number
}

/// Returns how many CPUs are up. Their numbers are those below.
#[must_use]
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// Counts the CPU that runs this as up. Its number is the next one.
pub(super) fn count_in() {
    debug_assert_eq!(
        count(),
        current(),
        "CPUs come up in the order of their numbers"
    );
    COUNT.store(current() + 1, Ordering::SeqCst);
}

/// Returns what interrupt controllers call a CPU; `None` where it has no number yet, or the machine no APICs.
///
/// # Panics
///
/// If the number is not below [`MOST_CPUS`].
#[must_use]
pub fn local_apic_id(cpu: usize) -> Option<u32> {
    let id = LOCAL_APIC_IDS.of(cpu).load(Ordering::Relaxed);
    (id != UNKNOWN).then_some(id)
}

/// Writes down what interrupt controllers call the CPU that runs this.
pub(crate) fn set_local_apic_id(id: u32) {
    LOCAL_APIC_IDS.here().store(id, Ordering::Relaxed);
}
