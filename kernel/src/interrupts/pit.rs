//! The 8254 timer: three counters, of which the first raises interrupts and the third is a clock to measure others with.

use x86_64::instructions::port::Port;

/// What the counters count down with, in Hz.
pub(super) const INPUT_HZ: u32 = 1_193_182;

/// Where commands go.
const COMMAND: u16 = 0x43;
/// The counter that raises interrupts.
const COUNTER_0: u16 = 0x40;
/// The counter that drives the loudspeaker.
const COUNTER_2: u16 = 0x42;
/// The port that starts counter 2 (bit 0) and switches the loudspeaker (bit 1).
const SYSTEM_CONTROL: u16 = 0x61;
/// The bits of that port that are chosen; the others are a status, and are to be written as 0.
const WRITABLE: u8 = 0b1111;

/// Command: counter 0, both bytes of the count, mode 2 (a pulse each time the count is through).
const RATE_GENERATOR_0: u8 = 0x34;
/// Command: the same for counter 2.
const RATE_GENERATOR_2: u8 = 0xb4;
/// Command: keep the present count of counter 2 to be read.
const LATCH_2: u8 = 0x80;

/// Has counter 0 raise an interrupt `hz` times a second: 19 at least.
pub(super) fn start(hz: u32) {
    let count = u16::try_from((INPUT_HZ + hz / 2) / hz.max(1)).unwrap_or(0);
    write(COMMAND, RATE_GENERATOR_0);
    for byte in count.to_le_bytes() {
        write(COUNTER_0, byte);
    }
}

/// Starts counter 2: it counts down from 65536 over and over, and nothing hears of it.
pub(super) fn start_reference() {
    let control = read(SYSTEM_CONTROL);
    write(SYSTEM_CONTROL, control & WRITABLE & !0b10 | 0b01);
    write(COMMAND, RATE_GENERATOR_2);
    for byte in [0, 0] {
        write(COUNTER_2, byte);
    }
}

/// Returns the count of counter 2.
pub(super) fn reference() -> u16 {
    write(COMMAND, LATCH_2);
    u16::from_le_bytes([read(COUNTER_2), read(COUNTER_2)])
}

/// Writes to a port of the timer.
fn write(port: u16, byte: u8) {
    // SAFETY: these ports are the timer's; the interrupt that it may raise has a handler, or is masked.
    unsafe { Port::new(port).write(byte) };
}

/// Reads a port of the timer.
fn read(port: u16) -> u8 {
    // SAFETY: as above; reading changes nothing but which byte comes next.
    unsafe { Port::new(port).read() }
}
