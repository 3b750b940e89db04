//! Random calls of a source of fixed memory, each answer held against a plain list of the pages there are.

mod common;

use core::ops::Range;
use core::ptr::NonNull;
use std::collections::BTreeSet;

use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, ProptestConfig, Strategy};
use proptest::{prop_oneof, proptest};
use stack_alloc::{BLOCK_SIZE, MemorySource, PAGE_SIZE, Regions};

use common::fixed_memory::FixedMemory;

/// Pages in a block.
const PAGES: usize = BLOCK_SIZE / PAGE_SIZE;

/// What a piece was asked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block,
    Part,
    Region,
}

/// Memory that is handed out.
#[derive(Clone, Copy, Debug)]
struct Piece {
    kind: Kind,
    start: NonNull<u8>,
    first: usize,
    pages: usize,
}

/// A source of fixed memory beside a plain list of the arena's pages. Each answer of the one is held against the other.
struct Shadow<'a> {
    arena: &'a FixedMemory,
    source: Regions,
    /// Which pages are free.
    free: Vec<bool>,
    /// What is out.
    out: Vec<Piece>,
    /// Pages that were handed out at some time.
    used: BTreeSet<usize>,
    /// Pages that hold books.
    books: BTreeSet<usize>,
    /// Exact offsets of the ranges' ends, and where the next range begins.
    ends: Vec<(usize, usize)>,
}

