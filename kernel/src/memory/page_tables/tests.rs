//! Against a map of what is mapped, with a walk through the tables like the CPU's.

use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::memory::frame::FrameRange;

/// Where the pages of the tests begin.
const FIRST: Page = Page::containing_address(0xffff_c800_0000_0000);

/// All pages that the tests map: those of three entries of level 4.
const ALL: PageRange = PageRange::new(FIRST, 3 * span(3));

/// The level-4 table: a frame that the allocator does not manage.
const ROOT: Frame = Frame::from_number(0);

/// Physical memory as far as it holds tables.
struct Memory {
    /// The tables by number of frame; memory holds garbage before it is cleared.
    tables: BTreeMap<u64, Box<[Entry; ENTRIES]>>,
    /// How often the CPU was told to forget.
    forgets: usize,
}

impl Memory {
    /// Memory with an empty table of level 4.
    fn new() -> Self {
        let root = Box::new([Entry::EMPTY; ENTRIES]);
        Self {
            tables: BTreeMap::from([(ROOT.number(), root)]),
            forgets: 0,
        }
    }

    /// Walks through the tables as the CPU does, by the bits of its manual: the frame behind `page`.
    fn translate(&mut self, page: Page) -> Option<Frame> {
        let address = page.start_address();
        let mut frame = ROOT.number();
        for shift in [39, 30, 21, 12] {
            let index = usize::try_from(address >> shift & 511).expect("nine bits");
            let Entry(bits) = *self.entry(Frame::from_number(frame), index);
            if bits & 1 == 0 {
                return None;
            }
            assert_eq!(bits & 2, 2, "everything can be written");
            assert_eq!(bits >> 63 == 1, shift == 12, "data is not code");
            frame = (bits & 0x000f_ffff_ffff_f000) >> 12;
        }
        Some(Frame::from_number(frame))
    }

    /// Counts the tables below `table`, which is of `level`.
    fn tables_below(&mut self, table: Frame, level: u32) -> u64 {
        if level == 1 {
            return 0;
        }
        let entries = self.entries(table, 0..ENTRIES).to_vec();
        let used = entries.iter().filter(|entry| !entry.is_empty());
        used.map(|entry| 1 + self.tables_below(entry.frame(), level - 1))
            .sum()
    }
}

impl TableMemory for Memory {
    fn entries(&mut self, table: Frame, numbers: Range<usize>) -> &mut [Entry] {
        let table = self
            .tables
            .entry(table.number())
            .or_insert_with(|| Box::new([Entry(0xdead_beef_dead_beef); ENTRIES]));
        &mut table[numbers]
    }

    fn forget(&mut self, pages: PageRange) {
        self.forgets += 1;
        for number in 0..pages.len() {
            let page = pages.first.plus(number);
            assert_eq!(
                self.translate(page),
                None,
                "the CPU forgets behind the change"
            );
        }
    }
}

