//! A kernel that lives on `stack_alloc`.
//!
//! It is a library so that the bootable kernel (`main.rs`), the test image (`tests/kernel.rs`) and the bench image
//! (`benches/kernel.rs`) are the same kernel. What touches the machine is compiled for the machine alone; the pure modules
//! are compiled for the host too, where their unit tests run:
//!
//! ```text
//! cargo test       the test image, in QEMU
//! cargo bench      the bench image, in QEMU
//! make host-test   the pure modules, on the host
//! ```
//!
//! Where to read: [`boot`] tells the story from the boot loader to the heap, [`memory`] explains the memory,
//! [`interrupts`] who is called when, [`cpu`] how many CPUs run this at once and what they ask of each other, [`failure`] what
//! happens when all goes wrong.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_os = "none", feature(abi_x86_interrupt))]

extern crate alloc;
#[cfg(test)]
extern crate std;

// Pure: numbers and text, or the pure half of what follows.
pub mod acpi;
pub mod arguments;
pub mod bench;
pub mod bytes;
pub mod command_line;
pub mod command_table;
pub mod counted;
pub mod cpu;
pub mod exception;
pub mod failure_context;
pub mod fault;
pub mod heap_map;
pub mod interrupts;
pub mod line_editor;
pub mod memory;
pub mod misuse;
pub mod out_of_memory;
pub mod protocol;
pub mod random;
pub mod registers;
pub mod ring;
pub mod screen;
pub mod spelling;
pub mod stack_name;
pub mod stress;
pub mod style;
pub mod tasks;
pub mod whereabouts;

// What touches the machine.
#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(target_os = "none")]
pub mod commands;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod failure;
#[cfg(target_os = "none")]
pub mod gdt;
#[cfg(target_os = "none")]
pub mod lock;
#[cfg(target_os = "none")]
pub mod logger;
#[cfg(target_os = "none")]
pub mod lookup;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod prompt;
#[cfg(target_os = "none")]
pub mod qemu;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(target_os = "none")]
pub mod stacks;
#[cfg(target_os = "none")]
pub mod testing;
