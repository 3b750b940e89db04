//! What comes in from outside the machine, because the test asks the runner for it.

use alloc::vec::Vec;

use kernel::console;
use kernel::protocol::Ask;
use kernel::qemu;
use kernel::testing::Test;
use kernel::tests;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "monitor";
    typed_line_arrives,
    every_byte_can_be_typed,
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
