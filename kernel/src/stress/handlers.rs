//! What interrupt handlers do, on each CPU: each run allocates an object, and frees one that another context has left.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::object::Object;
use super::tally::{self, What};
use super::{exchange, worker};
use crate::cpu;
use crate::interrupts::{on_serial_byte, on_software_interrupt, timer};
use crate::tasks;

/// The stress goes on: handlers have something to do.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// How many handlers are at it, on all CPUs.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Has the handlers allocate from now on.
pub(super) fn start() {
    IS_ON.store(true, Ordering::SeqCst);
    timer::on_each_tick(run);
    on_software_interrupt(run);
    on_serial_byte(|_| run());
}

/// Has them do nothing again, and waits for those of other CPUs that are in the middle of it.
pub(super) fn stop() {
    IS_ON.store(false, Ordering::SeqCst);
    timer::on_each_tick(|| {});
    on_software_interrupt(|| {});
    on_serial_byte(|_| {});
    // Whoever is not counted yet will see that there is nothing to do.
    while AT_WORK.load(Ordering::SeqCst) > 0 {
        tasks::yield_now();
    }
}

/// One run, with interrupts masked: the same for all interrupts.
fn run() {
    AT_WORK.fetch_add(1, Ordering::SeqCst);
    if IS_ON.load(Ordering::SeqCst) {
        allocate_and_free();
    }
    AT_WORK.fetch_sub(1, Ordering::SeqCst);
}

/// Allocates an object, and frees one that was left.
fn allocate_and_free() {
    // Handlers of a CPU do not interrupt each other, so each run has a number of its own to begin with.
    let number = tally::count(What::HandlerRun) + 1;
    let mut random = worker::random_from(number << 8 | cpu::current() as u64);
    let size = 1 + random.log_distributed(0, 12);
    let fill = random.next_number().to_le_bytes()[3];
    let object = Object::new(worker::layout_of(size, random.below(5)), fill);
    if object.is_none() {
        tally::count(What::Null);
    }
    drop(exchange::swap(random.below(usize::MAX), object));
}
