//! What the heap holds of the source's: blocks, parts of blocks and regions; and the traffic with the source.
//!
//! Owns the record of all memory that came and did not go back yet, and remembers the last that went. Refuses to know what
//! the memory is used for: sizes, classes and layouts are above.
//!
//! What the source gives is looked at before it is touched. Wrong memory is taken for a "no", and the fault is kept until
//! whoever holds the lock has let go of it and can report it.
//!
//! Cost: constant beside what the source takes, and the steps of [`crate::regions`] for regions.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::block::Block;
use crate::chain_kind::ChainKind;
use crate::gone_back::GoneBack;
use crate::locate::Lookup;
use crate::memory_source::MemorySource;
use crate::misuse::{Misuse, MisuseKind};
use crate::page_runs::PageRuns;
use crate::quarantine::Quarantine;
use crate::regions::{LiveRegions, Region};
use crate::run::Memory;
use crate::units::{BLOCK_SIZE, PAGE_SIZE, PAGES_PER_BLOCK, block_base, page_in_block};

/// Returns the bytes of a part of a block that has, behind its header, a run of `pages` pages aligned to `align` pages.
///
/// With an alignment, a part that is a page short of a block may do, so it is tried where a certain one would be a block.
fn least_part(pages: usize, align: usize) -> usize {
    let certain = (pages + align) * PAGE_SIZE;
    if align > 1 {
        certain.min(BLOCK_SIZE - PAGE_SIZE)
    } else {
        certain
    }
}

/// All memory of a heap.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// Blocks and the runs in them.
    pub(crate) runs: PageRuns,
    /// What is larger than a block.
    pub(crate) regions: LiveRegions,
    /// Chunks that were given back and are held up.
    pub(crate) quarantine: Quarantine,
    /// What went back to the source last.
    gone: GoneBack,
    /// The first wrong answer of the source that nobody was told of yet.
    source_misuse: Option<Misuse>,
    /// The most bytes ever held.
    peak: usize,
}

impl Holdings {
    /// Creates the record of nothing, for a chain of `kind`.
    pub(crate) const fn new(kind: ChainKind) -> Self {
        Self {
            runs: PageRuns::new(kind),
            regions: LiveRegions::new(),
            quarantine: Quarantine::new(),
            gone: GoneBack::new(),
            source_misuse: None,
            peak: 0,
        }
    }

    /// Returns the bytes held.
    pub(crate) const fn held(&self) -> usize {
        self.runs.pages() * PAGE_SIZE + self.regions.bytes()
    }

    /// Returns the most bytes ever held.
    pub(crate) const fn peak(&self) -> usize {
        self.peak
    }

    /// Notes a new peak of what is held.
    fn count_held(&mut self) {
        self.peak = self.peak.max(self.held());
    }

    /// Returns whether there is a wrong answer of the source that nobody was told of yet.
    #[inline]
    pub(crate) const fn has_source_misuse(&self) -> bool {
        self.source_misuse.is_some()
    }

    /// Takes the first wrong answer of the source that nobody was told of yet.
    pub(crate) fn take_source_misuse(&mut self) -> Option<Misuse> {
        self.source_misuse.take()
    }

