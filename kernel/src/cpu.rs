//! The CPUs of the machine: which one runs this code, how many there are, and what each has for itself.
//!
//! A CPU has a number: 0 for the one that booted, then one after the other as they come up, without a gap. The number is not
//! what the interrupt controllers call it: that is [`local_apic_id`].
//!
//! | module | knows |
//! |---|---|
//! | [`per_cpu`] | something that each CPU has one of: pure |
//! | [`roster`] | which processors of the machine are to be started: pure |
//! | [`identity`] | which CPU this is: the register GS |
//! | [`start`] | how the others come up |

pub mod per_cpu;
pub mod roster;

#[cfg(target_os = "none")]
pub mod identity;
#[cfg(target_os = "none")]
pub mod start;

pub use per_cpu::{Own, PerCpu};

#[cfg(target_os = "none")]
pub use identity::{count, current, local_apic_id};

/// The most CPUs that the kernel runs on. If the machine has more, they are left asleep.
pub const MOST_CPUS: usize = 16;
