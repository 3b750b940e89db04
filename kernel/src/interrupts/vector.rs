//! Who has which vector. Pure.
#![forbid(unsafe_code)]

use crate::exception;

/// The first vector of the first PIC: the first one that is no exception. The others of its eight lines follow, then those of
/// the second PIC.
pub const FIRST_OF_PICS: u8 = 32;

/// The timer. (Line 0 of the PICs.)
pub const TIMER: u8 = FIRST_OF_PICS;

/// The line of the ISA bus that the first serial port has.
pub const SERIAL_LINE: u8 = 4;

/// The first serial port.
pub const SERIAL: u8 = FIRST_OF_PICS + SERIAL_LINE;

/// What the first PIC raises when it does not know what it raised.
pub const SPURIOUS_FIRST_PIC: u8 = FIRST_OF_PICS + 7;

/// What the second PIC raises when it does not know what it raised.
pub const SPURIOUS_SECOND_PIC: u8 = FIRST_OF_PICS + 15;

/// The software interrupt.
pub const SOFTWARE: u8 = 0x80;

/// What a CPU sends another one that is to call a function. (Above all others, so that [`Silence`](super::controller::Silence)
/// does not keep it back.)
pub const CALL: u8 = 0xf0;

/// What the local APIC raises when it does not know what it raised. Its lowest four bits must be set, for old ones.
pub const SPURIOUS_APIC: u8 = 0xff;

/// The vectors that the kernel expects.
pub const EXPECTED: [u8; 9] = [
    exception::NON_MASKABLE_INTERRUPT,
    exception::BREAKPOINT,
    TIMER,
    SERIAL,
    SPURIOUS_FIRST_PIC,
    SPURIOUS_SECOND_PIC,
    SOFTWARE,
    CALL,
    SPURIOUS_APIC,
];

/// Returns what a vector is for.
#[must_use]
pub const fn name(vector: u8) -> &'static str {
    match vector {
        0..FIRST_OF_PICS => exception::name_and_meaning(vector).0,
        TIMER => "timer",
        SERIAL => "serial port",
        SPURIOUS_FIRST_PIC | SPURIOUS_SECOND_PIC | SPURIOUS_APIC => "spurious",
        SOFTWARE => "software interrupt",
        CALL => "call by another CPU",
        _ => "unexpected",
    }
}