    /// Returns what addresses are looked up in.
    #[inline]
    pub(crate) const fn lookup(&self) -> Lookup<'_> {
        Lookup {
            runs: &self.runs,
            regions: &self.regions,
            quarantine: &self.quarantine,
            gone: &self.gone,
        }
    }

    /// Asks the source for one more block, or for part of one with a run of `pages` pages aligned to `align` pages.
    pub(crate) fn add_block<S: MemorySource>(
        &mut self,
        pages: usize,
        align: usize,
        source: &S,
    ) -> bool {
        let block = self
            .get_block(source)
            .or_else(|| self.get_part(least_part(pages, align), source));
        if let Some(block) = block {
            self.runs.add(block);
            self.count_held();
        }
        block.is_some()
    }

    /// Asks the source for a block to hold back.
    pub(crate) fn add_to_reserve<S: MemorySource>(&mut self, source: &S) -> bool {
        let block = self.get_block(source);
        if let Some(block) = block {
            self.runs.add_reserved(block);
            self.count_held();
        }
        block.is_some()
    }

    /// Asks the source for a block and writes its header.
    fn get_block<S: MemorySource>(&mut self, source: &S) -> Option<Block> {
        let start = source.get_block()?;
        let memory = NonNull::slice_from_raw_parts(start, BLOCK_SIZE);
        let is_aligned = start.addr().get() % BLOCK_SIZE == 0;
        if !self.accepts(start, BLOCK_SIZE, BLOCK_SIZE, is_aligned) {
            return None;
        }
        // SAFETY: the source promises a block of valid memory that is the heap's until it is released, and zero if it
        // says so; its alignment was checked. `give_back` uses no handle of it after releasing it.
        Some(unsafe { Block::install(memory, source.is_zeroed(start)) })
    }

    /// Asks the source for a part of a block of at least `least` bytes and writes its header.
    fn get_part<S: MemorySource>(&mut self, least: usize, source: &S) -> Option<Block> {
        if least >= BLOCK_SIZE {
            return None;
        }
        // One header serves a window of 256 KiB. (A source that gives a region's memory is found out below; some look before.)
        let (runs, regions) = (&self.runs, &self.regions);
        let is_usable =
            |address| runs.find(address).is_none() && regions.find_around(address).is_none();
        let part = source.get_part(least, &is_usable)?;
        let start = part.cast::<u8>();
        let (address, size) = (start.addr().get(), part.len());
        let is_aligned = address % PAGE_SIZE == 0
            && size % PAGE_SIZE == 0
            && (least..BLOCK_SIZE).contains(&size)
            && block_base(address) == block_base(address.wrapping_add(size - 1));
        if !self.accepts(start, size, PAGE_SIZE, is_aligned) {
            return None;
        }
        if self.runs.find(address).is_some() {
            // The source did not ask. There is no use for it, but no harm was done.
            // SAFETY: the part was just handed out, and nobody knows of it.
            unsafe { source.release_part(part) };
            return None;
        }
        // SAFETY: the source promises a part of valid memory that is the heap's until it is released, and zero if it says
        // so. It was checked to be aligned, to lie in one window, and to have `least` bytes, which are two pages or more.
        // `give_back` uses no handle of it after releasing it.
        Some(unsafe { Block::install(part, source.is_zeroed(start)) })
    }

    /// Returns whether memory that the source gave for a request of `size` bytes aligned to `align` may be used; else
    /// keeps the fault.
    pub(crate) fn accepts(
        &mut self,
        start: NonNull<u8>,
        size: usize,
        align: usize,
        is_aligned: bool,
    ) -> bool {
        let address = start.addr().get();
        // A source may say that it gave nothing, at some place.
        let overlaps = address.checked_add(size).is_none() || self.overlap(address, size.max(1));
        let kind = if overlaps {
            MisuseKind::SourceOverlaps
        } else if !is_aligned {
            MisuseKind::SourceMisaligned
        } else {
            return true;
        };
        let misuse = Misuse {
            kind,
            address,
            layout: Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>()),
            place: self.lookup().place(address),
        };
        self.source_misuse.get_or_insert(misuse);
        false
    }

    /// Returns whether the heap holds some of the `size` bytes (at least 1) at `address`. Of a region, blocks in the
    /// middle are not looked for.
    fn overlap(&self, address: usize, size: usize) -> bool {
        self.regions.overlap(address, size) || self.runs.overlap(address, size)
    }

    /// Lets the part that `address` lies in grow into the memory behind it, as far as the source has it and its window of
    /// 256 KiB reaches. `false` when there is no such part or it cannot grow.
    pub(crate) fn grow_part<S: MemorySource>(&mut self, address: usize, source: &S) -> bool {
        let Some(block) = self.runs.find(address) else {
            return false;
        };
        let part = block.memory();
        let first = page_in_block(part.addr().get());
        let reach = (block.pages() + 1..=PAGES_PER_BLOCK - first).rev();
        for pages in reach {
            let longer = pages * PAGE_SIZE;
            // SAFETY: the part came from this source with this size; it only grows.
            let has_grown = unsafe { source.resize_region(part.cast(), part.len(), longer) };
            if has_grown {
                // SAFETY: the source promises that the memory behind the part is the heap's too, at one with the part.
                unsafe { self.runs.extend(block, first + pages) };
                self.count_held();
                return true;
            }
        }
        false
    }

    /// Gives the idle `block`, all of its pages free, back to the source.
    pub(crate) fn give_back<S: MemorySource>(&mut self, block: Block, source: &S) {
        self.runs.remove(block);
        let memory = block.memory();
        self.gone.note(memory.addr().get(), memory.len());
        if block.is_whole() {
            // SAFETY: a whole block came by `get_block` of this source. Its runs are closed and it hangs in no list any more,
            // so that no handle of it is left but this one.
            unsafe { source.release_block(memory.cast()) };
        } else {
            // SAFETY: likewise, and a part came by `get_part`.
            unsafe { source.release_part(memory) };
        }
    }

    /// Asks the source for a region.
    pub(crate) fn get_region<S: MemorySource>(
        &mut self,
        size: usize,
        align: usize,
        source: &S,
    ) -> Option<Memory> {
        let start = source.get_region(size, align)?;
        let is_zeroed = source.is_zeroed(start);
        let is_aligned = start.addr().get() % align == 0;
        if self.accepts(start, size, align, is_aligned) {
            Some(Memory { start, is_zeroed })
        } else {
            None
        }
    }

    /// Notes a region that the source gave, with its record.
    pub(crate) fn add_region(&mut self, region: Region) {
        self.regions.add(region);
        self.count_held();
    }

    /// Takes a region out, whose memory is about to go back.
    pub(crate) fn remove_region(&mut self, region: Region) {
        self.regions.remove(region);
        self.gone.note(region.address(), region.size());
    }

    /// Makes a region `size` bytes long, if the source can do that where it stands.
    pub(crate) fn resize_region<S: MemorySource>(
        &mut self,
        region: Region,
        size: usize,
        source: &S,
    ) -> bool {
        let before = region.size();
        if size == before {
            return true;
        }
        // SAFETY: the region came from this source with this size; what lies behind the new one is given up.
        if !unsafe { source.resize_region(region.start, before, size) } {
            return false;
        }
        if size > before {
            let behind = region.start.map_addr(|start| start.saturating_add(before));
            if !self.accepts(behind, size - before, PAGE_SIZE, true) {
                return false;
            }
        }
        self.regions.resize(region, size);
        self.count_held();
        true
    }
}
