//! The fixed ACPI description table, as far as it is needed: where the timer of ACPI is. Pure: bytes in, facts out.
#![forbid(unsafe_code)]

use super::tables::{HEADER_BYTES, Signature, number};

/// The name of the table.
pub const SIGNATURE: Signature = Signature(*b"FACP");

/// Returns the I/O port of the timer that ACPI calls "power management timer", given all bytes of the table; `None` where there
/// is none, or not at a port.
#[must_use]
pub fn timer_port(table: &[u8]) -> Option<u16> {
    /// The timer's first port, as ACPI 1 has it.
    const PORT: usize = 76;
    /// How many ports it has.
    const PORTS: usize = 91;
    /// Where it is, as ACPI 2 has it: in which space, and at which address there.
    const SPACE: usize = 208;
    /// See above.
    const ADDRESS: usize = SPACE + 4;
    /// The space of I/O ports.
    const IO_PORTS: u64 = 1;
    let field = |offset: usize, length: usize| table.get(offset..offset + length).map(number);
    if table.len() < HEADER_BYTES || field(PORTS, 1)? != 4 {
        return None;
    }
    let port = match (field(SPACE, 1), field(ADDRESS, 8)) {
        (Some(space), Some(address)) if address != 0 => Some(address).filter(|_| space == IO_PORTS),
        _ => field(PORT, 4),
    };
    port.and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// A table of `length` bytes whose timer is at a port, by ACPI 1 and by ACPI 2.
    fn table(length: usize, port: u32, space: u8, address: u64) -> Vec<u8> {
        let mut table = vec![0; 244];
        table[76..80].copy_from_slice(&port.to_le_bytes());
        table[91] = 4;
        table[208] = space;
        table[212..220].copy_from_slice(&address.to_le_bytes());
        table.truncate(length);
        table
    }

    #[test]
    fn timer_is_where_the_newer_entry_says() {
        assert_eq!(timer_port(&table(244, 0x608, 1, 0x808)), Some(0x808));
        assert_eq!(
            timer_port(&table(244, 0x608, 0, 0xfed0_0000)),
            None,
            "it is in memory"
        );
    }

    #[test]
    fn older_entry_counts_where_there_is_no_newer_one() {
        assert_eq!(timer_port(&table(244, 0x608, 1, 0)), Some(0x608));
        assert_eq!(timer_port(&table(116, 0x608, 0, 0)), Some(0x608));
        assert_eq!(timer_port(&table(116, 0x1_0000, 0, 0)), None);
    }

    #[test]
    fn machines_may_have_no_timer_and_tables_may_be_short() {
        assert_eq!(timer_port(&table(244, 0, 1, 0)), None);
        let mut without = table(116, 0x608, 0, 0);
        without[91] = 0;
        assert_eq!(timer_port(&without), None);
        assert!((0..92).all(|length| timer_port(&table(length, 0x608, 0, 0)).is_none()));
    }
}
