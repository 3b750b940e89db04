//! The table as QEMU makes it, and made-up ones.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Header and fixed part, then these entries.
fn table(entries: &[u8]) -> Vec<u8> {
    let mut table = vec![0; HEADER_BYTES];
    table.extend(0xfee0_0000_u32.to_le_bytes());
    table.extend(1_u32.to_le_bytes());
    table.extend(entries);
    table
}

/// The entries of `qemu-system-x86_64 -smp 2`.
#[rustfmt::skip]
const QEMU: [u8; 78 + 6] = [
    0, 8, 0, 0, 1, 0, 0, 0,
    0, 8, 1, 1, 1, 0, 0, 0,
    1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0,
    2, 10, 0, 0, 2, 0, 0, 0, 0, 0,
    2, 10, 0, 5, 5, 0, 0, 0, 0x0d, 0,
    2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0,
    2, 10, 0, 10, 10, 0, 0, 0, 0x0d, 0,
    2, 10, 0, 11, 11, 0, 0, 0, 0x0f, 0,
    4, 6, 0xff, 0, 0, 1,
];

#[test]
fn machine_of_qemu_is_understood() {
    let table = table(&QEMU);
    let madt = Madt::new(&table).expect("the table is right");
    assert_eq!(madt.local_apic_address(), 0xfee0_0000);
    let ids: Vec<u32> = madt
        .processors()
        .map(|processor| processor.apic_id)
        .collect();
    assert_eq!(ids, [0, 1]);
    let io_apic = IoApic {
        address: 0xfec0_0000,
        first_input: 0,
    };
    assert_eq!(madt.io_apics().collect::<Vec<_>>(), [io_apic]);
    assert_eq!(
        madt.isa_line(0).number,
        2,
        "the old timer comes in at input 2"
    );
    let serial = Input {
        number: 4,
        wiring: Wiring::ISA,
    };
    assert_eq!(madt.isa_line(4), serial, "there is no entry for it");
    let high_level = Wiring {
        is_active_low: false,
        is_level_triggered: true,
    };
    assert_eq!(madt.isa_line(5).wiring, high_level);
    assert!(madt.isa_line(11).wiring.is_active_low);
    assert_eq!(madt.nmi_inputs(0).collect::<Vec<_>>(), [(1, Wiring::ISA)]);
}

#[test]
fn processors_with_large_numbers_are_listed_and_disabled_ones_are_not() {
    #[rustfmt::skip]
    let table = table(&[
        0, 8, 0, 0, 0, 0, 0, 0,
        0, 8, 1, 1, 2, 0, 0, 0,
        9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0,
        10, 12, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
        4, 6, 1, 0, 0, 1,
        5, 12, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
    ]);
    let madt = Madt::new(&table).expect("the table is right");
    let processor = Processor {
        uid: 7,
        apic_id: 256,
    };
    assert_eq!(madt.processors().collect::<Vec<_>>(), [processor]);
    assert_eq!(madt.nmi_inputs(256).count(), 1);
    assert_eq!(madt.nmi_inputs(3).count(), 0);
    assert_eq!(
        madt.local_apic_address(),
        1 << 32,
        "the entry of 64 bits counts"
    );
}

#[test]
fn sources_of_nmis_are_listed() {
    let table = table(&[3, 8, 0x0f, 0, 23, 0, 0, 0, 3, 8, 0, 0, 1, 1, 0, 0]);
    let madt = Madt::new(&table).expect("the table is right");
    let low_level = Wiring {
        is_active_low: true,
        is_level_triggered: true,
    };
    let sources: Vec<_> = madt.nmi_sources().collect();
    let input = |number, wiring| Input { number, wiring };
    assert_eq!(sources, [input(23, low_level), input(257, Wiring::ISA)]);
}

#[test]
fn entries_of_wrong_length_are_refused() {
    for (entries, offset) in [
        (&[0, 0][..], 44),
        (&[0, 1], 44),
        (&[0], 44),
        (&[0, 7, 0, 0, 1, 0, 0], 44),
        (&[3, 7, 0, 0, 1, 0, 0], 44),
        (&[0, 8, 0, 0, 1, 0, 0], 44),
        (&[0xee, 3, 0, 1, 200, 0], 47),
        (&[0xee, 2, 0xee, 0], 46),
    ] {
        let table_bytes = table(entries);
        let table = Madt::SIGNATURE;
        let result = Madt::new(&table_bytes).map(|_| ());
        assert_eq!(result, Err(TableError::WrongEntry { table, offset }));
    }
    let short = Madt::new(&table(&[])[..43]).map(|_| ());
    assert_eq!(short, Err(TableError::WrongLength(Madt::SIGNATURE, 43)));
}

#[test]
fn entries_may_be_longer_than_they_need_and_of_unknown_kinds() {
    let table = table(&[0xee, 2, 0, 10, 3, 4, 1, 0, 0, 0, 9, 9]);
    let madt = Madt::new(&table).expect("the table is right");
    assert_eq!(madt.processors().count(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(entries in prop::collection::vec(0..20_u8, 0..200)) {
        let table = table(&entries);
        if let Ok(madt) = Madt::new(&table) {
            let _ = (madt.local_apic_address(), madt.processors().count(), madt.io_apics().count());
            let _ = (madt.nmi_inputs(0).count(), madt.nmi_sources().count());
            (0..16).for_each(|line| assert!(madt.isa_line(line).number < u32::MAX));
        }
    }
}
