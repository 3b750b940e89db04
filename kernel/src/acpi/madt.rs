//! The multiple APIC description table: which interrupt controllers and processors the machine has. Pure: bytes in, facts
//! out.
#![forbid(unsafe_code)]

use super::tables::{HEADER_BYTES, Signature, TableError, number};

/// The table. It is read where it lies, and every entry's length is checked beforehand.
///
/// # Invariants
/// - `entries` is a whole number of entries, each at least as long as what its kind has.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    /// Where every processor sees its own local APIC, but for entries that say otherwise.
    address: u32,
    /// The entries, one behind the other.
    entries: &'a [u8],
}

/// A processor that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// What other tables call it.
    pub uid: u32,
    /// What interrupts call it.
    pub apic_id: u32,
}

/// An I/O APIC: takes interrupts from devices, and sends them to local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its physical address.
    pub address: u32,
    /// The number of its first input among those of all I/O APICs.
    pub first_input: u32,
}

/// How a line asks for an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// By being low.
    pub is_active_low: bool,
    /// By its level; else by changing to it.
    pub is_level_triggered: bool,
}

impl Wiring {
    /// What the old devices on the ISA bus do.
    pub const ISA: Self = Self {
        is_active_low: false,
        is_level_triggered: false,
    };

    /// Reads the flags of an entry; where they say "as the bus does", that is ISA.
    const fn from_flags(flags: u64) -> Self {
        Self {
            is_active_low: flags & 0b11 == 0b11,
            is_level_triggered: flags >> 2 & 0b11 == 0b11,
        }
    }
}

/// Where an interrupt comes in: an input of some I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its number among those of all I/O APICs.
    pub number: u32,
    /// How it is wired.
    pub wiring: Wiring,
}

/// Bytes of what stands before the entries.
const FIXED_BYTES: usize = HEADER_BYTES + 8;

/// The kinds of entries that are read.
mod kind {
    /// A processor.
    pub(super) const LOCAL_APIC: u8 = 0;
    /// An I/O APIC.
    pub(super) const IO_APIC: u8 = 1;
    /// An ISA line that comes in elsewhere.
    pub(super) const OVERRIDE: u8 = 2;
    /// An input of an I/O APIC that is for NMIs.
    pub(super) const NMI: u8 = 3;
    /// An input of local APICs that is for NMIs.
    pub(super) const LOCAL_NMI: u8 = 4;
    /// Another address of the local APICs.
    pub(super) const ADDRESS: u8 = 5;
    /// A processor with a number that needs more than eight bits.
    pub(super) const LOCAL_X2APIC: u8 = 9;
    /// An input for NMIs, of such a processor.
    pub(super) const LOCAL_X2APIC_NMI: u8 = 10;

    /// Returns how many bytes an entry must have.
    pub(super) const fn least_bytes(kind: u8) -> usize {
        match kind {
            LOCAL_APIC | NMI => 8,
            IO_APIC | ADDRESS | LOCAL_X2APIC_NMI => 12,
            OVERRIDE => 10,
            LOCAL_NMI => 6,
            LOCAL_X2APIC => 16,
            _ => 2,
        }
    }
}

impl<'a> Madt<'a> {
    /// The name of the table.
    pub const SIGNATURE: Signature = Signature(*b"APIC");

    /// Reads the bytes of a table whose sum is right.
    ///
    /// # Errors
    ///
    /// [`TableError::WrongLength`], [`TableError::WrongEntry`]
    pub fn new(table: &'a [u8]) -> Result<Self, TableError> {
        let Some((fixed, entries)) = table.split_at_checked(FIXED_BYTES) else {
            let length = u32::try_from(table.len()).unwrap_or(u32::MAX);
            return Err(TableError::WrongLength(Self::SIGNATURE, length));
        };
        let mut rest = entries;
        while !rest.is_empty() {
            let whole = match *rest {
                [kind, length, ..] if usize::from(length) >= kind::least_bytes(kind) => {
                    rest.get(usize::from(length)..)
                }
                _ => None,
            };
            let offset = table.len() - rest.len();
            let table = Self::SIGNATURE;
            rest = whole.ok_or(TableError::WrongEntry { table, offset })?;
        }
        // INVARIANT: the loop has seen each entry.
        Ok(Self {
            address: number_32(&fixed[HEADER_BYTES..HEADER_BYTES + 4]),
            entries,
        })
    }

