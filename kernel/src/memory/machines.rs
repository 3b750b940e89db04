//! Tests of map, books and frame allocator together, on the memory maps of whole machines: recorded ones, and made-up ones.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use super::books::Books;
use super::frame::{FRAME_SIZE, Frame, FrameRange};
use super::frame_allocator::{FrameAllocator, OutOfFrames};
use super::memory_map::MemoryMap;
use super::window::{LARGEST_MAPPING, Window};

/// Reads a map that is written down: a region a line, as `start end kind`; `#` begins a comment.
fn parse(text: &str) -> Vec<MemoryRegion> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| parse_region(line).unwrap_or_else(|| panic!("`{line}` is no region")))
        .collect()
}

/// Reads a region.
fn parse_region(line: &str) -> Option<MemoryRegion> {
    let mut words = line.split(' ');
    let mut address = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (start, end) = (address()?, address()?);
    let kind = match words.next()? {
        "Usable" => MemoryRegionKind::Usable,
        "Bootloader" => MemoryRegionKind::Bootloader,
        other => {
            let (name, tag) = other.strip_suffix(')')?.split_once('(')?;
            let tag = tag.parse().ok()?;
            match name {
                "UnknownUefi" => MemoryRegionKind::UnknownUefi(tag),
                "UnknownBios" => MemoryRegionKind::UnknownBios(tag),
                _ => return None,
            }
        }
    };
    Some(MemoryRegion { start, end, kind })
}

/// Returns which frames are usable, looking at each alone: all of its bytes are in usable regions, none in others.
fn usable_frames(regions: &[MemoryRegion]) -> Vec<bool> {
    let sane = regions.iter().filter(|region| region.start < region.end);
    let (usable, others): (Vec<&MemoryRegion>, Vec<&MemoryRegion>) =
        sane.partition(|region| region.kind == MemoryRegionKind::Usable);
    let end = usable.iter().map(|region| region.end).max().unwrap_or(0);
    let is_usable = |frame: u64| {
        let (start, end) = (frame * FRAME_SIZE, (frame + 1) * FRAME_SIZE);
        if others
            .iter()
            .any(|other| other.start < end && start < other.end)
        {
            return false;
        }
        let mut reached = start;
        while reached < end {
            let covering = usable
                .iter()
                .filter(|region| (region.start..region.end).contains(&reached));
            match covering.map(|region| region.end).max() {
                Some(end) => reached = end,
                None => return false,
            }
        }
        true
    };
    (0..end / FRAME_SIZE)
        .map(|frame| frame > 0 && is_usable(frame))
        .collect()
}

/// Returns the place of a frame in a list.
fn index(frame: u64) -> usize {
    usize::try_from(frame).expect("hosts have 64 bits")
}

/// Boots a machine on paper, as far as memory goes: map, books, frame allocator; then takes every frame and gives it back.
/// Returns how many frames are usable, and in how many ranges.
fn boot(mut regions: Vec<MemoryRegion>) -> (u64, usize) {
    let mut expected = usable_frames(&regions);
    let map = MemoryMap::new(&mut regions);
    let mut found = vec![false; expected.len()];
    for range in map.usable_ranges() {
        found[index(range.first.number())..index(range.end.number())].fill(true);
    }
    assert!(found == expected, "the ranges are not the usable frames");
    let usable = map.usable_frames();
    assert_eq!(
        found.iter().filter(|&&is_usable| is_usable).count() as u64,
        usable
    );

    let books = Books::plan(map).expect("there is memory");
    let FrameRange { first, end } = books.frames;
    assert!((books.words + books.window_words) as u64 * 8 <= books.frames.len() * FRAME_SIZE);
    for number in first.number()..end.number() {
        assert!(
            core::mem::take(&mut expected[index(number)]),
            "books lie in usable frames"
        );
    }
    let mut memory = vec![0; books.words + books.window_words];
    let (memory, window_memory) = memory.split_at_mut(books.words);
    let mut frames = FrameAllocator::new(books.end, memory);
    for piece in map.usable_ranges().flat_map(|range| books.without(range)) {
        assert_eq!(frames.add(piece), Ok(()));
    }
    let before = frames.statistics();
    assert_eq!(before.total + books.frames.len(), usable);
    assert_eq!(before.free, before.total);
    let base = super::page::Page::containing_address(0xffff_c800_0000_0000);
    let mut window = Window::new(base, before.total, window_memory);
    let mut in_window = 0;
    while in_window < before.total {
        let pages = LARGEST_MAPPING.min(before.total - in_window);
        assert!(
            window.take(pages, 1).is_some(),
            "all memory fits the window"
        );
        in_window += pages;
    }

    take_all(&mut frames, &expected);
    assert_eq!(frames.statistics(), before);
    (usable, map.usable_ranges().count())
}

/// Takes every frame, each exactly once, and gives all back: alone, and in sets.
fn take_all(frames: &mut FrameAllocator<'_>, expected: &[bool]) {
    let mut left = expected.to_vec();
    while let Ok(frame) = frames.allocate_frame() {
        let place = &mut left[index(frame.number())];
        assert!(
            core::mem::take(place),
            "{frame} is not ours to get, or was given twice"
        );
    }
    assert!(!left.contains(&true), "every usable frame is given");
    assert_eq!(frames.counts().free, 0);
    assert_eq!(frames.allocate_some(1), Err(OutOfFrames));
    for (number, _) in (0..).zip(expected).filter(|&(_, &is_ours)| is_ours) {
        assert_eq!(frames.free_frame(Frame::from_number(number)), Ok(()));
    }
    let mut sets = Vec::new();
    while let Ok(set) = frames.allocate_some(64) {
        for frame in set {
            assert!(!core::mem::replace(&mut left[index(frame.number())], true));
        }
        sets.push(set);
    }
    assert!(left == expected, "every usable frame is given");
    for set in sets {
        assert_eq!(frames.free_some(set), Ok(()));
    }
}

/// Makes a test of a map that is written down: how many frames are usable, and in how many ranges.
macro_rules! machine {
    ($name:ident, $file:literal, $usable:literal, $ranges:literal) => {
        #[test]
        fn $name() {
            let regions = parse(include_str!(concat!("memory_map/maps/", $file)));
            assert_eq!(boot(regions), ($usable, $ranges));
        }
    };
}

machine!(uefi_64_mib, "uefi-64m.txt", 14_472, 7);
machine!(uefi_256_mib, "uefi-256m.txt", 63_624, 7);
machine!(uefi_5_gib, "uefi-5g.txt", 1_308_805, 8);
machine!(bios_64_mib, "bios-64m.txt", 14_973, 4);
machine!(bios_256_mib, "bios-256m.txt", 64_125, 4);
machine!(bios_5_gib, "bios-5g.txt", 1_309_309, 5);
machine!(overlapping, "overlapping.txt", 7_996, 6);

#[test]
fn hundreds_of_regions_with_holes() {
    let mut text = String::new();
    for number in 0..600_u64 {
        let (start, kind) = (
            0x10_0000 + number * 0x5000,
            ["Usable", "UnknownUefi(6)", "Usable"][index(number % 3)],
        );
        text += &format!("{start:#x} {:#x} {kind}\n", start + 0x4800);
    }
    // A large one, or there would be no place for the books.
    text += "0x1000000 0x4000000 Usable\n";
    assert_eq!(boot(parse(&text)), (400 * 4 + 0x3000, 401));
}
