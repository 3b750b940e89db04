//! The two 8259 interrupt controllers: moved out of the way of the exceptions, everything masked but timer and serial port.

use x86_64::instructions::port::Port;

/// The first vector of the first controller: the first one that is no exception.
const FIRST_VECTOR: u8 = 32;
/// Interrupt lines of a controller.
const LINES: u8 = 8;

/// The vector of the timer: line 0.
pub const TIMER: u8 = FIRST_VECTOR;
/// The vector of the first serial port: line 4.
pub const SERIAL: u8 = FIRST_VECTOR + 4;
/// The vectors that a controller raises when it does not know what it raised: their line 7.
pub const SPURIOUS: [u8; 2] = [FIRST_VECTOR + 7, FIRST_VECTOR + LINES + 7];

/// The lines of the first controller that stay masked: all but 0 and 4.
const MASK: u8 = !(1 << 0 | 1 << 4);

/// A controller, by its command port; the data port is the next one.
const FIRST: u16 = 0x20;
/// The second controller, which hangs on line 2 of the first.
const SECOND: u16 = 0xa0;

/// Command: begin setting up; the setting-up continues with three bytes to the data port.
const INITIALIZE: u8 = 0x11;
/// Setting up, the third byte: 8086 mode, an end-of-interrupt command wanted.
const MODE_8086: u8 = 0x01;
/// Command: the interrupt in service is done.
const END_OF_INTERRUPT: u8 = 0x20;

/// Sets both controllers up.
pub fn init() {
    set_up(FIRST, FIRST_VECTOR, 1 << 2, MASK);
    set_up(SECOND, FIRST_VECTOR + LINES, 2, !0);
}

/// Tells the controllers that the handler of `vector` is done.
pub fn end_of_interrupt(vector: u8) {
    if vector >= FIRST_VECTOR + LINES {
        write(SECOND, END_OF_INTERRUPT);
    }
    write(FIRST, END_OF_INTERRUPT);
}

/// While this lives, the controllers keep every interrupt back, though interrupts are enabled. A tick that is due meanwhile
/// comes afterwards, more of them are lost.
#[derive(Debug)]
#[must_use = "the interrupts come again when this is dropped"]
pub struct Silence(());

impl Silence {
    /// Has every interrupt kept back.
    pub fn new() -> Self {
        write(FIRST + 1, !0);
        Self(())
    }
}

impl Default for Silence {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        write(FIRST + 1, MASK);
    }
}

/// Sets a controller up: its first vector, how it hangs on the other one, and the lines to mask.
fn set_up(controller: u16, first_vector: u8, cascade: u8, mask: u8) {
    write(controller, INITIALIZE);
    for byte in [first_vector, cascade, MODE_8086, mask] {
        write(controller + 1, byte);
    }
}

/// Writes a byte to a port of a controller, and gives an old one the time to take it.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "the second write is there for the first"
)]
fn write(port: u16, byte: u8) {
    // SAFETY: the ports are those of the controllers, and 0x80 is for debug codes and does nothing. The vectors set up above
    // all have handlers, so no interrupt that this lets in goes astray.
    unsafe {
        Port::new(port).write(byte);
        Port::new(0x80).write(0_u8);
    }
}
