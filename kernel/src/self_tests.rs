//! Tests that are in the bootable image, for its command `test`: those of the test image (`tests/kernel.rs`) that look at a
//! running kernel and leave it as it was. The others need a heap to compare with, the console's input or the hooks of
//! interrupts for themselves, or a boot of their own.

use kernel::testing::Test;

#[path = "../tests/kernel/booted.rs"]
mod booted;
#[path = "../tests/kernel/frames.rs"]
mod frames;
#[path = "../tests/kernel/heap.rs"]
mod heap;
#[path = "../tests/kernel/out_of_memory.rs"]
mod out_of_memory;

/// All of them, in the order in which they run.
pub(crate) static TESTS: &[&[Test]] = &[
    booted::TESTS,
    frames::TESTS,
    heap::TESTS,
    out_of_memory::TESTS,
];
