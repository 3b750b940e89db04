//! The kernel's memory, from the firmware's map to the heap.
//!
//! ```text
//!  boot loader's regions ──► memory_map ──► frame_allocator ──► heap_source ──► stack_alloc::Allocator ──► Box, Vec, …
//!   (any order, any ends)   usable ranges   who has which frame   frames as       the global allocator
//!                                                 │               memory
//!                                                 ▼                 ▲
//!                                               mapper ─────────────┘
//!                          window ────────────►  │  ◄──────────── page_tables
//!                      which addresses           ▼                which frame is behind which page
//!                                          guarded_stack ──► call stacks of threads
//! ```
//!
//! All physical memory is mapped once, by the boot loader, at [`PHYSICAL_MEMORY_BASE`]; a frame's memory is found by adding
//! its address to that. So handing out memory that lies together maps nothing, and a block of 256 KiB is aligned wherever its
//! frames are.
//!
//! Where free frames are scattered, the [`mapper`] makes one piece of them, in a [window] of addresses of its own. It makes
//! pieces of up to 16 MiB ([`LARGEST_MAPPING`](window::LARGEST_MAPPING)); so a request of up to so much succeeds if there are
//! frames for it and their page tables, however they lie, and a larger one if there are whole blocks enough side by side. The
//! same window has the call stacks of threads, each between pages that are not mapped.
//!
//! ```text
//! 0xffff_8000_0000_0000   all physical memory, and what else the boot loader maps
//! 0xffff_c800_0000_0000   the window: up to 31 TiB, by the machine's memory
//! 0xffff_ffff_8000_0000   the kernel's image
//! ```
//!
//! # Where every frame is
//!
//! | who | has | says |
//! |---|---|---|
//! | the [books] of frame allocator and window | frames set aside when booting | [`FrameAccount::books`](frame_account::FrameAccount::books) |
//! | the frame allocator | what is free | `physical::counts` |
//! | the heap | blocks and regions | `HEAP.statistics().bytes_held` |
//! | the mapper | page tables, which go back with the last page below them | `mapper::table_frames` |
//! | guarded call stacks | a mapping each | `stacks::guarded_frames` |
//!
//! `physical::account` asks all of them and checks the sum.
//!
//! # Lock order
//!
//! The heap's lock, then the window's, then the frame allocator's. The heap asks for memory with its own lock held; mapper and
//! frame allocator have their books in frames set aside at boot, and page tables come from the frame allocator, so neither
//! allocates. So there is no loop between them. The table of call stacks has no lock at all.
//!
//! Other CPUs wait for these locks. Where pages of the window are unmapped, they are asked to [forget](crate::cpu::translations) them
//! while all three are held, which ends nevertheless; and who counts frames has them [stand still](crate::cpu::alone) where they
//! hold none.
//!
//! All three mask interrupts. What is done under them depends neither on how much is live nor on what was done before, and has
//! these bounds:
//!
//! - Books and searches: constant, but for the levels of trees over all memory.
//! - Memory that is mapped already, one block or a region of neighbouring frames: the region's size, though little of it, a step
//!   for each 256 KiB.
//! - Memory that is mapped in the window: the size of the largest mapping, and over how many blocks its frames are scattered; when
//!   it goes, also the time that the slowest other CPU takes to notice an NMI.
//!
//! [`heap_source`] has the figures.

pub mod bit_tree;
pub mod books;
pub mod frame;
pub mod frame_account;
pub mod frame_allocator;
pub mod frame_set;
pub mod memory_map;
pub mod page;
pub mod page_tables;
pub mod run_tree;
pub mod window;

#[cfg(test)]
mod machines;

#[cfg(target_os = "none")]
pub mod guarded_stack;
#[cfg(target_os = "none")]
pub mod heap_check;
#[cfg(target_os = "none")]
pub mod heap_source;
#[cfg(target_os = "none")]
pub mod mapper;
#[cfg(target_os = "none")]
pub mod physical;
#[cfg(target_os = "none")]
pub mod pointer;
#[cfg(target_os = "none")]
pub mod translation;

/// Where all physical memory is mapped: the start of the upper half of the address space.
pub const PHYSICAL_MEMORY_BASE: u64 = 0xffff_8000_0000_0000;
