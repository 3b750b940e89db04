//! ACPI: the tables in which the firmware describes the machine. The kernel reads two of them: the list of interrupt
//! controllers and processors, and the one that has the timer of ACPI.
//!
//! ```text
//! RSDP ──▶ XSDT (or RSDT) ──┬▶ … "APIC" … ──▶ MADT: local APICs, I/O APICs, overrides      madt
//!  └── given by the boot    └▶ … "FACP" … ──▶ FADT: where the timer is                    fadt
//!      loader                    tables
//! ```
//!
//! Firmware is not trusted with the kernel's memory: tables are read, and devices looked for, only where the memory map has
//! nothing that is the kernel's; lengths and checksums are checked before a byte is believed. A machine whose tables are wrong
//! is one without them, and says why. Beyond that, firmware is believed: that a device is where a table says it is cannot be
//! checked.

pub mod fadt;
pub mod madt;
pub mod tables;

#[cfg(target_os = "none")]
mod firmware_memory;

#[cfg(target_os = "none")]
pub use found::{init, madt, timer_port};

/// The machine's own tables.
#[cfg(target_os = "none")]
mod found {
    use spin::Once;

    use super::fadt;
    use super::firmware_memory::FirmwareMemory;
    use super::madt::Madt;
    use super::tables::{self, TableError};

    /// The table of interrupt controllers, or why there is none.
    static MADT: Once<Result<Madt<'static>, TableError>> = Once::new();

    /// The port of the timer of ACPI, where there is one.
    static TIMER_PORT: Once<Option<u16>> = Once::new();

    /// Looks for the tables, given the physical address of the RSDP. Needs the memory map. Further calls change nothing.
    pub fn init(rsdp: Option<u64>) {
        MADT.call_once(|| {
            let rsdp = rsdp.ok_or(TableError::NoRoot)?;
            let table = tables::find(&FirmwareMemory, rsdp, Madt::SIGNATURE)?;
            Madt::new(table)
        });
        TIMER_PORT.call_once(|| {
            let table = tables::find(&FirmwareMemory, rsdp?, fadt::SIGNATURE);
            fadt::timer_port(table.ok()?)
        });
    }

    /// Returns the port of the timer of ACPI; `None` where there is none, or no table that tells of it.
    pub fn timer_port() -> Option<u16> {
        TIMER_PORT.get().copied().flatten()
    }

    /// Returns the table of interrupt controllers and processors.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn madt() -> Result<Madt<'static>, TableError> {
        MADT.get().copied().unwrap_or(Err(TableError::NoRoot))
    }
}
