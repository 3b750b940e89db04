//! Kernel.
#![no_std]
#![no_main]
use core::panic::PanicInfo;
bootloader_api::entry_point!(main);
fn main(_: &'static mut bootloader_api::BootInfo) -> ! { loop {} }
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! { loop {} }
