//! The bench image: boots, measures our heap beside `linked_list_allocator`, prints the tables and leaves.
//!
//! `make bench-kernel`, or `cargo bench`, runs it in a machine whose time-stamp counter counts instructions. Elsewhere it
//! refuses: its numbers are meant to be compared from run to run.
#![no_std]
#![no_main]

use bootloader_api::{BootInfo, entry_point};
use kernel::bench::cpus;
use kernel::bench::operation::Operation;
use kernel::bench::run::{self, Bench, BenchError, Scale};
use kernel::bench::table::{LongestMasked, TwoHead, TwoRow};
use kernel::bench::workloads::WORKLOADS;
use kernel::counted::Counted;
use kernel::protocol::Exit;
use kernel::{boot, cpu, println, qemu};

#[path = "kernel/contestants.rs"]
mod contestants;
#[path = "kernel/region.rs"]
mod region;

use contestants::{LinkedList, StackAlloc};
use region::REGION_BYTES;

entry_point!(main, config = &boot::CONFIG);

/// Called by the boot loader, with its description of the machine.
fn main(boot_info: &'static mut BootInfo) -> ! {
    boot::start(boot_info);
    if !run::counts_instructions() {
        println!(
            "This machine's time-stamp counter does not count instructions. Run the bench with `make bench-kernel`, which has \
             QEMU count them."
        );
        qemu::exit(Exit::Code(1));
    }
    println!(
        "\nAll numbers are instructions, counted exactly.\n{}",
        run::LEGEND
    );
    match compare().and_then(|()| alone()) {
        Ok(()) => qemu::exit(Exit::Code(0)),
        Err(error) => {
            println!("{error}");
            qemu::exit(Exit::Code(1))
        }
    }
}

/// Prints the table of both heaps.
fn compare() -> Result<(), BenchError> {
    let mut bench = Bench::new(Scale::FULL)?;
    let [mut ours, mut theirs] = [LongestMasked::default(); 2];
    println!("\nBoth heaps, each with {} MiB:\n", REGION_BYTES >> 20);
    let (first, second) = ("stack_alloc", "linked_list_allocator");
    println!("{}", TwoHead { first, second });
    for workload in WORKLOADS {
        let results = bench
            .measure(&StackAlloc, workload)?
            .into_iter()
            .zip(bench.measure(&LinkedList, workload)?);
        let mut name = workload.name;
        for (operation, result) in Operation::ALL.into_iter().zip(results) {
            let (Some(first), Some(second)) = result else {
                continue;
            };
            ours.add(workload.name, operation, first.masked);
            theirs.add(workload.name, operation, second.masked);
            let row = TwoRow {
                workload: name,
                operation,
                first,
                second,
            };
            println!("{row}");
            name = "";
        }
    }
    println!("longest masked section, {first}: {ours}");
    println!("longest masked section, {second}: {theirs}");
    Ok(())
}

/// Prints the table of a heap like the kernel's own.
fn alone() -> Result<(), BenchError> {
    println!("\nA heap like the kernel's, with memory from the frame allocator as it grows:\n");
    run::run_kernel_heap()?;
    println!("\nThe same heap beside ever more live objects:\n");
    run::run_growth()?;
    println!(
        "\nThe kernel's own heap, on {} (`make bench-kernel SMP=4` has four):",
        Counted(cpu::count(), "CPU")
    );
    println!("{}\n", cpus::LEGEND);
    cpus::run()
}
