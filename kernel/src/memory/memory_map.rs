//! The firmware's map of physical memory, made fit for use: boot regions in, ranges of usable frames out.
//!
//! Pure: it sees a list and never the memory behind it, so the host tests it with maps of real machines.
//!
//! Firmware maps are not to be trusted: regions overlap, end in the middle of a frame, are empty, or end before they
//! start. The rules here are the cautious ones:
//!
//! - a byte is usable when a [`Usable`](MemoryRegionKind::Usable) region has it and **no** region of another kind has it;
//! - usable regions that touch or overlap count as one, and only then is the result cut to whole frames: inwards;
//! - **frame 0 is never usable**: the BIOS keeps its data there, and a pointer to address 0 would be a null pointer;
//! - a region that ends before it starts says nothing that could be believed, and is left out.
//!
//! Each oddity is counted in [`Anomalies`], which says it in sentences; booting goes on with the safe part.
//!
//! Nothing is allocated: the map sorts the boot loader's own list in place. Finding the next usable range looks at every
//! region a few times, so a walk over the whole map costs regions × ranges; maps have tens to hundreds of regions, and
//! the walk happens only while booting.
#![forbid(unsafe_code)]

use core::fmt;

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};

use super::frame::{FRAME_SIZE, FrameRange};
use crate::bytes::Bytes;
use crate::counted::Counted;

/// The regions that the boot loader reported, sorted by where they start.
///
/// # Invariants
/// - `regions` is sorted by `start`.
#[derive(Clone, Copy, Debug)]
pub struct MemoryMap<'a> {
    /// What the boot loader reported.
    regions: &'a [MemoryRegion],
}

impl<'a> MemoryMap<'a> {
    /// Takes over the boot loader's list, and sorts it in place.
    #[must_use]
    pub fn new(regions: &'a mut [MemoryRegion]) -> Self {
        regions.sort_unstable_by_key(|region| (region.start, region.end));
        Self { regions }
    }

    /// Iterates over the usable frames: ranges in rising order that neither overlap nor touch.
    #[must_use]
    pub fn usable_ranges(self) -> UsableRanges<'a> {
        UsableRanges {
            map: self,
            next_address: FRAME_SIZE,
        }
    }

    /// Returns how many frames are usable.
    #[must_use]
    pub fn usable_frames(self) -> u64 {
        self.usable_ranges().map(FrameRange::len).sum()
    }

    /// Returns the number of the frame behind the last usable one, or 0 when none is.
    #[must_use]
    pub fn usable_end(self) -> u64 {
        self.usable_ranges()
            .last()
            .map_or(0, |range| range.end.number())
    }

    /// Iterates over the regions for a reader: in rising order, without empty and reversed ones, and with neighbours of
    /// one kind as one.
    #[must_use]
    pub fn merged_regions(self) -> MergedRegions<'a> {
        MergedRegions { rest: self.regions }
    }

    /// Returns how many bytes of memory the machine has by this map, usable or not; devices and holes are no memory.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        let memory = self.merged_regions().filter(is_memory);
        memory.map(|region| region.end - region.start).sum()
    }

    /// Returns whether the map has memory, usable or not, at the physical `address`.
    #[must_use]
    pub fn has_memory_at(self, address: u64) -> bool {
        self.regions
            .iter()
            .any(|region| is_memory(region) && covers(region, address))
    }

    /// Returns whether any byte from `start` up to `end` is the kernel's: usable, so that the frame allocator hands it out, or
    /// the boot loader's, which are the kernel's image, its first call stack and the page tables.
    #[must_use]
    pub fn is_kernels(self, start: u64, end: u64) -> bool {
        let mut usable = self.usable_ranges();
        let mut others = self.others();
        usable.any(|range| range.first.start_address() < end && start < range.end.start_address())
            || others.any(|region| {
                region.kind == MemoryRegionKind::Bootloader
                    && region.start < end
                    && start < region.end
            })
    }

    /// Looks for what should not be in a memory map.
    #[must_use]
    pub fn anomalies(self) -> Anomalies {
        let mut found = Anomalies::default();
        let mut reached = 0;
        for region in self.regions {
            if region.end <= region.start {
                found.empty += usize::from(region.end == region.start);
                found.reversed += usize::from(region.end < region.start);
                continue;
            }
            found.overlapping += usize::from(region.start < reached);
            found.unaligned += usize::from(is_usable(region) && !is_aligned(region));
            reached = reached.max(region.end);
        }
        found
    }

    /// Returns the next longest run of usable bytes at or behind `from`.
    fn next_usable_bytes(self, from: u64) -> Option<(u64, u64)> {
        let mut start = from;
        loop {
            start = self
                .usable()
                .filter(|region| region.end > start)
                .map(|region| region.start.max(start))
                .min()?;
            let Some(blocked_to) = self
                .others()
                .filter(|region| covers(region, start))
                .map(|region| region.end)
                .max()
            else {
                break;
            };
            start = blocked_to;
        }
        // Sorted by start, so one walk finds every region that continues the run.
        let joined_end = self.usable().fold(start, |end, region| {
            if region.start <= end {
                end.max(region.end)
            } else {
                end
            }
        });
        let end = self
            .others()
            .map(|region| region.start)
            .filter(|&other| other > start)
            .fold(joined_end, u64::min);
        Some((start, end))
    }

    /// Iterates over the regions that claim to be usable.
    fn usable(self) -> impl Iterator<Item = &'a MemoryRegion> {
        self.regions
            .iter()
            .filter(|region| region.start < region.end && is_usable(region))
    }

    /// Iterates over the regions that must not be used.
    fn others(self) -> impl Iterator<Item = &'a MemoryRegion> {
        self.regions
            .iter()
            .filter(|region| region.start < region.end && !is_usable(region))
    }
}

