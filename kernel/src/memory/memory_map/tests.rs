//! Maps of real machines, and maps no machine should have.

use std::string::ToString;
use std::vec::Vec;

use bootloader_api::info::MemoryRegionKind::{Bootloader, UnknownBios, UnknownUefi, Usable};
use proptest::prelude::*;

use super::*;

/// Makes a region.
fn region(start: u64, end: u64, kind: MemoryRegionKind) -> MemoryRegion {
    MemoryRegion { start, end, kind }
}

/// The usable frame numbers of a map, as `(first, end)`.
fn usable(mut regions: Vec<MemoryRegion>) -> Vec<(u64, u64)> {
    let map = MemoryMap::new(&mut regions);
    map.usable_ranges()
        .map(|range| (range.first.number(), range.end.number()))
        .collect()
}

/// What a PC with a BIOS, 5 GiB of memory and the hole below 4 GiB reports.
fn bios_map() -> Vec<MemoryRegion> {
    vec![
        region(0, 0x9fc00, Usable),
        region(0x9fc00, 0xa0000, UnknownBios(2)),
        region(0xf0000, 0x10_0000, UnknownBios(2)),
        region(0x10_0000, 0x12f_0000, Bootloader),
        region(0x12f_0000, 0x7ffd_e000, Usable),
        region(0x7ffd_e000, 0x8000_0000, UnknownBios(2)),
        region(0xb000_0000, 0xc000_0000, UnknownBios(2)),
        region(0xfffc_0000, 0x1_0000_0000, UnknownBios(2)),
        region(0x1_0000_0000, 0x1_c000_0000, Usable),
    ]
}

#[test]
fn bios_memory_on_both_sides_of_the_hole_is_usable() {
    assert_eq!(
        usable(bios_map()),
        [(1, 0x9f), (0x12f0, 0x7_ffde), (0x10_0000, 0x1c_0000)]
    );
}

#[test]
fn order_does_not_matter() {
    let mut reversed = bios_map();
    reversed.reverse();
    assert_eq!(usable(reversed), usable(bios_map()));
}

#[test]
fn hundreds_of_uefi_regions_merge() {
    let mut regions: Vec<_> = (0..400)
        .map(|i| region(0x10_0000 + i * 0x3000, 0x10_0000 + (i + 1) * 0x3000, Usable))
        .collect();
    regions.push(region(0x10_0000 + 400 * 0x3000, 0x90_0000, UnknownUefi(6)));
    assert_eq!(usable(regions), [(0x100, 0x100 + 1200)]);
}

#[test]
fn frame_zero_is_never_usable() {
    assert_eq!(usable(vec![region(0, 0x2000, Usable)]), [(1, 2)]);
    assert!(usable(vec![region(0, 0x1000, Usable)]).is_empty());
}

#[test]
fn other_kinds_win_over_usable() {
    let outer = region(0x1000, 0x9000, Usable);
    assert_eq!(
        usable(vec![outer, region(0x3000, 0x4000, Bootloader)]),
        [(1, 3), (4, 9)]
    );
    assert_eq!(
        usable(vec![outer, region(0x3001, 0x3002, Bootloader)]),
        [(1, 3), (4, 9)]
    );
    assert_eq!(usable(vec![outer, region(0, 0x20000, UnknownBios(2))]), []);
    assert_eq!(
        usable(vec![
            outer,
            region(0x1000, 0x2000, Bootloader),
            region(0x1800, 0x4800, Bootloader)
        ]),
        [(5, 9)]
    );
}

#[test]
fn unaligned_regions_shrink_but_join_first() {
    assert_eq!(usable(vec![region(0x1001, 0x3fff, Usable)]), [(2, 3)]);
    assert_eq!(
        usable(vec![
            region(0x1000, 0x1800, Usable),
            region(0x1800, 0x3000, Usable)
        ]),
        [(1, 3)]
    );
    assert_eq!(usable(vec![region(0x1800, 0x1900, Usable)]), []);
}

#[test]
fn empty_and_reversed_regions_say_nothing() {
    let regions = vec![
        region(0x5000, 0x5000, Bootloader),
        region(0x1000, 0x9000, Usable),
        region(0x8000, 0x2000, Bootloader),
    ];
    assert_eq!(usable(regions), [(1, 9)]);
    assert_eq!(usable(vec![]), []);
}