    /// Returns the physical address of every processor's local APIC.
    #[must_use]
    pub fn local_apic_address(&self) -> u64 {
        self.of_kind(kind::ADDRESS)
            .map(|entry| number(&entry[4..12]))
            .next()
            .unwrap_or(u64::from(self.address))
    }

    /// Returns the processors that can be used, in the firmware's order: the first is usually the one that booted.
    pub fn processors(&self) -> impl Iterator<Item = Processor> + Clone + 'a {
        self.entries().filter_map(|(kind, entry)| {
            let (uid, apic_id, flags) = match kind {
                kind::LOCAL_APIC => (u32::from(entry[2]), u32::from(entry[3]), &entry[4..8]),
                kind::LOCAL_X2APIC => (
                    number_32(&entry[12..16]),
                    number_32(&entry[4..8]),
                    &entry[8..12],
                ),
                _ => return None,
            };
            let is_enabled = flags[0] & 1 == 1;
            is_enabled.then_some(Processor { uid, apic_id })
        })
    }

    /// Returns the I/O APICs.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + 'a {
        self.of_kind(kind::IO_APIC).map(|entry| IoApic {
            address: number_32(&entry[4..8]),
            first_input: number_32(&entry[8..12]),
        })
    }

    /// Returns where a line of the ISA bus comes in: at the input with its own number, unless an entry says otherwise.
    #[must_use]
    pub fn isa_line(&self, line: u8) -> Input {
        self.of_kind(kind::OVERRIDE)
            .find(|entry| entry[2] == 0 && entry[3] == line)
            .map_or(
                Input {
                    number: u32::from(line),
                    wiring: Wiring::ISA,
                },
                |entry| Input {
                    number: number_32(&entry[4..8]),
                    wiring: Wiring::from_flags(number(&entry[8..10])),
                },
            )
    }

    /// Returns the inputs of I/O APICs that are for NMIs.
    pub fn nmi_sources(&self) -> impl Iterator<Item = Input> + 'a {
        self.of_kind(kind::NMI).map(|entry| Input {
            number: number_32(&entry[4..8]),
            wiring: Wiring::from_flags(number(&entry[2..4])),
        })
    }

    /// Returns the inputs (0 or 1) of a processor's local APIC that are for NMIs.
    pub fn nmi_inputs(&self, apic_id: u32) -> impl Iterator<Item = (u8, Wiring)> + 'a {
        let mut processors = self.processors();
        let uid = processors.find(|processor| processor.apic_id == apic_id);
        let uid = uid.map(|processor| processor.uid);
        self.entries().filter_map(move |(kind, entry)| {
            let (of, everybody, flags, input) = match kind {
                kind::LOCAL_NMI => (u32::from(entry[2]), 0xff, &entry[3..5], entry[5]),
                kind::LOCAL_X2APIC_NMI => {
                    (number_32(&entry[4..8]), u32::MAX, &entry[2..4], entry[8])
                }
                _ => return None,
            };
            let is_ours = of == everybody || Some(of) == uid;
            is_ours.then(|| (input, Wiring::from_flags(number(flags))))
        })
    }

    /// Returns the entries of one kind.
    fn of_kind(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.entries()
            .filter(move |(kind, _)| *kind == wanted)
            .map(|(_, entry)| entry)
    }

    /// Returns all entries with their kinds, each with all its bytes.
    fn entries(&self) -> impl Iterator<Item = (u8, &'a [u8])> + Clone + use<'a> {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let length = usize::from(*rest.get(1)?);
            let (entry, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some((*entry.first()?, entry))
        })
    }
}

/// Returns four bytes as a number.
fn number_32(bytes: &[u8]) -> u32 {
    u32::try_from(number(bytes)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
