//! What the kernel finds when it has booted.

use core::ptr;
use core::sync::atomic::AtomicU8;
use core::time::Duration;

use kernel::acpi::tables::TableError;
use kernel::interrupts::timer;
use kernel::memory::frame::FRAME_SIZE;
use kernel::memory::physical;
use kernel::memory::translation::mapping_of;
use kernel::testing::Test;
use kernel::{acpi, boot, stacks, tests};
use x86_64::registers::control::Cr3;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "boot";
    statics_hold_their_values,
    image_is_where_it_should_be,
    stack_is_known,
    memory_map_has_usable_memory,
    regions_are_sorted_and_merged,
    image_stack_and_page_tables_are_the_kernels_by_the_map,
    memory_above_the_hole_is_usable_where_there_is_any,
    timer_ticks,
    uptime_advances,
    sleep_lasts_as_long_as_asked,
    acpi_tells_of_processors_and_controllers,
};

fn statics_hold_their_values() {
    static DATA: [u64; 4] = [1, 2, 3, 0xdead_beef];
    static ZEROS: [u8; 4096] = [0; 4096];
    assert_eq!(core::hint::black_box(&DATA)[3], 0xdead_beef);
    assert!(core::hint::black_box(&ZEROS).iter().all(|&byte| byte == 0));
}

fn image_is_where_it_should_be() {
    static INSIDE: u8 = 1;
    let address = ptr::addr_of!(INSIDE).addr() as u64;
    assert!(address >= boot::IMAGE_BASE, "the image is at {address:#x}");
}

fn stack_is_known() {
    let on_stack = 0_u8;
    let address = ptr::addr_of!(on_stack).addr() as u64;
    let stack = stacks::containing(address).expect("the stack we are on is known");
    assert!(
        stack.end - stack.start >= 128 * 1024,
        "the stack is too small: {stack:#x?}"
    );
    assert!(stacks::is_guard(stack.start - 1) && !stacks::is_guard(stack.start));
}

fn memory_map_has_usable_memory() {
    let map = physical::memory_map().expect("the map is kept at boot");
    let total = physical::statistics().total;
    assert!(
        map.usable_frames() > total,
        "the books of the frame allocator take frames"
    );
    let books = map.usable_frames() - total;
    assert!(
        books * 1000 <= total + 8000,
        "{books} frames of books for {total} frames are too many"
    );
    assert!(
        map.usable_ranges().all(|range| range.first.number() > 0),
        "frame 0 is never usable"
    );
}

fn regions_are_sorted_and_merged() {
    let map = physical::memory_map().expect("the map is kept at boot");
    let mut regions = map.merged_regions();
    let mut last = regions.next().expect("there is a region");
    for region in regions {
        assert!(last.start <= region.start && last.start < last.end);
        assert!(
            last.kind != region.kind || last.end < region.start,
            "neighbours of one kind are one"
        );
        last = region;
    }
}

/// So that what firmware calls a table or a device is never one of these.
fn image_stack_and_page_tables_are_the_kernels_by_the_map() {
    static VARIABLE: AtomicU8 = AtomicU8::new(0);
    let on_stack = 0_u8;
    let map = physical::memory_map().expect("the map is kept at boot");
    let code = image_stack_and_page_tables_are_the_kernels_by_the_map as fn() as *const u8;
    for place in [code, VARIABLE.as_ptr(), ptr::addr_of!(on_stack)] {
        let mapping = mapping_of(place.addr() as u64).expect("it is mapped");
        assert!(map.is_kernels(mapping.physical, mapping.physical + 1));
    }
    let root = Cr3::read().0.start_address().as_u64();
    assert!(map.is_kernels(root, root + FRAME_SIZE));
}

fn memory_above_the_hole_is_usable_where_there_is_any() {
    const FOUR_GIB: u64 = 4 << 30;
    let map = physical::memory_map().expect("the map is kept at boot");
    for range in map
        .usable_ranges()
        .filter(|range| range.end.start_address() > FOUR_GIB)
    {
        let pointer = physical::frame_pointer(range.first).cast::<u64>();
        // SAFETY: a usable frame is mapped; reading changes nothing, whoever has it.
        unsafe { pointer.read_volatile() };
        assert!(range.len() * FRAME_SIZE <= physical::statistics().total * FRAME_SIZE);
    }
}

fn timer_ticks() {
    let before = timer::ticks();
    while timer::ticks() < before + 3 {
        x86_64::instructions::hlt();
    }
}

/// Ticks may be lost, or come late; there are never more of them than the time since the boot has room for.
fn uptime_advances() {
    let before = timer::uptime();
    timer_ticks();
    assert!(timer::uptime() > before && before > Duration::ZERO);
    let ticks = timer::ticks();
    let least = Duration::from_secs(ticks) / timer::FREQUENCY_HZ;
    // What both measurements may be wrong by, together.
    let tolerance = least / 5 + Duration::from_millis(4);
    let uptime = timer::uptime();
    assert!(uptime + tolerance > least, "{ticks} ticks in {uptime:?}");
}

fn sleep_lasts_as_long_as_asked() {
    let before = timer::uptime();
    timer::sleep(Duration::from_millis(50));
    assert!(timer::uptime() - before >= Duration::from_millis(50));
    timer::sleep(Duration::ZERO);
}

/// QEMU's machine has both; `-machine pc,acpi=off` has no tables, and says so.
fn acpi_tells_of_processors_and_controllers() {
    match acpi::madt() {
        Ok(madt) => {
            assert!(madt.processors().count() > 0);
            assert!(madt.io_apics().count() > 0);
            assert!(madt.local_apic_address() > 0);
        }
        Err(error) => assert_eq!(error, TableError::NoRoot),
    }
}
