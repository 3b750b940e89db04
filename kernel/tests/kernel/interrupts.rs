//! Interrupt handlers that use the heap, and the lock that makes it possible.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::interrupts::{on_software_interrupt, raise_software_interrupt, timer};
use kernel::lock::InterruptMaskingLock;
use kernel::memory::heap_source::HEAP;
use kernel::testing::Test;
use kernel::tests;
use lock_api::{Mutex, RawMutex};
use x86_64::instructions::interrupts as cpu;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "interrupts";
    lock_restores_the_interrupt_flag,
    locks_nest,
    try_lock_never_waits,
    breakpoint_resumes,
    handler_allocates_while_main_code_allocates,
    timer_handler_allocates_while_main_code_allocates,
    handler_frees_what_main_code_allocated,
};

fn lock_restores_the_interrupt_flag() {
    let lock = Mutex::<InterruptMaskingLock, ()>::new(());
    assert!(cpu::are_enabled());
    let guard = lock.lock();
    assert!(!cpu::are_enabled());
    drop(guard);
    assert!(cpu::are_enabled());
    cpu::without_interrupts(|| {
        drop(lock.lock());
        assert!(
            !cpu::are_enabled(),
            "the lock must leave interrupts masked where they were"
        );
    });
}

fn locks_nest() {
    let (outer, inner) = (
        Mutex::<InterruptMaskingLock, ()>::new(()),
        Mutex::<InterruptMaskingLock, ()>::new(()),
    );
    let outer_guard = outer.lock();
    drop(inner.lock());
    assert!(!cpu::are_enabled(), "the outer lock is still held");
    // The heap's own lock is one more of the kind.
    drop(Box::new(1));
    assert!(!cpu::are_enabled());
    drop(outer_guard);
    assert!(cpu::are_enabled());
}

fn try_lock_never_waits() {
    let lock = InterruptMaskingLock::INIT;
    assert!(lock.try_lock() && !lock.try_lock() && lock.is_locked());
    // SAFETY: the first `try_lock` took it.
    unsafe { lock.unlock() };
    assert!(!lock.is_locked() && cpu::are_enabled());
}

fn breakpoint_resumes() {
    cpu::int3();
    assert!(cpu::are_enabled());
}

/// How often a handler has run in a test.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Allocates, looks at it, frees.
fn allocate_in_handler() {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    assert!(!cpu::are_enabled());
    let boxed = Box::new([run; 8]);
    let size = usize::try_from(run % 3000).unwrap_or_default();
    let bytes = vec![0x5a_u8; size];
    assert!(boxed.iter().all(|&value| value == run) && bytes.iter().all(|&byte| byte == 0x5a));
}

/// Allocates and frees in many sizes, and checks the contents, a hundred times.
fn allocate_in_main_code(round: u64) {
    let mut map = BTreeMap::new();
    for key in 0..20 {
        map.insert(
            key,
            vec![round + key; 1 + usize::try_from(key * 7).unwrap_or_default()],
        );
    }
    assert!(
        map.iter()
            .all(|(key, values)| values.iter().all(|value| *value == round + key))
    );
}

fn handler_allocates_while_main_code_allocates() {
    on_software_interrupt(allocate_in_handler);
    RUNS.store(0, Ordering::Relaxed);
    let live = HEAP.statistics().live();
    for round in 0..1000 {
        let kept = Box::new(round);
        raise_software_interrupt();
        allocate_in_main_code(round);
        raise_software_interrupt();
        assert_eq!(*kept, round);
        raise_software_interrupt();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 3000);
    assert_eq!(HEAP.statistics().live(), live);
    on_software_interrupt(|| {});
}

fn timer_handler_allocates_while_main_code_allocates() {
    RUNS.store(0, Ordering::Relaxed);
    timer::on_tick(allocate_in_handler);
    // The interrupt comes anywhere in these allocations, as often as the machine's clock makes it.
    let mut round = 0;
    while RUNS.load(Ordering::Relaxed) < 50 {
        allocate_in_main_code(round);
        round += 1;
    }
    timer::on_tick(|| {});
}

/// What the main code leaves for the handler.
#[expect(
    clippy::vec_box,
    reason = "each box is an allocation for the handler to free"
)]
static MAILBOX: Mutex<InterruptMaskingLock, Vec<Box<u64>>> = Mutex::new(Vec::new());

fn handler_frees_what_main_code_allocated() {
    on_software_interrupt(|| {
        let taken = core::mem::take(&mut *MAILBOX.lock());
        RUNS.fetch_add(taken.iter().map(|value| **value).sum(), Ordering::Relaxed);
    });
    RUNS.store(0, Ordering::Relaxed);
    for _ in 0..200 {
        for value in 1..=10 {
            MAILBOX.lock().push(Box::new(value));
        }
        raise_software_interrupt();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 200 * 55);
    on_software_interrupt(|| {});
}