/// Returns whether a region claims to be usable.
fn is_usable(region: &MemoryRegion) -> bool {
    region.kind == MemoryRegionKind::Usable
}

/// Returns whether a region is memory, whoever has it, and no device and no hole: of the kinds that firmware reports, loader,
/// services, conventional and ACPI. What is reserved may be anything.
fn is_memory(region: &MemoryRegion) -> bool {
    match region.kind {
        MemoryRegionKind::Usable | MemoryRegionKind::Bootloader => true,
        MemoryRegionKind::UnknownUefi(tag) => matches!(tag, 1..=7 | 9 | 10),
        MemoryRegionKind::UnknownBios(tag) => matches!(tag, 1 | 3 | 4),
        _ => false,
    }
}

/// Returns whether a region starts and ends where frames do.
fn is_aligned(region: &MemoryRegion) -> bool {
    region.start.is_multiple_of(FRAME_SIZE) && region.end.is_multiple_of(FRAME_SIZE)
}

/// Returns whether a region has the byte at `address`.
fn covers(region: &MemoryRegion, address: u64) -> bool {
    region.start <= address && address < region.end
}

/// Iterator over usable frames; see [`MemoryMap::usable_ranges`].
#[derive(Clone, Debug)]
pub struct UsableRanges<'a> {
    /// The map that is walked.
    map: MemoryMap<'a>,
    /// Where the walk goes on.
    next_address: u64,
}

impl Iterator for UsableRanges<'_> {
    type Item = FrameRange;

    fn next(&mut self) -> Option<FrameRange> {
        loop {
            let (start, end) = self.map.next_usable_bytes(self.next_address)?;
            self.next_address = end;
            let range = FrameRange::inside_addresses(start, end);
            if !range.is_empty() {
                return Some(range);
            }
        }
    }
}

/// Iterator over regions as a reader wants them; see [`MemoryMap::merged_regions`].
#[derive(Clone, Debug)]
pub struct MergedRegions<'a> {
    /// The regions that were not looked at yet.
    rest: &'a [MemoryRegion],
}