/// Runs `body` with page tables, an allocator that manages some of the frames from 1 to `end`, and memory.
fn with_tables<T>(
    end: u64,
    body: impl FnOnce(&mut PageTables, &mut FrameAllocator<'_>, &mut Memory) -> T,
) -> T {
    let mut words = vec![0; FrameAllocator::words_for(end)];
    let mut frames = FrameAllocator::new(end, &mut words);
    frames
        .add(FrameRange::from_numbers(1, end))
        .expect("frames are added once");
    let mut memory = Memory::new();
    let mut tables = PageTables::new(ROOT, ALL, &mut memory).expect("nothing is mapped");
    body(&mut tables, &mut frames, &mut memory)
}

#[test]
fn pages_whose_addresses_are_in_use_are_refused() {
    let mut memory = Memory::new();
    let (before, behind) = (index_in(4, FIRST) - 1, index_in(4, ALL.end));
    *memory.entry(ROOT, before) = Entry::to_table(Frame::from_number(1));
    *memory.entry(ROOT, behind) = Entry::to_table(Frame::from_number(2));
    assert!(PageTables::new(ROOT, ALL, &mut memory).is_some());
    for (first, end) in [
        (FIRST.number() - 1, ALL.end),
        (FIRST.number(), ALL.end.plus(1)),
    ] {
        let first = Page::containing_address(first * 4096);
        let pages = PageRange { first, end };
        assert!(PageTables::new(ROOT, pages, &mut memory).is_none());
    }
}

#[test]
fn mapping_needs_exactly_the_frames_it_says() {
    for pages in [1, 64, 511, 512, 513, 1500] {
        let needed = pages + PageTables::most_tables(pages);
        for frames_there in [needed - 1, needed] {
            with_tables(1 + frames_there, |tables, frames, memory| {
                let range = PageRange::new(FIRST, pages);
                let before = frames.statistics();
                let mapped = tables.map(range, frames, memory);
                if frames_there < needed {
                    assert_eq!(mapped, Err(OutOfFrames));
                    assert_eq!((frames.statistics(), tables.table_frames()), (before, 0));
                    assert_eq!(memory.translate(FIRST), None);
                    return;
                }
                assert_eq!(mapped, Ok(()));
                assert_eq!(frames.counts().free, 0);
                assert_eq!(tables.unmap(range, frames, memory), Ok(()));
                assert_eq!((frames.statistics(), tables.table_frames()), (before, 0));
                assert_eq!(memory.forgets, 1);
            });
        }
        assert!(PageTables::pages_with(needed) + 6 >= pages);
        let pages = PageTables::pages_with(needed);
        assert!(pages + PageTables::most_tables(pages) <= needed);
    }
}

#[test]
fn tables_of_all_levels_go_back() {
    with_tables(5000, |tables, frames, memory| {
        // Across the end of what a table of level 3 leads to: two tables of each level.
        let first = FIRST.plus(span(3) - 700);
        let range = PageRange::new(first, 1400);
        let before = frames.statistics();
        assert_eq!(tables.map(range, frames, memory), Ok(()));
        assert_eq!(tables.table_frames(), 2 + 2 + 4);
        assert_eq!(memory.tables_below(ROOT, 4), 8);
        // In pieces, the middle first.
        for (skip, pages) in [(600, 200), (0, 600), (800, 600)] {
            let piece = PageRange::new(first.plus(skip), pages);
            assert_eq!(tables.unmap(piece, frames, memory), Ok(()));
            assert_eq!(memory.tables_below(ROOT, 4), tables.table_frames());
        }
        assert_eq!((frames.statistics(), tables.table_frames()), (before, 0));
    });
}

#[test]
fn scattered_frames_are_taken() {
    with_tables(4000, |tables, frames, memory| {
        let all: Vec<_> = core::iter::from_fn(|| frames.allocate_frame().ok()).collect();
        all.iter().step_by(2).for_each(|&frame| {
            frames.free_frame(frame).expect("it was given");
        });
        assert_eq!(frames.statistics().largest_run, 1);
        let range = PageRange::new(FIRST, 1900);
        assert_eq!(tables.map(range, frames, memory), Ok(()));
        let behind: BTreeSet<_> = (0..1900)
            .map(|number| {
                memory
                    .translate(FIRST.plus(number))
                    .expect("it is mapped")
                    .number()
            })
            .collect();
        assert_eq!(behind.len(), 1900, "each page has a frame of its own");
        assert_eq!(tables.unmap(range, frames, memory), Ok(()));
        assert_eq!(frames.counts().free, 2000);
    });
}

/// A mapping of the model is at a multiple of so many pages, and no longer.
const SLOT: u64 = 2048;

proptest! {
    #[test]
    fn pages_and_frames_are_those_of_a_map(
        steps in prop::collection::vec((0..6u64, 0..2000u64), 1..40),
    ) {
        with_tables(6000, |tables, frames, memory| {
            let before = frames.statistics();
            // Pages that are mapped in each slot, from its start on.
            let mut lengths = [0_u64; 6];
            for (slot, length) in (0..).zip(steps).map(|(_, step)| step).chain((0..6).map(|slot| (slot, 0))) {
                let index = usize::try_from(slot).expect("small");
                let old = lengths[index];
                // Slots far apart share no tables, near ones do.
                let start = FIRST.plus(slot * SLOT + if slot > 3 { span(3) * slot } else { 0 });
                let free = frames.counts().free;
                if length > old {
                    let range = PageRange::new(start.plus(old), length - old);
                    let needed = range.len() + PageTables::most_tables(range.len());
                    let mapped = tables.map(range, frames, memory);
                    prop_assert_eq!(mapped.is_ok(), needed <= free);
                    if mapped.is_err() {
                        prop_assert_eq!(frames.counts().free, free);
                        continue;
                    }
                } else if length < old {
                    let range = PageRange::new(start.plus(length), old - length);
                    prop_assert_eq!(tables.unmap(range, frames, memory), Ok(()));
                }
                lengths[index] = length;
                let mut behind = BTreeSet::new();
                for (slot, &length) in (0..).zip(&lengths) {
                    let start = FIRST.plus(slot * SLOT + if slot > 3 { span(3) * slot } else { 0 });
                    for number in 0..length {
                        let frame = memory.translate(start.plus(number));
                        prop_assert!(frame.is_some_and(|frame| !frames.is_free(frame) && behind.insert(frame)));
                    }
                    prop_assert_eq!(memory.translate(start.plus(length)), None);
                }
                let mapped: u64 = lengths.iter().sum();
                prop_assert_eq!(memory.tables_below(ROOT, 4), tables.table_frames());
                prop_assert_eq!(frames.counts().free, before.free - mapped - tables.table_frames());
            }
            prop_assert_eq!(frames.statistics(), before);
            prop_assert_eq!(tables.table_frames(), 0);
            Ok(())
        })?;
    }
}
