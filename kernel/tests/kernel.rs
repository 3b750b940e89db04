//! The tests that need the machine, as one image: a list of modules, a list of their tests.
#![no_std]
#![no_main]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a step does the same to both heaps, or allocates and frees: one argument serves both"
)]

extern crate alloc;

use bootloader_api::{BootInfo, entry_point};
use kernel::boot;
use kernel::testing::{self, Test};

#[path = "kernel/bench.rs"]
mod bench;
#[path = "kernel/booted.rs"]
mod booted;
#[path = "kernel/commands.rs"]
mod commands;
#[path = "kernel/console.rs"]
mod console;
#[path = "kernel/cpus.rs"]
mod cpus;
#[path = "kernel/differential.rs"]
mod differential;
#[path = "kernel/failures.rs"]
mod failures;
#[path = "kernel/frames.rs"]
mod frames;
#[path = "kernel/guarded_stacks.rs"]
mod guarded_stacks;
#[path = "kernel/heap.rs"]
mod heap;
#[path = "kernel/interrupts.rs"]
mod interrupts;
#[path = "kernel/misuse.rs"]
mod misuse;
#[path = "kernel/monitor.rs"]
mod monitor;
#[path = "kernel/out_of_memory.rs"]
mod out_of_memory;
#[path = "kernel/scattered.rs"]
mod scattered;
#[path = "kernel/screen.rs"]
mod screen;
#[path = "kernel/smp.rs"]
mod smp;
#[path = "kernel/stress.rs"]
mod stress;
#[path = "kernel/tasks.rs"]
mod tasks;
#[path = "kernel/wandering.rs"]
mod wandering;

/// All tests, in the order in which they run.
static TESTS: &[&[Test]] = &[
    booted::TESTS,
    frames::TESTS,
    heap::TESTS,
    scattered::TESTS,
    guarded_stacks::TESTS,
    interrupts::TESTS,
    cpus::TESTS,
    smp::TESTS,
    tasks::TESTS,
    wandering::TESTS,
    console::TESTS,
    commands::TESTS,
    misuse::TESTS,
    monitor::TESTS,
    differential::TESTS,
    stress::TESTS,
    screen::TESTS,
    bench::TESTS,
    out_of_memory::TESTS,
    failures::TESTS,
];

entry_point!(main, config = &boot::CONFIG);

/// Called by the boot loader, with its description of the machine.
fn main(boot_info: &'static mut BootInfo) -> ! {
    boot::start(boot_info);
    testing::run(TESTS)
}
