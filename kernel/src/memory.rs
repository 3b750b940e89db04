//! The kernel's memory, from the firmware's map to the heap.
//!
//! ```text
//!  boot loader's regions ──► memory_map ──► frame_allocator ──► heap_source ──► stack_alloc::Allocator ──► Box, Vec, …
//!   (any order, any ends)   usable ranges   who has which frame   frames as       the global allocator
//!                                                                 mapped memory
//! ```
//!
//! All physical memory is mapped once, by the boot loader, at [`PHYSICAL_MEMORY_BASE`]; a frame's memory is found by adding
//! its address to that. So handing out memory maps nothing, and a block of 256 KiB is aligned wherever its frames are.
//!
//! # Lock order
//!
//! The heap's lock, then the frame allocator's. The heap asks for memory with its own lock held; the frame allocator has
//! its books in frames set aside at boot and never allocates. So there is no loop between the two.

pub mod bit_tree;
pub mod books;
pub mod frame;
pub mod frame_account;
pub mod frame_allocator;
pub mod frame_set;
pub mod memory_map;
pub mod page;
pub mod page_tables;
pub mod window;

#[cfg(test)]
mod machines;

#[cfg(target_os = "none")]
pub mod guarded_stack;
#[cfg(target_os = "none")]
pub mod heap_source;
#[cfg(target_os = "none")]
pub mod mapper;
#[cfg(target_os = "none")]
pub mod physical;

/// Where all physical memory is mapped: the start of the upper half of the address space.
pub const PHYSICAL_MEMORY_BASE: u64 = 0xffff_8000_0000_0000;
