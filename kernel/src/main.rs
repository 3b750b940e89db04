//! The bootable kernel: boots, draws its heap on the screen, and answers commands on the serial console.
#![no_std]
#![no_main]

use bootloader_api::{BootInfo, entry_point};
use kernel::{boot, prompt, screen};

entry_point!(main, config = &boot::CONFIG);

/// Called by the boot loader, with its description of the machine.
fn main(boot_info: &'static mut BootInfo) -> ! {
    boot::start(boot_info);
    screen::spawn();
    prompt::run()
}
