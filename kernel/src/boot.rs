//! From the boot loader to a kernel with a heap: one call a step, in the order in which each needs the one before.

use bootloader_api::config::Mapping;
use bootloader_api::info::MemoryRegion;
use bootloader_api::{BootInfo, BootloaderConfig};

use crate::interrupts::masked;
use crate::memory::PHYSICAL_MEMORY_BASE;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;
use crate::{
    acpi, console, gdt, interrupts, misuse, out_of_memory, print, println, screen, stacks,
};

/// Where the kernel image is loaded: fixed, so that a debugger can be told in advance.
pub const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;

/// Bytes of the kernel's call stack.
const STACK_BYTES: u64 = 256 * 1024;

/// What the kernel asks of the boot loader. Everything goes to the upper half of the address space.
pub static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = STACK_BYTES;
    config.mappings.kernel_base = Mapping::FixedAddress(IMAGE_BASE);
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSICAL_MEMORY_BASE));
    config.mappings.dynamic_range_start = Some(PHYSICAL_MEMORY_BASE);
    config
};

/// Boots: afterwards the heap works and interrupts come in.
///
/// # Panics
///
/// If the machine has too little memory, or the boot loader did not do what [`CONFIG`] asks.
pub fn start(boot_info: &'static mut BootInfo) {
    console::init();
    println!("@image {:#018x}", boot_info.kernel_image_offset);
    println!(
        "stack_alloc {}: a kernel and its heap",
        env!("CARGO_PKG_VERSION")
    );
    stacks::init(boot_info.kernel_stack_bottom, boot_info.kernel_stack_len);
    screen::init(boot_info.framebuffer.take());
    gdt::init();
    interrupts::init();
    println!("cpu: segments and exception handlers are loaded");
    let rsdp = boot_info.rsdp_addr.into_option();
    init_memory(boot_info);
    acpi::init(rsdp);
    println!("interrupts: {}", interrupts::start());
}

/// Builds the frame allocator, which the heap gets its memory from.
fn init_memory(boot_info: &'static mut BootInfo) {
    let mapped_at = boot_info.physical_memory_offset.into_option();
    assert_eq!(
        mapped_at,
        Some(PHYSICAL_MEMORY_BASE),
        "the boot loader maps all physical memory where it was asked to"
    );
    let regions: &'static mut [MemoryRegion] = &mut boot_info.memory_regions;
    let reported = regions.len();
    let map = physical::init_memory_map(regions);
    print!("{}", map.anomalies());
    println!(
        "memory map: {reported} regions, {} usable ranges",
        map.usable_ranges().count()
    );

    // SAFETY: (1) is checked above, (4) holds because there is one `BootInfo`, and (2) is the boot loader's promise for the
    // regions that it calls usable: firmware and boot loader have no more use for them. (3): no other code of the kernel
    // changes page tables.
    let result = unsafe { physical::init_frames(map) };
    if let Err(too_little) = result {
        panic!("{too_little}");
    }
    HEAP.set_misuse_handler(misuse::handler);
    HEAP.set_out_of_memory_handler(out_of_memory::handler);
    let frames = physical::counts();
    println!(
        "frames: {} of {} are free, {} MiB",
        frames.free,
        frames.total,
        (frames.free * FRAME_SIZE) >> 20
    );
    match masked::unwatched(|| HEAP.check()) {
        Ok(()) => println!("heap: ready, takes 256 KiB blocks as it grows"),
        Err(corruption) => panic!("the heap is broken before its first use: {corruption}"),
    }
}