impl Iterator for MergedRegions<'_> {
    type Item = MemoryRegion;

    fn next(&mut self) -> Option<MemoryRegion> {
        let mut merged: Option<MemoryRegion> = None;
        while let Some((&region, rest)) = self.rest.split_first() {
            if region.start < region.end {
                match &mut merged {
                    None => merged = Some(region),
                    Some(last) if last.kind == region.kind && region.start <= last.end => {
                        last.end = last.end.max(region.end);
                    }
                    Some(_) => return merged,
                }
            }
            self.rest = rest;
        }
        merged
    }
}

/// What a memory map should not have, counted. Displays as one sentence a kind; as nothing when all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Regions that start before an earlier one has ended.
    pub overlapping: usize,
    /// Usable regions that start or end inside a frame.
    pub unaligned: usize,
    /// Regions of no size.
    pub empty: usize,
    /// Regions that end before they start.
    pub reversed: usize,
}

impl fmt::Display for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences = [
            (
                self.overlapping,
                "overlapping others: a byte counts as usable only where no region says otherwise",
            ),
            (
                self.unaligned,
                "usable but not aligned to frames: the frames partly inside are left out",
            ),
            (self.empty, "empty: they are ignored"),
            (self.reversed, "ending before they start: they are ignored"),
        ];
        for (count, sentence) in sentences.into_iter().filter(|&(count, _)| count > 0) {
            writeln!(f, "memory map: {} {sentence}.", Counted(count, "region"))?;
        }
        Ok(())
    }
}

/// A table of regions for a reader: start, end, size, kind. Displays as lines of equal width.
#[derive(Clone, Debug)]
pub struct RegionTable<'a>(pub MemoryMap<'a>);

impl fmt::Display for RegionTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>18}  {:>18}  {:>14}  kind", "start", "end", "size")?;
        for region in self.0.merged_regions() {
            let size_kib = (region.end - region.start).div_ceil(1024);
            let MemoryRegion { start, end, kind } = region;
            writeln!(
                f,
                "{start:#018x}  {end:#018x}  {size_kib:>10} KiB  {}",
                KindName(kind)
            )?;
        }
        let frames = self.0.usable_frames();
        writeln!(
            f,
            "usable: {frames} frames in {}, {}",
            Counted(self.0.usable_ranges().count(), "range"),
            Bytes(usize::try_from(frames * FRAME_SIZE).unwrap_or(usize::MAX))
        )
    }
}

/// The name of a kind of region, as a reader knows it.
struct KindName(MemoryRegionKind);

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MemoryRegionKind::Usable => f.write_str("usable"),
            MemoryRegionKind::Bootloader => f.write_str("boot loader and kernel"),
            MemoryRegionKind::UnknownUefi(tag) => match uefi_name(tag) {
                Some(name) => write!(f, "UEFI: {name}"),
                None => write!(f, "UEFI: type {tag:#x}"),
            },
            MemoryRegionKind::UnknownBios(tag) => match bios_name(tag) {
                Some(name) => write!(f, "BIOS: {name}"),
                None => write!(f, "BIOS: type {tag:#x}"),
            },
            _ => f.write_str("unknown"),
        }
    }
}

/// Returns the name of a memory type of the UEFI specification (section 7.2, `EFI_MEMORY_TYPE`).
fn uefi_name(tag: u32) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "reserved",
        "loader code",
        "loader data",
        "boot services code",
        "boot services data",
        "runtime services code",
        "runtime services data",
        "conventional",
        "unusable",
        "ACPI tables",
        "ACPI non-volatile",
        "memory-mapped I/O",
        "I/O port space",
        "processor code",
        "persistent",
        "unaccepted",
    ];
    NAMES.get(usize::try_from(tag).ok()?).copied()
}

/// Returns the name of a memory type of the BIOS call INT 15h, EAX=E820h.
fn bios_name(tag: u32) -> Option<&'static str> {
    const NAMES: [&str; 5] = [
        "usable",
        "reserved",
        "ACPI tables",
        "ACPI non-volatile",
        "unusable",
    ];
    let index = usize::try_from(tag).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

#[cfg(test)]
mod tests;
