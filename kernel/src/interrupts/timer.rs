//! The 8254 timer, ticking 100 times a second.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::port::Port;
use x86_64::structures::idt::InterruptStackFrame;

use super::{Hook, pic};

/// Ticks a second.
pub const FREQUENCY_HZ: u32 = 100;

/// What the timer counts down with, in Hz.
const INPUT_HZ: u32 = 1_193_182;

/// Command: channel 0, both bytes of the count, mode 2 (a pulse each time the count is through).
const RATE_GENERATOR: u8 = 0x34;

/// Ticks since [`init`].
static TICKS: AtomicU64 = AtomicU64::new(0);

/// What each tick calls.
static ON_TICK: Hook = Hook::new();

/// Starts the timer.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "three writes are one command"
)]
pub(super) fn init() {
    #[expect(clippy::cast_possible_truncation, reason = "11932 fits")]
    const COUNT: [u8; 2] = ((INPUT_HZ / FREQUENCY_HZ) as u16).to_le_bytes();
    // SAFETY: these are the timer's ports; its interrupt has a handler.
    unsafe {
        Port::new(0x43).write(RATE_GENERATOR);
        Port::new(0x40).write(COUNT[0]);
        Port::new(0x40).write(COUNT[1]);
    }
}

/// Returns how often the timer has ticked.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Returns whether the timer has ever ticked, so that a sleeping CPU will wake.
pub fn is_ticking() -> bool {
    ticks() > 0
}

/// Chooses what each tick calls, with interrupts masked.
pub fn on_tick(function: fn()) {
    ON_TICK.set(function);
}

/// Called at each tick.
pub(super) extern "x86-interrupt" fn handler(_: InterruptStackFrame) {
    TICKS.fetch_add(1, Ordering::Relaxed);
    ON_TICK.call();
    pic::end_of_interrupt(pic::TIMER);
}
