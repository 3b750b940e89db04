//! From the root pointer to a table, everything checked on the way. Pure: memory is whatever gives bytes for addresses.
#![forbid(unsafe_code)]

use core::fmt;

/// Physical memory, as far as it may be read.
pub trait Memory<'a> {
    /// Returns `length` bytes at a physical address; `None` where they are not all readable.
    fn bytes(&self, address: u64, length: usize) -> Option<&'a [u8]>;
}

/// The name of a table: four characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Why a table cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The boot loader found no root pointer.
    NoRoot,
    /// These bytes are not readable.
    Unreadable {
        /// Their physical address.
        address: u64,
        /// How many.
        length: usize,
    },
    /// There is something else at the address of a root table.
    NotATable {
        /// Its physical address.
        address: u64,
    },
    /// A table says that it has a length that none has.
    WrongLength(Signature, u32),
    /// The bytes of a table do not add up to zero.
    WrongChecksum(Signature),
    /// There is no such table.
    Missing(Signature),
    /// An entry of a table is too short for what it is, or reaches beyond the table's end.
    WrongEntry {
        /// The table.
        table: Signature,
        /// Where in the table the entry starts, in bytes.
        offset: usize,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot => f.write_str("the firmware has no ACPI tables"),
            Self::Unreadable { address, length } => {
                write!(
                    f,
                    "{length} bytes of ACPI at {address:#x} are not firmware's memory"
                )
            }
            Self::NotATable { address } => write!(f, "there is no ACPI table at {address:#x}"),
            Self::WrongLength(table, length) => {
                write!(f, "ACPI's table {table} cannot have {length} bytes")
            }
            Self::WrongChecksum(table) => {
                write!(f, "the checksum of ACPI's table {table} is wrong")
            }
            Self::Missing(table) => write!(f, "ACPI has no table {table}"),
            Self::WrongEntry { table, offset } => {
                write!(
                    f,
                    "the entry at byte {offset} of ACPI's table {table} has a wrong length"
                )
            }
        }
    }
}

impl core::error::Error for TableError {}

/// Bytes of the header that every table but the root pointer has.
pub const HEADER_BYTES: usize = 36;

/// The longest table that is believed.
const LONGEST_TABLE: u32 = 1 << 20;

/// The name that errors give the root pointer; its own signature has eight characters.
const ROOT_POINTER: Signature = Signature(*b"RSDP");

/// Finds the first table with a signature, and returns all its bytes.
///
/// # Errors
///
/// What is wrong with this table, or on the way to it.
pub fn find<'a>(
    memory: &impl Memory<'a>,
    root_pointer: u64,
    signature: Signature,
) -> Result<&'a [u8], TableError> {
    let root = Root::read(memory, root_pointer)?;
    let entries = table(memory, root.address, root.signature)?
        .get(HEADER_BYTES..)
        .unwrap_or_default();
    for entry in entries.chunks_exact(root.entry_bytes) {
        let address = number(entry);
        // What is not readable is not the one: other tables are none of our business.
        if memory.bytes(address, 4) == Some(signature.0.as_slice()) {
            return table(memory, address, signature);
        }
    }
    Err(TableError::Missing(signature))
}

/// The table that lists the others.
struct Root {
    /// Its physical address.
    address: u64,
    /// Its name.
    signature: Signature,
    /// Bytes of an address in it.
    entry_bytes: usize,
}

impl Root {
    /// Reads the root pointer: its first form, or the longer one of ACPI 2.
    fn read<'a>(memory: &impl Memory<'a>, address: u64) -> Result<Self, TableError> {
        /// Bytes of the first form.
        const FIRST_BYTES: usize = 20;
        let first = read(memory, address, FIRST_BYTES)?;
        if !first.starts_with(b"RSD PTR ") {
            return Err(TableError::NotATable { address });
        }
        check_sum(first, ROOT_POINTER)?;
        let old = Self {
            address: number(&first[16..20]),
            signature: Signature(*b"RSDT"),
            entry_bytes: 4,
        };
        if first[15] < 2 {
            return Ok(old);
        }
        let length = length_of(read(memory, address, HEADER_BYTES)?, 20);
        if !(36..=4096).contains(&length) {
            return Err(TableError::WrongLength(ROOT_POINTER, length));
        }
        let whole = read(memory, address, length as usize)?;
        check_sum(whole, ROOT_POINTER)?;
        Ok(match number(&whole[24..32]) {
            0 => old,
            address => Self {
                address,
                signature: Signature(*b"XSDT"),
                entry_bytes: 8,
            },
        })
    }
}

/// Reads a table and checks its signature, length and sum.
fn table<'a>(
    memory: &impl Memory<'a>,
    address: u64,
    signature: Signature,
) -> Result<&'a [u8], TableError> {
    let header = read(memory, address, HEADER_BYTES)?;
    if !header.starts_with(&signature.0) {
        return Err(TableError::NotATable { address });
    }
    let length = length_of(header, 4);
    if length > LONGEST_TABLE || (length as usize) < HEADER_BYTES {
        return Err(TableError::WrongLength(signature, length));
    }
    let whole = read(memory, address, length as usize)?;
    check_sum(whole, signature)?;
    Ok(whole)
}

/// Reads bytes.
fn read<'a>(memory: &impl Memory<'a>, address: u64, length: usize) -> Result<&'a [u8], TableError> {
    let bytes = memory.bytes(address, length);
    bytes.ok_or(TableError::Unreadable { address, length })
}

/// Checks that all bytes add up to zero.
fn check_sum(bytes: &[u8], table: Signature) -> Result<(), TableError> {
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if sum == 0 {
        Ok(())
    } else {
        Err(TableError::WrongChecksum(table))
    }
}

/// Returns the length that is written at `offset` of a header.
fn length_of(header: &[u8], offset: usize) -> u32 {
    u32::try_from(number(&header[offset..offset + 4])).unwrap_or(u32::MAX)
}

/// Returns up to eight bytes as a number, the lowest first.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let high_to_low = bytes.iter().rev();
    high_to_low.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
