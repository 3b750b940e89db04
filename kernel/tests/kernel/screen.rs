//! The screen: that drawing leaves the heap alone, whoever else uses it. What is drawn is tested on the host.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::interrupts::timer;
use kernel::memory::heap_source::HEAP;
use kernel::testing::Test;
use kernel::{screen, tests};
use x86_64::instructions::interrupts as cpu;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "screen";
    there_is_one_screen,
    drawing_allocates_nothing_while_a_handler_allocates,
    whole_map_is_drawn_while_blocks_come_and_go,
    panel_allocates_nothing_and_masks_nothing => Alone,
};

/// Allocations of the timer's handler.
static BY_HANDLER: AtomicU64 = AtomicU64::new(0);

fn there_is_one_screen() {
    let first = screen::start().expect("QEMU's machine has a framebuffer that is large enough");
    assert!(screen::start().is_none());
    drop(first);
    assert!(screen::start().is_some(), "the screen is given back");
}

/// Returns how many allocations there were that were not the handler's.
fn allocations() -> u64 {
    cpu::without_interrupts(|| HEAP.statistics().allocations() - BY_HANDLER.load(Ordering::Relaxed))
}

fn drawing_allocates_nothing_while_a_handler_allocates() {
    let mut screen = screen::start().expect("there is a screen");
    BY_HANDLER.store(0, Ordering::Relaxed);
    timer::on_tick(|| {
        drop(Box::new([0_u8; 100]));
        BY_HANDLER.fetch_add(1, Ordering::Relaxed);
    });
    let before = allocations();
    while BY_HANDLER.load(Ordering::Relaxed) < 20 {
        screen.draw();
    }
    timer::on_tick(|| {});
    assert_eq!(allocations(), before);
}

fn whole_map_is_drawn_while_blocks_come_and_go() {
    let mut screen = screen::start().expect("there is a screen");
    let before = HEAP.statistics().allocations();
    let mut large: Vec<Vec<u8>> = Vec::with_capacity(100);
    for _ in 0..100 {
        // About a block each: more than one refresh looks at.
        large.push(Vec::with_capacity(200 * 1024));
        screen.draw();
    }
    while large.pop().is_some() {
        screen.draw();
    }
    assert_eq!(HEAP.statistics().allocations(), before + 101);
}

fn panel_allocates_nothing_and_masks_nothing() {
    let before = HEAP.statistics().allocations();
    let mut panel = screen::take_panel().expect("there is a framebuffer");
    for line in 0..200 {
        writeln!(panel, "line {line} of more than there is room for").expect("a panel takes all");
    }
    assert!(cpu::are_enabled());
    assert_eq!(HEAP.statistics().allocations(), before);
}
