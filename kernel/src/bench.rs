//! The bench: what operations of a heap cost inside the kernel, behind the kernel's lock.
//!
//! ```text
//! workloads ──▶ trial ──▶ heap under test, fresh for each workload, behind a MaskingLock
//!                 │
//!                 └─▶ recorder: clock before and after each operation ──▶ summary ──▶ table
//! ```
//!
//! Each single operation is measured, from its caller's side: the call, the lock with its masking, the work. What measuring
//! costs is measured first and subtracted. Then the same operations run once more with a lock that is watched, which tells the
//! longest masked section in each of them. The watch would spoil the first numbers. (The kernel's own heap is always watched: see
//! [`interrupts::masked`](crate::interrupts::masked).)
//!
//! While it measures, the interrupt controllers keep everything back: interrupts stay enabled, so the lock does all of its
//! work, and none comes in between. Objects, samples and tables live in the kernel's own heap, which is not the one under
//! test, and all their memory is taken beforehand.
//!
//! The numbers are time-stamp ticks, and under QEMU's `-icount shift=0` instructions: see [`clock`]. The command `bench` runs a
//! heap of the kernel's kind; the bench image (`benches/kernel.rs`) also sets ours against `linked_list_allocator`.

// Pure.
pub mod cpu_table;
pub mod operation;
pub mod summary;
pub mod table;

#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod contestant;
#[cfg(target_os = "none")]
pub mod cpus;
#[cfg(target_os = "none")]
pub mod masked;
#[cfg(target_os = "none")]
pub mod recorder;
#[cfg(target_os = "none")]
pub mod run;
#[cfg(target_os = "none")]
pub mod trial;
#[cfg(target_os = "none")]
pub mod workloads;
