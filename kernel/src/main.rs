//! The bootable kernel: boots, draws its heap on the screen, and answers commands on the serial console.
#![no_std]
#![no_main]

extern crate alloc;

use bootloader_api::{BootInfo, entry_point};
use kernel::{boot, prompt, screen};

#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "the tests allocate and free in one step: one argument serves both"
)]
mod self_tests;

entry_point!(main, config = &boot::CONFIG);

/// Called by the boot loader, with its description of the machine.
fn main(boot_info: &'static mut BootInfo) -> ! {
    boot::start(boot_info);
    screen::spawn();
    prompt::run(self_tests::TESTS)
}
