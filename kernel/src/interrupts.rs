//! Interrupts and exceptions: who is called when, and how often it has been.
//!
//! | vectors | what | module |
//! |---|---|---|
//! | 0–31 | exceptions of the CPU: reported; all but those below end the kernel | [`exceptions`] |
//! | 2 | the non-maskable interrupt: counted, given to a hook, and left behind, unless the hardware has failed, or another CPU has sent it | [`nmi`] |
//! | 3 | the breakpoint: shown and left behind | [`exceptions`] |
//! | 32 | the timer | [`timer`] |
//! | 36 | the serial port has received | [`console`](crate::console) |
//! | 39, 47 | spurious ones of the two PICs | [`pic`] |
//! | 128 | a software interrupt, free to use | [`descriptor_table`] |
//! | 240 | another CPU wants a function called | [`cpu::call`](crate::cpu::call) |
//! | 255 | spurious ones of the local APIC | [`descriptor_table`] |
//! | all others | unexpected: counted and left behind | [`unexpected`] |
//!
//! Two kinds of hardware deliver them; [`controller`] chooses once, at boot, and hides the difference afterwards:
//!
//! ```text
//! local APIC's timer ──────────────┐                8254 timer ──▶ PIC ──▶ CPU
//! serial port ──▶ I/O APIC ──▶ local APIC ──▶ CPU   serial port ──▶ PIC
//! ```
//!
//! The left one is used where ACPI tells of it (any machine of this century), the right one elsewhere.
//!
//! Handlers run with interrupts masked, and may print and allocate: those locks mask interrupts too. The exception is the
//! NMI, which comes whether masked or not: its hook must neither wait for a lock nor allocate nor print.

// Pure.
pub mod counts;
pub mod rate;
pub mod table;
pub mod vector;

#[cfg(target_os = "none")]
mod calibration;
#[cfg(target_os = "none")]
pub mod controller;
#[cfg(target_os = "none")]
pub mod descriptor_table;
#[cfg(target_os = "none")]
pub mod exceptions;
#[cfg(target_os = "none")]
pub mod handling;
#[cfg(target_os = "none")]
pub(crate) mod hook;
#[cfg(target_os = "none")]
pub mod io_apic;
#[cfg(target_os = "none")]
pub mod local_apic;
#[cfg(target_os = "none")]
pub mod masked;
#[cfg(target_os = "none")]
mod memory_registers;
#[cfg(target_os = "none")]
pub mod nmi;
#[cfg(target_os = "none")]
pub mod pic;
#[cfg(target_os = "none")]
mod pit;
#[cfg(target_os = "none")]
mod reference;
#[cfg(target_os = "none")]
pub mod timer;
#[cfg(target_os = "none")]
pub mod unexpected;

#[cfg(target_os = "none")]
pub use descriptor_table::{init, on_serial_byte, on_software_interrupt, raise_software_interrupt};
#[cfg(target_os = "none")]
pub use nmi::{nmi_count, on_nmi};

#[cfg(target_os = "none")]
pub use started::{start, table};

/// What can be asked and chosen once interrupts come.
#[cfg(target_os = "none")]
mod started {
    use x86_64::instructions::interrupts as cpu;

    use super::controller::Chosen;
    use super::table::InterruptTable;
    use super::{controller, counts, masked, timer};

    /// Sets the controllers and the timer up, and lets interrupts in. Needs what [`acpi`](crate::acpi) has found.
    pub fn start() -> Chosen {
        let chosen = controller::init();
        cpu::enable();
        chosen
    }

    /// Returns how often each interrupt has come, and how long the heap has kept them out at most, to be displayed.
    #[must_use]
    pub fn table() -> InterruptTable {
        InterruptTable {
            controllers: controller::controllers(),
            counts: counts::all(),
            longest_masked: timer::duration_of(masked::longest()),
        }
    }
}
