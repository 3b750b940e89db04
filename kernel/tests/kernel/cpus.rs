//! The CPUs: who is who.

use kernel::cpu::{self, MOST_CPUS};
use kernel::interrupts::{on_software_interrupt, raise_software_interrupt};
use kernel::testing::Test;
use kernel::tests;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "cpus";
    tests_run_on_the_cpu_that_booted,
    a_handler_knows_its_cpu,
};

fn tests_run_on_the_cpu_that_booted() {
    assert_eq!(cpu::current(), 0);
    assert!((1..=MOST_CPUS).contains(&cpu::count()));
    assert!(
        cpu::local_apic_id(0).is_some(),
        "QEMU's machines have APICs"
    );
}

fn a_handler_knows_its_cpu() {
    use core::sync::atomic::{AtomicUsize, Ordering};
    static SEEN: AtomicUsize = AtomicUsize::new(usize::MAX);
    on_software_interrupt(|| SEEN.store(cpu::current(), Ordering::Relaxed));
    raise_software_interrupt();
    assert_eq!(SEEN.load(Ordering::Relaxed), cpu::current());
}