#[test]
fn anomalies_are_counted_and_said() {
    let mut regions = vec![
        region(0x1000, 0x9001, Usable),
        region(0x9000, 0xa000, UnknownUefi(0)),
        region(0xb000, 0xb000, Usable),
        region(0xd000, 0xc000, Usable),
    ];
    let found = MemoryMap::new(&mut regions).anomalies();
    assert_eq!(
        found,
        Anomalies {
            overlapping: 1,
            unaligned: 1,
            empty: 1,
            reversed: 1
        }
    );
    assert_eq!(found.to_string().lines().count(), 4);
    let mut fine = vec![region(0x1000, 0x9000, Usable)];
    assert_eq!(MemoryMap::new(&mut fine).anomalies().to_string(), "");
}

#[test]
fn table_merges_neighbours_of_one_kind() {
    let mut regions = vec![
        region(0x1000, 0x2000, Usable),
        region(0x2000, 0x4000, Usable),
        region(0x4000, 0x5000, UnknownBios(2)),
    ];
    let table = RegionTable(MemoryMap::new(&mut regions)).to_string();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[1].ends_with("12 KiB  usable"), "{table}");
    assert!(lines[2].ends_with("4 KiB  BIOS: reserved"), "{table}");
}

#[test]
fn what_is_usable_or_the_boot_loaders_is_the_kernels() {
    let mut regions = bios_map();
    let map = MemoryMap::new(&mut regions);
    for (start, end) in [
        (0x1000, 0x1001),
        (0x9e000, 0xa_0000),
        (0xf_ff00, 0x10_0001),
        (0x100_0000, 0x100_0010),
        (0x7000_0000, 0xffff_0000),
        (0x1_bfff_ffff, 0x2_0000_0000),
    ] {
        assert!(map.is_kernels(start, end), "{start:#x}..{end:#x}");
    }
    for (start, end) in [
        (0x9fc00, 0x9fc10),
        (0xf_0000, 0x10_0000),
        (0x7ffd_e000, 0x8000_0000),
        (0xfec0_0000, 0xfec0_0100),
        (0x1_c000_0000, u64::MAX),
    ] {
        assert!(!map.is_kernels(start, end), "{start:#x}..{end:#x}");
    }
}

#[test]
fn memory_is_told_from_devices() {
    let mut regions = [
        region(0x1000, 0x9000, Usable),
        region(0x9000, 0xa000, Bootloader),
        region(0xa000, 0xc000, UnknownUefi(9)),
        region(0xc000, 0xd000, UnknownUefi(0)),
        region(0xf000_0000, 0xf001_0000, UnknownUefi(11)),
        region(0xfd00_0000, 0xff00_0000, UnknownBios(2)),
    ];
    let map = MemoryMap::new(&mut regions);
    assert_eq!(map.memory_bytes(), 0xb000);
    for memory in [0x1000, 0x8fff, 0x9000, 0xbfff] {
        assert!(map.has_memory_at(memory), "{memory:#x}");
    }
    for other in [0, 0xc000, 0xe000, 0xf000_0000, 0xfee0_0000] {
        assert!(!map.has_memory_at(other), "{other:#x}");
    }
}

/// Any region in the first 64 frames, aligned or not, whatever its ends.
fn any_region() -> impl Strategy<Value = MemoryRegion> {
    let address = prop_oneof![
        (0..64u64).prop_map(|frame| frame * FRAME_SIZE),
        0..64 * FRAME_SIZE
    ];
    let kind = prop_oneof![
        Just(Usable),
        Just(Usable),
        Just(Bootloader),
        Just(UnknownUefi(6))
    ];
    (address.clone(), address, kind).prop_map(|(start, end, kind)| region(start, end, kind))
}

proptest! {
    #[test]
    fn frames_are_usable_exactly_when_all_their_bytes_are(regions in prop::collection::vec(any_region(), 0..12)) {
        // Regions change only at their ends, so looking at those addresses (and just below) looks at every byte.
        let mut addresses: Vec<u64> = regions.iter().flat_map(|r| [r.start, r.end]).collect();
        addresses.extend((0..65).map(|frame| frame * FRAME_SIZE));
        let byte_is_usable = |address: u64| {
            regions.iter().any(|r| is_usable(r) && covers(r, address)) && !regions.iter().any(|r| !is_usable(r) && covers(r, address))
        };
        let expected: Vec<u64> = (1..64)
            .filter(|frame| addresses.iter().filter(|&&a| a / FRAME_SIZE == *frame).all(|&a| byte_is_usable(a)))
            .collect();
        let ranges = usable(regions.clone());
        let found: Vec<u64> = ranges.iter().flat_map(|&(first, end)| first..end).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges touch");
    }
}
