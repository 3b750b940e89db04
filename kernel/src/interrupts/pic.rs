//! The two 8259 interrupt controllers of the first PCs: moved out of the way of the exceptions, and everything masked. Where
//! there is no APIC, timer and serial port come through them.

use x86_64::instructions::port::Port;

use super::vector::{FIRST_OF_PICS, SERIAL_LINE};

/// Interrupt lines of a controller.
const LINES: u8 = 8;

/// The line of the first controller that the second one hangs on.
const CASCADE_LINE: u8 = 2;

/// The lines of the first controller that stay masked where the PICs are used: all but timer and serial port.
const MASK: u8 = !(1 << 0 | 1 << SERIAL_LINE);

/// A controller, by its command port; the data port is the next one.
const FIRST: u16 = 0x20;
/// The second controller.
const SECOND: u16 = 0xa0;

/// Command: begin setting up; the setting-up continues with three bytes to the data port.
const INITIALIZE: u8 = 0x11;
/// Setting up, the third byte: 8086 mode, an end-of-interrupt command wanted.
const MODE_8086: u8 = 0x01;
/// Command: the interrupt in service is done.
const END_OF_INTERRUPT: u8 = 0x20;
/// Command: the interrupt of this line (added) is done.
const END_OF_LINE: u8 = 0x60;
/// Command: the command port shall give the lines that are in service.
const READ_IN_SERVICE: u8 = 0x0b;

/// Sets both controllers up, with every line masked.
pub(super) fn init() {
    set_up(FIRST, FIRST_OF_PICS, 1 << CASCADE_LINE);
    set_up(SECOND, FIRST_OF_PICS + LINES, CASCADE_LINE);
}

/// Lets the interrupts of timer and serial port through, or no longer.
pub(super) fn let_through(is_wanted: bool) {
    write(FIRST + 1, if is_wanted { MASK } else { !0 });
}

/// Tells the controllers that the handler of `vector` is done.
pub(super) fn end_of_interrupt(vector: u8) {
    if vector >= FIRST_OF_PICS + LINES {
        write(SECOND, END_OF_INTERRUPT);
    }
    write(FIRST, END_OF_INTERRUPT);
}

/// Tells the controllers that the handler of `vector` is done, if they wait for that: for line 7 of each, which also stands
/// for "none at all", and for vectors that nobody expects and code may have raised.
///
/// An interrupt that went away is not in service, and must not be ended: that would end another one. But where the second
/// controller was wrong, the first has its line in service all the same.
pub(super) fn end_if_in_service(vector: u8) {
    let lines = FIRST_OF_PICS..FIRST_OF_PICS + 2 * LINES;
    if !lines.contains(&vector) {
        return;
    }
    let is_second = vector >= FIRST_OF_PICS + LINES;
    let controller = if is_second { SECOND } else { FIRST };
    if is_in_service(controller, (vector - FIRST_OF_PICS) % LINES) {
        end_of_interrupt(vector);
    } else if is_second && is_in_service(FIRST, CASCADE_LINE) {
        write(FIRST, END_OF_LINE | CASCADE_LINE);
    }
}

/// Returns whether a controller waits for the end of a line's interrupt.
fn is_in_service(controller: u16, line: u8) -> bool {
    write(controller, READ_IN_SERVICE);
    // SAFETY: the command port of a controller, which gives what was chosen.
    let in_service: u8 = unsafe { Port::new(controller).read() };
    in_service >> line & 1 == 1
}

/// Sets a controller up: its first vector, and how it hangs on the other one.
fn set_up(controller: u16, first_vector: u8, cascade: u8) {
    write(controller, INITIALIZE);
    for byte in [first_vector, cascade, MODE_8086, !0] {
        write(controller + 1, byte);
    }
}

/// Writes a byte to a port of a controller, and gives an old one the time to take it.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "the second write is there for the first"
)]
fn write(port: u16, byte: u8) {
    // SAFETY: the ports are those of the controllers, and 0x80 is for debug codes and does nothing. The vectors that are not
    // masked all have handlers, so no interrupt that this lets in goes astray.
    unsafe {
        Port::new(port).write(byte);
        Port::new(0x80).write(0_u8);
    }
}
