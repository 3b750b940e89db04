//! Clocks whose rate is known, to measure others with: the 8254's, which every PC had for decades and some have switched off
//! today; that of ACPI; and the CPU's time-stamp counter, where the CPU says how fast it is.

use core::arch::x86_64::__cpuid;
use core::fmt;

use x86_64::instructions::port::Port;

use super::{pit, rate};
use crate::acpi;
use crate::bench::clock;

/// A clock of known rate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    /// Counter 2 of the 8254, which counts down.
    Pit,
    /// The timer of ACPI, at this port.
    Acpi(u16),
    /// The time-stamp counter, which counts so much a second.
    TimeStamps(u64),
}

impl Reference {
    /// Iterates over those that the machine seems to have, the most trustworthy first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let acpi = acpi::timer_port().map(Self::Acpi);
        let time_stamps = time_stamps_hz().map(Self::TimeStamps);
        [Some(Self::Pit), acpi, time_stamps].into_iter().flatten()
    }

    /// Has it count.
    pub(super) fn start(self) {
        if matches!(self, Self::Pit) {
            pit::start_reference();
        }
    }

    /// Reads it.
    pub(super) fn read(self) -> u64 {
        match self {
            Self::Pit => u64::from(pit::reference()),
            // SAFETY: ACPI says that the timer is there; reading it changes nothing.
            Self::Acpi(port) => u64::from(unsafe { Port::<u32>::new(port).read() }),
            Self::TimeStamps(_) => clock::now(),
        }
    }

    /// Returns how far it has counted from one reading to another.
    pub(super) const fn counted(self, start: u64, end: u64) -> u64 {
        match self {
            Self::Pit => start.wrapping_sub(end) & 0xffff,
            // Some have 32 bits, all have 24, and those are through after 4.7 s.
            Self::Acpi(_) => end.wrapping_sub(start) & 0xff_ffff,
            Self::TimeStamps(_) => end.wrapping_sub(start),
        }
    }

    /// Returns how much it counts a second.
    pub(super) const fn hz(self) -> u64 {
        /// What the specification of ACPI says.
        const ACPI_HZ: u64 = 3_579_545;
        match self {
            Self::Pit => pit::INPUT_HZ as u64,
            Self::Acpi(_) => ACPI_HZ,
            Self::TimeStamps(hz) => hz,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pit => "the 8254",
            Self::Acpi(_) => "the timer of ACPI",
            Self::TimeStamps(_) => "what the CPU says of its time-stamp counter",
        })
    }
}

/// Returns what the CPU says that its time-stamp counter counts a second.
fn time_stamps_hz() -> Option<u64> {
    /// The crystal, and how it is multiplied.
    const CRYSTAL: u32 = 0x15;
    /// The frequency in round numbers.
    const FREQUENCY: u32 = 0x16;
    let last = __cpuid(0).eax;
    let crystal = (last >= CRYSTAL).then(|| __cpuid(CRYSTAL));
    let crystal = crystal.map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx]);
    let mhz = (last >= FREQUENCY).then(|| __cpuid(FREQUENCY).eax & 0xffff);
    rate::time_stamps_hz(crystal.unwrap_or_default(), mhz.unwrap_or_default())
}
