//! What comes in from outside the machine, because the test asks the runner for it.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::console;
use kernel::interrupts::{on_nmi, timer};
use kernel::memory::heap_source::HEAP;
use kernel::protocol::Ask;
use kernel::testing::Test;
use kernel::tests;
use kernel::{println, qemu};

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "monitor";
    typed_line_arrives,
    every_byte_can_be_typed,
    nmi_storm_from_outside_while_the_heap_works,
};

/// Has `bytes` typed and reads as many.
fn typed(bytes: &[u8]) -> Vec<u8> {
    qemu::ask(Ask::Type(bytes));
    bytes.iter().map(|_| console::read_byte()).collect()
}

fn typed_line_arrives() {
    assert_eq!(typed(b"heap map\r\n"), b"heap map\r\n");
}

/// More than the serial port holds at once, and nothing on the way may take a byte for something else. (But zero, which no
/// keyboard sends.)
fn every_byte_can_be_typed() {
    let all: Vec<u8> = (1..=u8::MAX).collect();
    for _ in 0..4 {
        assert_eq!(typed(&all), all);
    }
}

/// How many NMIs have called the hook.
static NMIS: AtomicU64 = AtomicU64::new(0);

/// Allocates, resizes and frees in many sizes, small ones to whole runs of pages, and looks at what is in them.
fn work(round: usize) {
    let mut kept = Vec::new();
    for size in (1..12).map(|step| step * step * step * 7 + round) {
        let mut bytes = vec![0x5a_u8; size];
        bytes.resize(size + size / 2, 0x5a);
        kept.push(bytes);
        drop(Box::new(round));
    }
    let ends = |bytes: &Vec<u8>| [bytes.first(), bytes.last()] == [Some(&0x5a); 2];
    assert!(kept.iter().all(ends));
}

/// QEMU injects NMIs whenever it likes, with the heap's lock held or not. Of each burst at least one arrives, of many half and more.
fn nmi_storm_from_outside_while_the_heap_works() {
    const BURSTS: u32 = 20;
    NMIS.store(0, Ordering::Relaxed);
    on_nmi(|| {
        NMIS.fetch_add(1, Ordering::Relaxed);
    });
    let live = HEAP.statistics().live();
    for round in 0..BURSTS {
        let before = NMIS.load(Ordering::Relaxed);
        qemu::ask(Ask::Nmi(25));
        let mut rounds = 0;
        while NMIS.load(Ordering::Relaxed) == before {
            work(rounds + usize::try_from(round).unwrap_or_default());
            rounds += 1;
        }
        HEAP.check().expect("no NMI may break the heap");
    }
    wait_until_quiet();
    println!("{} NMIs came", NMIS.load(Ordering::Relaxed));
    assert!(NMIS.load(Ordering::Relaxed) >= u64::from(BURSTS));
    assert_eq!(HEAP.statistics().live(), live);
    on_nmi(|| {});
}

/// Works until the rest of the storm is over, so that it is not the next test's.
fn wait_until_quiet() {
    let quiet_ticks = u64::from(timer::FREQUENCY_HZ / 5);
    let mut last_seen = (NMIS.load(Ordering::Relaxed), timer::ticks());
    while timer::ticks() < last_seen.1 + quiet_ticks {
        work(0);
        if NMIS.load(Ordering::Relaxed) != last_seen.0 {
            last_seen = (NMIS.load(Ordering::Relaxed), timer::ticks());
        }
    }
}
