//! Tables made up in a piece of memory, right ones and wrong ones.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;

/// Where the piece of memory starts.
const BASE: u64 = 0xe_0000;

/// A piece of memory.
struct Piece(Vec<u8>);

impl<'a> Memory<'a> for &'a Piece {
    fn bytes(&self, address: u64, length: usize) -> Option<&'a [u8]> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        self.0.get(start..start.checked_add(length)?)
    }
}

/// Makes the bytes at `sum` such that all of `bytes` add up to zero.
fn seal(bytes: &mut [u8], sum: usize) {
    bytes[sum] = 0;
    let total = bytes
        .iter()
        .fold(0_u8, |total, byte| total.wrapping_add(*byte));
    bytes[sum] = total.wrapping_neg();
}

/// Returns a table with this content behind its header.
fn made_up(signature: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut table = vec![0; HEADER_BYTES];
    table[..4].copy_from_slice(signature);
    table.extend(content);
    let length = u32::try_from(table.len()).expect("it is short");
    table[4..8].copy_from_slice(&length.to_le_bytes());
    seal(&mut table, 9);
    table
}

/// Returns the root pointer of ACPI 1.
fn old_root(rsdt: u32) -> Vec<u8> {
    let mut root = b"RSD PTR \0OEMID \0".to_vec();
    root.extend(rsdt.to_le_bytes());
    seal(&mut root, 8);
    root
}

/// Returns the root pointer of ACPI 2.
fn new_root(rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut root = old_root(rsdt);
    root[15] = 2;
    seal(&mut root, 8);
    root.extend(36_u32.to_le_bytes());
    root.extend(xsdt.to_le_bytes());
    root.extend([0; 4]);
    seal(&mut root, 32);
    root
}

/// Puts things at these offsets of 4 KiB of memory.
fn memory(things: &[(usize, &[u8])]) -> Piece {
    let mut bytes = vec![0; 4096];
    for (offset, thing) in things {
        bytes[*offset..*offset + thing.len()].copy_from_slice(thing);
    }
    Piece(bytes)
}

/// What is looked for.
const WANTED: Signature = Signature(*b"APIC");

/// A memory with an RSDT, an XSDT that lists another table first, and the wanted one; `change` may spoil it.
fn found_after(change: impl FnOnce(&mut Piece)) -> Result<Vec<u8>, TableError> {
    let mut xsdt = Vec::new();
    for address in [BASE + 0x300, 0xffff_ffff_ffff_fff0, BASE + 0x400] {
        xsdt.extend(address.to_le_bytes());
    }
    let mut piece = memory(&[
        (0, &new_root(0xe_0100, BASE + 0x200)),
        (0x100, &made_up(b"RSDT", &0xe_0400_u32.to_le_bytes())),
        (0x200, &made_up(b"XSDT", &xsdt)),
        (0x300, &made_up(b"FACP", &[1; 10])),
        (0x400, &made_up(b"APIC", &[7; 20])),
    ]);
    change(&mut piece);
    find(&&piece, BASE, WANTED).map(<[u8]>::to_vec)
}

#[test]
fn table_is_found_through_both_roots() {
    let table = made_up(b"APIC", &[7; 20]);
    assert_eq!(found_after(|_| {}), Ok(table.clone()));
    let without_xsdt = found_after(|piece| piece.0[..36].copy_from_slice(&new_root(0xe_0100, 0)));
    assert_eq!(without_xsdt, Ok(table.clone()));
    let of_acpi_1 = found_after(|piece| piece.0[..20].copy_from_slice(&old_root(0xe_0100)));
    assert_eq!(of_acpi_1, Ok(table));
}

#[test]
fn spoilt_bytes_are_noticed_by_their_sum() {
    for (offset, table) in [
        (10, ROOT_POINTER),
        (33, ROOT_POINTER),
        (0x200 + 10, Signature(*b"XSDT")),
        (0x400 + 40, WANTED),
    ] {
        let found = found_after(|piece| piece.0[offset] ^= 0x10);
        assert_eq!(found, Err(TableError::WrongChecksum(table)), "{offset:#x}");
    }
}

#[test]
fn lengths_that_no_table_has_are_refused() {
    for length in [0_u32, 35, LONGEST_TABLE + 1, u32::MAX] {
        let found = found_after(|piece| {
            piece.0[0x404..0x408].copy_from_slice(&length.to_le_bytes());
        });
        assert_eq!(found, Err(TableError::WrongLength(WANTED, length)));
    }
    for length in [0_u32, 35, 4097] {
        let found = found_after(|piece| piece.0[20..24].copy_from_slice(&length.to_le_bytes()));
        assert_eq!(found, Err(TableError::WrongLength(ROOT_POINTER, length)));
    }
}

#[test]
fn table_that_reaches_beyond_memory_is_refused() {
    let found = found_after(|piece| piece.0[0x404..0x408].copy_from_slice(&8000_u32.to_le_bytes()));
    let (address, length) = (BASE + 0x400, 8000);
    assert_eq!(found, Err(TableError::Unreadable { address, length }));
    let cut = found_after(|piece| piece.0.truncate(0x410));
    let length = HEADER_BYTES;
    assert_eq!(cut, Err(TableError::Unreadable { address, length }));
}

#[test]
fn other_things_are_not_tables() {
    let address = BASE;
    let nothing = found_after(|piece| piece.0[0] = 0);
    assert_eq!(nothing, Err(TableError::NotATable { address }));
    let address = BASE + 0x200;
    let nothing = found_after(|piece| piece.0[0x200] = 0);
    assert_eq!(nothing, Err(TableError::NotATable { address }));
    let missing = found_after(|piece| piece.0[0x400] = 0);
    assert_eq!(missing, Err(TableError::Missing(WANTED)));
    assert_eq!(missing.unwrap_err().to_string(), "ACPI has no table APIC");
}

#[test]
fn root_pointer_may_be_anywhere() {
    let nothing = memory(&[]);
    for address in [0, 1, BASE - 1, BASE + 4090, u64::MAX] {
        let found = find(&&nothing, address, WANTED);
        assert_eq!(
            found,
            Err(TableError::Unreadable {
                address,
                length: 20
            })
        );
    }
}
