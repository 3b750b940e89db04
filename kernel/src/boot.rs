//! From the boot loader to a kernel with a heap: one call a step, in the order in which each needs the one before.

use bootloader_api::config::Mapping;
use bootloader_api::info::MemoryRegion;
use bootloader_api::{BootInfo, BootloaderConfig};

use crate::arguments::{self, Arguments};
use crate::bytes::Bytes;
use crate::counted::Counted;
use crate::cpu::start::LowMemory;
use crate::memory::PHYSICAL_MEMORY_BASE;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::heap_check;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;
use crate::protocol::ARGUMENTS_FILE;
use crate::{
    acpi, console, cpu, gdt, interrupts, logger, misuse, out_of_memory, print, println, qemu,
    screen, stacks, tasks,
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
    cpu::identity::enter(0);
    console::init();
    println!("@image {:#018x}", boot_info.kernel_image_offset);
    init_log();
    log::info!(
        "stack_alloc {}: a kernel and its heap",
        env!("CARGO_PKG_VERSION")
    );
    log::debug!(
        "boot loader {}.{}.{}; image of {}; call stack of {} at {:#018x}",
        boot_info.api_version.version_major(),
        boot_info.api_version.version_minor(),
        boot_info.api_version.version_patch(),
        bytes(boot_info.kernel_len),
        bytes(boot_info.kernel_stack_len),
        boot_info.kernel_stack_bottom,
    );
    stacks::init(boot_info.kernel_stack_bottom, boot_info.kernel_stack_len);
    screen::init(boot_info.framebuffer.take());
    gdt::init();
    interrupts::init();
    log::info!("cpu: segments and exception handlers are loaded");
    let rsdp = boot_info.rsdp_addr.into_option();
    init_memory(boot_info);
    let low_memory = LowMemory::reserve();
    match gdt::guard_exception_stacks() {
        Ok(()) => log::debug!("cpu: exceptions have guarded call stacks"),
        Err(error) => log::warn!("cpu: exceptions have call stacks without guards: {error}"),
    }
    if let Err(error) = tasks::init() {
        panic!("there is no idle task: {error}");
    }
    acpi::init(rsdp);
    log::info!("interrupts: {}", interrupts::start());
    cpu::start::all(low_memory);
}

/// Makes `log::info!` and its like print, from the level on that the runner asks for.
fn init_log() {
    let mut buffer = [0; arguments::MOST_BYTES];
    let text = qemu::read_file(ARGUMENTS_FILE, &mut buffer).unwrap_or_default();
    logger::init(Arguments::new(text).log_level());
}

/// Returns a number of bytes for a reader.
fn bytes(count: u64) -> Bytes {
    Bytes(usize::try_from(count).unwrap_or(usize::MAX))
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
    for range in map.usable_ranges() {
        let (start, end) = (range.first.start_address(), range.end.start_address());
        log::debug!(
            "usable: {start:#018x} to {end:#018x}, {}",
            bytes(end - start)
        );
    }
    log::info!(
        "memory map: {}, {}",
        Counted(reported, "region"),
        Counted(map.usable_ranges().count(), "usable range")
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
    log::info!(
        "frames: {} of {} are free, {}",
        frames.free,
        frames.total,
        bytes(frames.free * FRAME_SIZE)
    );
    match heap_check::check() {
        Ok(()) => log::info!("heap: ready, takes 256 KiB blocks as it grows"),
        Err(fault) => panic!("the heap is broken before its first use: {fault}"),
    }
}
