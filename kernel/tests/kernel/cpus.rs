//! The CPUs, as far as it does not matter how many there are. What needs more than one is in `smp`.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use kernel::cpu::start::{LowMemory, NotStarted, start_late};
use kernel::cpu::{self, MOST_CPUS};
use kernel::interrupts::{on_software_interrupt, raise_software_interrupt};
use kernel::memory::physical;
use kernel::testing::Test;
use kernel::{acpi, tests};
use x86_64::instructions::interrupts;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "cpus";
    all_processors_are_up,
    a_handler_knows_its_cpu,
    functions_are_called_on_every_cpu,
    frames_to_start_in_go_back,
    a_cpu_that_does_not_come_up_is_left_out,
    calling_others_with_interrupts_masked => Panics("other CPUs were called with interrupts masked"),
};

fn all_processors_are_up() {
    let Ok(madt) = acpi::madt() else {
        // Without APICs nobody tells of others.
        assert_eq!(cpu::count(), 1);
        return;
    };
    let processors = madt.processors().count();
    assert_eq!(cpu::count(), processors.min(MOST_CPUS));
    let mut ids = (0..cpu::count()).map(cpu::local_apic_id);
    assert!(ids.all(|id| madt.processors().any(|found| Some(found.apic_id) == id)));
}

fn a_handler_knows_its_cpu() {
    static SEEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    on_software_interrupt(|| SEEN.store(cpu::current(), Ordering::Relaxed));
    interrupts::without_interrupts(|| {
        raise_software_interrupt();
        assert_eq!(SEEN.load(Ordering::Relaxed), cpu::current());
    });
    on_software_interrupt(|| {});
}

fn functions_are_called_on_every_cpu() {
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    cpu::on_all(|| {
        assert!(!interrupts::are_enabled());
        CALLED.fetch_add(1 << cpu::current(), Ordering::Relaxed);
    });
    assert_eq!(CALLED.load(Ordering::Relaxed), (1 << cpu::count()) - 1);
}

fn frames_to_start_in_go_back() {
    let before = physical::counts().free;
    let reserved = LowMemory::reserve().expect("the machine has free memory below 1 MiB");
    assert_eq!(physical::counts().free, before - 4);
    drop(reserved);
    assert_eq!(physical::counts().free, before);
}

fn a_cpu_that_does_not_come_up_is_left_out() {
    /// No machine of the tests has so many.
    const NOBODY: u32 = 250;
    if cpu::local_apic_id(0).is_none() {
        return;
    }
    let start = || {
        let low_memory = LowMemory::reserve().expect("the machine has free memory below 1 MiB");
        start_late(NOBODY, low_memory, Duration::from_millis(20))
    };
    // The exceptions' stacks for the next CPU are made once, and kept.
    assert_eq!(start(), Err(NotStarted::Silent));
    let (count, account) = (cpu::count(), physical::account());
    assert_eq!(start(), Err(NotStarted::Silent));
    assert_eq!(cpu::count(), count);
    assert_eq!(physical::account(), account);
    assert!(account.is_balanced());
}

fn calling_others_with_interrupts_masked() {
    interrupts::without_interrupts(|| cpu::on_all(|| {}));
}
