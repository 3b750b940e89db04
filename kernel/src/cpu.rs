//! The CPUs of the machine: which one runs this code, how many there are, and what each has for itself.
//!
//! A CPU has a number: 0 for the one that booted, then one after the other as they come up, without a gap. The number is not
//! what the interrupt controllers call it: that is [`local_apic_id`].
//!
//! | module | knows |
//! |---|---|
//! | [`per_cpu`] | something that each CPU has one of: pure |
//! | [`roster`] | which processors of the machine are to be started: pure |
//! | [`table`] | the CPUs as text: pure |
//! | [`identity`] | which CPU this is: the register GS |
//! | [`start`] | how the others come up |
//! | [`call`] | having others call a function, look again, or stand still |
//! | [`translations`] | having others forget pages that are unmapped |
//! | [`stop`] | stopping all others, for good |

pub mod per_cpu;
pub mod roster;
pub mod table;

#[cfg(target_os = "none")]
pub mod call;
#[cfg(target_os = "none")]
pub mod identity;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod stop;
#[cfg(target_os = "none")]
pub mod translations;

pub use per_cpu::{Own, PerCpu};

#[cfg(target_os = "none")]
pub use call::{alone, on, on_all, wake};
#[cfg(target_os = "none")]
pub use identity::{count, current, local_apic_id};

/// Does what another CPU wants by an NMI. Returns whether there was anything: else the NMI is the machine's.
#[cfg(target_os = "none")]
pub(crate) fn answer_nmi() -> bool {
    stop::obey();
    translations::answer()
}

/// The most CPUs that the kernel runs on. If the machine has more, they are left asleep.
pub const MOST_CPUS: usize = 16;