impl<'a> Shadow<'a> {
    fn new(arena: &'a FixedMemory) -> Self {
        Self {
            arena,
            source: Regions::new(),
            free: vec![false; arena.size() / PAGE_SIZE],
            out: Vec::new(),
            used: BTreeSet::new(),
            books: BTreeSet::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a range, and reserves what lies between it and `limit` for it to grow into.
    #[track_caller]
    fn add(&mut self, offset: usize, size: usize, limit: usize) {
        let first = offset.div_ceil(PAGE_SIZE);
        let end = (offset + size) / PAGE_SIZE;
        let added = self.arena.add_to(&self.source, offset, size);
        assert_eq!(added.is_ok(), end >= first + 2, "{offset:#x} {size}");
        if added.is_ok() {
            self.books.insert(first);
            self.free[first + 1..end].fill(true);
            self.ends.push((offset + size, limit));
        }
        self.assert_alike();
    }

    /// Makes a range longer.
    #[track_caller]
    fn extend(&mut self, range: usize, by: usize) {
        let Some(range) = range.checked_rem(self.ends.len()) else {
            return;
        };
        let (end, limit) = self.ends[range];
        let by = by.min(limit - end);
        assert_eq!(self.arena.extend(&self.source, end, by), Ok(()));
        self.ends[range].0 += by;
        self.free[end / PAGE_SIZE..(end + by) / PAGE_SIZE].fill(true);
        self.assert_alike();
    }

    /// Returns how many free pages there are from `page` on, at most `most`.
    fn run_at(&self, page: usize, most: usize) -> usize {
        let pages = self.free[page..].iter().take(most);
        pages.take_while(|free| **free).count()
    }

    /// Returns how many free pages there are from each page on.
    fn runs(&self) -> Vec<usize> {
        let mut runs = vec![0; self.free.len() + 1];
        for page in (0..self.free.len()).rev() {
            if self.free[page] {
                runs[page] = runs[page + 1] + 1;
            }
        }
        runs
    }

    /// Returns whether somewhere `pages` pages are free, aligned to `align` bytes.
    fn has_run(&self, pages: usize, align: usize) -> bool {
        let fits = |(page, run): (usize, usize)| {
            run >= pages && self.arena.address(page * PAGE_SIZE) % align == 0
        };
        self.runs().into_iter().enumerate().any(fits)
    }

    /// Returns the length of the longest free run that lies in one window.
    fn longest_part(&self) -> usize {
        let part = |(page, run): (usize, usize)| run.min(PAGES - page % PAGES);
        self.runs()
            .into_iter()
            .enumerate()
            .map(part)
            .max()
            .unwrap_or(0)
    }

    /// Returns the length of the longest free run.
    fn longest_run(&self) -> usize {
        self.runs().into_iter().max().unwrap_or(0)
    }

    /// Writes down what was handed out, after a look whether it was free.
    #[track_caller]
    fn note(&mut self, kind: Kind, start: NonNull<u8>, size: usize) {
        let offset = start.addr().get() - self.arena.address(0);
        assert_eq!(offset % PAGE_SIZE, 0);
        assert_eq!(size % PAGE_SIZE, 0);
        let (first, pages) = (offset / PAGE_SIZE, size / PAGE_SIZE);
        assert!(pages > 0);
        assert_eq!(self.run_at(first, pages), pages, "handed out twice");
        assert!(!self.source.is_zeroed(start));
        self.free[first..first + pages].fill(false);
        let piece = Piece {
            kind,
            start,
            first,
            pages,
        };
        self.fill(piece, first..first + pages);
        self.out.push(piece);
        self.assert_alike();
    }

    /// Writes its page's number to each of a piece's `pages`.
    fn fill(&mut self, piece: Piece, pages: Range<usize>) {
        for page in pages {
            self.used.insert(page);
            // SAFETY: the page is part of the piece, which is handed out.
            let place = unsafe { piece.start.add((page - piece.first) * PAGE_SIZE) };
            // SAFETY: as above, and aligned to a page.
            unsafe { place.cast::<usize>().write(page) };
        }
    }

    /// Asserts that nobody else wrote to a piece.
    #[track_caller]
    fn assert_intact(&self, piece: Piece) {
        for page in 0..piece.pages {
            // SAFETY: the page is part of the piece, which is handed out.
            let place = unsafe { piece.start.add(page * PAGE_SIZE) };
            // SAFETY: as above, and aligned to a page; `note` and `resize` have written it.
            let number = unsafe { place.cast::<usize>().read() };
            assert_eq!(number, piece.first + page);
        }
    }

    #[track_caller]
    fn get_block(&mut self) {
        let expected = self.has_run(PAGES, BLOCK_SIZE);
        let block = self.source.get_block();
        assert_eq!(block.is_some(), expected, "a block is free or not");
        if let Some(block) = block {
            assert_eq!(block.addr().get() % BLOCK_SIZE, 0);
            self.note(Kind::Block, block, BLOCK_SIZE);
        }
    }

    #[track_caller]
    fn get_part(&mut self, least: usize) {
        let longest = self.longest_part().min(PAGES - 1);
        let part = self.source.get_part(least * PAGE_SIZE, &|_| true);
        let pages = part.map(|part| part.len() / PAGE_SIZE);
        assert_eq!(pages, (longest >= least).then_some(longest));
        if let Some(part) = part {
            let start = part.cast::<u8>();
            let end = start.addr().get() + part.len() - 1;
            assert_eq!(start.addr().get() / BLOCK_SIZE, end / BLOCK_SIZE);
            self.note(Kind::Part, start, part.len());
        }
    }

    #[track_caller]
    fn get_region(&mut self, pages: usize, align: usize) {
        let expected = self.has_run(pages, align);
        let region = self.source.get_region(pages * PAGE_SIZE, align);
        assert_eq!(region.is_some(), expected, "{pages} pages by {align:#x}");
        if let Some(region) = region {
            assert_eq!(region.addr().get() % align, 0);
            self.note(Kind::Region, region, pages * PAGE_SIZE);
        }
    }

    #[track_caller]
    fn release(&mut self, index: usize) {
        let Some(index) = index.checked_rem(self.out.len()) else {
            return;
        };
        let piece = self.out.swap_remove(index);
        self.assert_intact(piece);
        let size = piece.pages * PAGE_SIZE;
        // SAFETY: the piece came from there as what it is, with this size, and is forgotten here.
        unsafe { give_back(&self.source, piece, size) };
        self.free[piece.first..piece.first + piece.pages].fill(true);
        self.assert_alike();
    }

    #[track_caller]
    fn resize(&mut self, index: usize, pages: usize) {
        let Some(index) = index.checked_rem(self.out.len()) else {
            return;
        };
        let piece = self.out[index];
        if piece.kind != Kind::Region || piece.pages == pages {
            return;
        }
        let end = piece.first + piece.pages;
        let more = pages.saturating_sub(piece.pages);
        let fits = end + more <= self.free.len() && self.run_at(end, more) == more;
        // SAFETY: the region came from there with this size, and what lies behind the new one is not used any more.
        let resized = unsafe {
            self.source
                .resize_region(piece.start, piece.pages * PAGE_SIZE, pages * PAGE_SIZE)
        };
        assert_eq!(resized, fits, "{piece:?} to {pages} pages");
        if resized {
            let new_end = piece.first + pages;
            self.free[end.min(new_end)..end.max(new_end)].fill(more == 0);
            self.out[index].pages = pages;
            self.fill(self.out[index], end.min(new_end)..new_end);
        }
        self.assert_intact(self.out[index]);
        self.assert_alike();
    }

    /// Asserts that the source's numbers are those of the list.
    #[track_caller]
    fn assert_alike(&self) {
        let free = self.free.iter().filter(|free| **free).count();
        let out: usize = self.out.iter().map(|piece| piece.pages).sum();
        assert_eq!(self.source.free_bytes(), free * PAGE_SIZE);
        assert_eq!(self.source.total_bytes(), (free + out) * PAGE_SIZE);
        assert_eq!(self.source.largest_region(), self.longest_run() * PAGE_SIZE);
    }

    /// Gives everything back, asserts that all of it is free and that nothing was written but books.
    #[track_caller]
    fn finish(mut self) {
        while !self.out.is_empty() {
            self.release(0);
        }
        assert_eq!(self.source.free_bytes(), self.source.total_bytes());
        if self.longest_run() > 0 {
            self.get_region(self.longest_run(), PAGE_SIZE);
        }
        for page in 0..self.free.len() {
            let touched = self.used.contains(&page) || self.books.contains(&page);
            assert!(touched || self.arena.is_untouched(page * PAGE_SIZE));
        }
    }
}

/// Gives a piece of `size` bytes back to `source`.
///
/// # Safety
///
/// It came from there as what it is, has this size now, and is not used any more.
unsafe fn give_back(source: &impl MemorySource, piece: Piece, size: usize) {
    match piece.kind {
        // SAFETY: the caller's promise.
        Kind::Block => unsafe { source.release_block(piece.start) },
        Kind::Part => {
            let part = NonNull::slice_from_raw_parts(piece.start, size);
            // SAFETY: the caller's promise.
            unsafe { source.release_part(part) };
        }
        // SAFETY: the caller's promise.
        Kind::Region => unsafe { source.release_region(piece.start, size) },
    }
}

/// One call of the source.
#[derive(Clone, Copy, Debug)]
enum Call {
    Block,
    Part { least: usize },
    Region { pages: usize, align: usize },
    Release(usize),
    Resize { index: usize, pages: usize },
    Extend { range: usize, by: usize },
}

impl Call {
    #[track_caller]
    fn make(self, shadow: &mut Shadow<'_>) {
        match self {
            Self::Block => shadow.get_block(),
            Self::Part { least } => shadow.get_part(least),
            Self::Region { pages, align } => shadow.get_region(pages, align),
            Self::Release(index) => shadow.release(index),
            Self::Resize { index, pages } => shadow.resize(index, pages),
            Self::Extend { range, by } => shadow.extend(range, by),
        }
    }
}

/// Any call, with sizes around what a page and a block are.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pages = || prop_oneof![1_usize..4, 1_usize..70, 1_usize..300];
    let align = (0_u32..10).prop_map(|log| PAGE_SIZE << log);
    let index = || 0_usize..100;
    let by = prop_oneof![0_usize..PAGE_SIZE, 0_usize..3 * BLOCK_SIZE];
    vec_of(
        prop_oneof![
            2 => Just(Call::Block),
            2 => (1_usize..64).prop_map(|least| Call::Part { least }),
            4 => (pages(), align).prop_map(|(pages, align)| Call::Region { pages, align }),
            5 => index().prop_map(Call::Release),
            3 => (index(), pages()).prop_map(|(index, pages)| Call::Resize { index, pages }),
            1 => (index(), by).prop_map(|(range, by)| Call::Extend { range, by }),
        ],
        0..if cfg!(miri) { 20 } else { 120 },
    )
}

/// Gaps and sizes of up to four ranges, of any number of bytes.
fn layouts() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let gap = prop_oneof![0_usize..2 * PAGE_SIZE, 0_usize..BLOCK_SIZE];
    let size = prop_oneof![
        0_usize..4 * PAGE_SIZE,
        0_usize..BLOCK_SIZE,
        (1_usize..8).prop_map(|pages| pages * PAGE_SIZE),
        BLOCK_SIZE..5 * BLOCK_SIZE,
    ];
    vec_of((gap, size), 1..=4)
}

/// Runs fewer cases under Miri, and writes no failures down there.
fn config() -> ProptestConfig {
    if cfg!(miri) {
        ProptestConfig {
            cases: 2,
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    } else {
        ProptestConfig::default()
    }
}

/// Adds ranges one behind the other, each of which may grow up to the next.
#[track_caller]
fn add_ranges(shadow: &mut Shadow<'_>, layouts: &[(usize, usize)]) {
    let mut offset = 0;
    let mut ranges = Vec::new();
    for (gap, size) in layouts {
        ranges.push((offset + gap, *size));
        offset += gap + size;
    }
    let next_starts = ranges.iter().skip(1).map(|(start, _)| *start);
    let limits: Vec<_> = next_starts.chain([shadow.arena.size()]).collect();
    for ((start, size), limit) in ranges.into_iter().zip(limits) {
        shadow.add(start, size, limit);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_calls_are_answered_like_a_list_of_pages(layouts in layouts(), calls in calls()) {
        let arena = FixedMemory::new(25 * BLOCK_SIZE);
        let mut shadow = Shadow::new(&arena);
        add_ranges(&mut shadow, &layouts);
        for call in calls {
            call.make(&mut shadow);
        }
        shadow.finish();
    }
}
