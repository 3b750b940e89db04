//! What interrupt handlers do: each run allocates an object, and frees one that another context has left.

use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::exchange;
use super::object::Object;
use crate::interrupts::{on_serial_byte, on_software_interrupt, timer};
use crate::random::Random;

/// How often a handler has run.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// The stress goes on: handlers have something to do.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Has the handlers allocate from now on.
pub(super) fn start() {
    RUNS.store(0, Ordering::Relaxed);
    IS_ON.store(true, Ordering::Release);
    timer::on_tick(run);
    on_software_interrupt(run);
    on_serial_byte(|_| run());
}

/// Has them do nothing again.
pub(super) fn stop() {
    IS_ON.store(false, Ordering::Release);
    timer::on_tick(|| {});
    on_software_interrupt(|| {});
    on_serial_byte(|_| {});
}

/// Returns how often one has run since [`start`].
pub(super) fn runs() -> u64 {
    RUNS.load(Ordering::Relaxed)
}

/// One run, with interrupts masked: the same for all interrupts.
fn run() {
    if !IS_ON.load(Ordering::Acquire) {
        return;
    }
    let number = RUNS.fetch_add(1, Ordering::Relaxed) + 1;
    // Handlers do not interrupt each other, so each run has a number of its own to begin with.
    let mut random = Random::from_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = 1 + random.log_distributed(0, 12);
    let layout = Layout::from_size_align(size, 1 << random.below(5));
    let fill = random.next_number().to_le_bytes()[3];
    let object = layout.ok().and_then(|layout| Object::new(layout, fill));
    drop(exchange::swap(random.below(usize::MAX), object));
}
