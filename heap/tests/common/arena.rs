//! A source over one piece of memory, page by page: blocks, parts of blocks and regions, resized in place, zeroed or not.
//!
//! Every page is free, out, or missing, so a test lays out exactly the memory that a heap meets. A wrong release fails.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::NonNull;
use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Numbers, Object, assert_apart, layout};
use stack_alloc::{Allocator, BLOCK_SIZE, KEPT_BLOCKS, MemorySource, PAGE_SIZE};

/// A heap over an [`Arena`].
pub(crate) type ArenaHeap = Allocator<Arena>;

/// Pages in a window of the size of a block.
pub(crate) const WINDOW: usize = BLOCK_SIZE / PAGE_SIZE;

/// How a piece was handed out, and so must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Part,
    Region,
}

/// What an arena fills memory with before it hands it out, and what it says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Rubbish, and nothing is said.
    Unknown,
    /// Zeros, and it says so.
    Zeros,
    /// [`MARK`], and it says that it is zeros: what the heap believes is not cleared.
    FalseZeros,
}

/// The byte that says "not cleared".
pub(crate) const MARK: u8 = 0xaa;

/// What an arena is willing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Blocks are given.
    pub(crate) blocks: bool,
    /// Parts of up to so many pages are given; 0 for none.
    pub(crate) part_pages: usize,
    /// A window of which a part is out already is passed over.
    pub(crate) one_part_a_window: bool,
    /// The heap is asked whether it has use for a part of a window.
    pub(crate) asks: bool,
    /// Regions are given.
    pub(crate) regions: bool,
    /// Regions are resized.
    pub(crate) resizes: bool,
    /// What memory holds.
    pub(crate) contents: Contents,
}

impl Rules {
    /// Everything is done.
    pub(crate) const ALL: Self = Self {
        blocks: true,
        part_pages: WINDOW - 1,
        one_part_a_window: true,
        asks: false,
        regions: true,
        resizes: true,
        contents: Contents::Unknown,
    };

    /// Parts alone.
    pub(crate) const PARTS: Self = Self {
        blocks: false,
        regions: false,
        ..Self::ALL
    };

    /// Blocks alone.
    pub(crate) const BLOCKS: Self = Self {
        part_pages: 0,
        regions: false,
        ..Self::ALL
    };
}

/// What an arena knows of its memory.
#[derive(Debug)]
struct State {
    rules: Rules,
    /// Pages that can be handed out.
    free: Vec<bool>,
    /// First page of everything that is out, with the number of its pages.
    out: BTreeMap<usize, (usize, Kind)>,
    /// How often each page was handed out.
    times_given: Vec<usize>,
    requests: usize,
    /// The request to answer with "no", counted from 1; 0 for none.
    refused: usize,
}

/// The source.
#[derive(Debug)]
pub(crate) struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
    state: Mutex<State>,
}

impl Arena {
    /// Creates an arena of whole windows that has `pages` of them, counted through, and nothing else.
    pub(crate) fn new(
        windows: usize,
        pages: impl IntoIterator<Item = Range<usize>>,
        rules: Rules,
    ) -> Self {
        let layout = layout(windows * BLOCK_SIZE, BLOCK_SIZE);
        // SAFETY: the layout is not empty: there is a window.
        let memory = NonNull::new(unsafe { System.alloc(layout) }).expect("the host has memory");
        let mut free = vec![false; windows * WINDOW];
        for range in pages {
            free[range].fill(true);
        }
        let state = State {
            rules,
            times_given: vec![0; free.len()],
            free,
            out: BTreeMap::new(),
            requests: 0,
            refused: 0,
        };
        Self {
            memory,
            layout,
            state: Mutex::new(state),
        }
    }

    /// Creates an arena of which every page is there.
    pub(crate) fn full(windows: usize, rules: Rules) -> Self {
        let all = 0..windows * WINDOW;
        Self::new(windows, [all], rules)
    }

    /// Locks the state, even after a test has failed while it was locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of page `page`.
    pub(crate) fn address(&self, page: usize) -> usize {
        self.memory.addr().get() + page * PAGE_SIZE
    }

    /// Returns the bytes that are out.
    pub(crate) fn bytes_out(&self) -> usize {
        let state = self.state();
        state.out.values().map(|(pages, _)| pages * PAGE_SIZE).sum()
    }

    /// Returns how many pieces of a kind are out.
    pub(crate) fn pieces_out(&self, kind: Kind) -> usize {
        let state = self.state();
        state.out.values().filter(|piece| piece.1 == kind).count()
    }

    /// Returns first page, pages and kind of everything that is out.
    pub(crate) fn out(&self) -> Vec<(usize, usize, Kind)> {
        let state = self.state();
        let pieces = state.out.iter();
        pieces
            .map(|(first, (pages, kind))| (*first, *pages, *kind))
            .collect()
    }

    /// Returns the number of pages that can be handed out.
    pub(crate) fn free_pages(&self) -> usize {
        self.state().free.iter().filter(|free| **free).count()
    }

    /// Returns how often the page that `address` lies in was handed out.
    pub(crate) fn times_given(&self, address: usize) -> usize {
        let page = (address - self.memory.addr().get()) / PAGE_SIZE;
        self.state().times_given[page]
    }

    /// Returns how often memory was asked for.
    pub(crate) fn requests(&self) -> usize {
        self.state().requests
    }

    /// Makes the `number`-th request from the first one on, and that one alone, fail.
    pub(crate) fn refuse(&self, number: usize) {
        self.state().refused = number;
    }

    /// Changes what the arena is willing to do.
    pub(crate) fn set_rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    /// Adds pages that were missing.
    pub(crate) fn add_pages(&self, pages: Range<usize>) {
        self.state().free[pages].fill(true);
    }

    /// Takes away every free page.
    pub(crate) fn take_free_pages(&self) {
        self.state().free.fill(false);
    }

    /// Returns the memory of page `page`, with provenance for all of the arena.
    fn page(&self, page: usize) -> NonNull<u8> {
        assert!((page * PAGE_SIZE) < self.layout.size());
        // SAFETY: inside the arena (checked).
        unsafe { self.memory.add(page * PAGE_SIZE) }
    }

    /// Fills `pages` as the rules say.
    fn fill(&self, pages: Range<usize>, contents: Contents) {
        let byte = match contents {
            Contents::Unknown => 0xdd,
            Contents::Zeros => 0,
            Contents::FalseZeros => MARK,
        };
        let len = pages.len() * PAGE_SIZE;
        // SAFETY: the pages are free, so nobody uses them, and all of them are in the arena.
        unsafe { self.page(pages.start).write_bytes(byte, len) };
    }

    /// Counts a request and answers it with the pages that `choose` finds.
    fn give(
        &self,
        kind: Kind,
        choose: impl FnOnce(&State) -> Option<Range<usize>>,
    ) -> Option<NonNull<[u8]>> {
        let mut state = self.state();
        state.requests += 1;
        if state.requests == state.refused {
            return None;
        }
        let pages = choose(&state)?;
        assert!(state.free[pages.clone()].iter().all(|free| *free));
        state.hand_out(pages.clone());
        state.out.insert(pages.start, (pages.len(), kind));
        self.fill(pages.clone(), state.rules.contents);
        let memory = self.page(pages.start);
        Some(NonNull::slice_from_raw_parts(
            memory,
            pages.len() * PAGE_SIZE,
        ))
    }

    /// Takes pages back.
    #[track_caller]
    fn take(&self, memory: NonNull<u8>, size: usize, kind: Kind) {
        let mut state = self.state();
        let first = (memory.addr().get() - self.memory.addr().get()) / PAGE_SIZE;
        let pages = size / PAGE_SIZE;
        assert_eq!(state.out.remove(&first), Some((pages, kind)));
        state.free[first..first + pages].fill(true);
        self.fill(first..first + pages, Contents::Unknown);
    }
}

impl State {
    /// Notes that `pages`, which are free, are handed out.
    fn hand_out(&mut self, pages: Range<usize>) {
        for page in pages {
            self.free[page] = false;
            self.times_given[page] += 1;
        }
    }

    /// Returns the free ranges of `pages` pages that begin at a multiple of `align` pages of the arena, lowest first.
    fn ranges(&self, pages: usize, align: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.free.len())
            .step_by(align)
            .map(move |first| first..first + pages)
            .filter(|range| range.end <= self.free.len())
            .filter(|range| self.free[range.clone()].iter().all(|free| *free))
    }

    /// Returns the first and longest free range inside a window, cut off at `part_pages` pages, of those that begin at a page that
    /// `is_usable`.
    fn longest_part(&self, is_usable: impl Fn(usize) -> bool) -> Option<Range<usize>> {
        let most = self.rules.part_pages;
        let mut best = 0..0;
        let mut first = 0;
        for page in 0..self.free.len() {
            if page % WINDOW == 0 || !self.free[page] {
                first = page;
            }
            let is_open = !self.rules.one_part_a_window || !self.has_part_in(page / WINDOW);
            let start = if self.free[first] { first } else { first + 1 };
            let end = (page + 1).min(start + most);
            if end > start + best.len() && is_open && is_usable(start) {
                best = start..end;
            }
        }
        Some(best).filter(|best| !best.is_empty())
    }

    /// Returns whether a part of a window is out.
    fn has_part_in(&self, window: usize) -> bool {
        let is_there = |(first, piece): (&usize, &(usize, Kind))| {
            first / WINDOW == window && piece.1 == Kind::Part
        };
        self.out.iter().any(is_there)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the memory came from `System` with this layout; the heap that used it is gone.
        unsafe { System.dealloc(self.memory.as_ptr(), self.layout) };
    }
}

// SAFETY: the memory is the arena's own, and nobody reads the pointer but to hand it out.
unsafe impl Send for Arena {}

// SAFETY: what changes is behind a mutex.
unsafe impl Sync for Arena {}

// SAFETY: pages are handed out once until they come back, in ranges that are as long, aligned and inside a window as asked;
// `Contents::FalseZeros` breaks the promise of zeros in tests that look for just that.
unsafe impl MemorySource for Arena {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(Kind::Block, |state| {
            let range = state.ranges(WINDOW, WINDOW).next();
            range.filter(|_| state.rules.blocks)
        })
        .map(NonNull::cast)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.take(block, BLOCK_SIZE, Kind::Block);
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        assert!(least > 0 && least % PAGE_SIZE == 0 && least < BLOCK_SIZE);
        self.give(Kind::Part, |state| {
            let part =
                state.longest_part(|page| !state.rules.asks || is_usable(self.address(page)))?;
            Some(part).filter(|part| part.len() * PAGE_SIZE >= least)
        })
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        self.take(part.cast(), part.len(), Kind::Part);
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        assert!(size > 0 && size % PAGE_SIZE == 0 && align >= PAGE_SIZE);
        self.give(Kind::Region, |state| {
            let range = state.ranges(size / PAGE_SIZE, 1).find(|range| {
                let address = self.memory.addr().get() + range.start * PAGE_SIZE;
                address % align == 0
            });
            range.filter(|_| state.rules.regions)
        })
        .map(NonNull::cast)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        self.take(region, size, Kind::Region);
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        assert!(new_size > 0 && new_size % PAGE_SIZE == 0 && new_size != size);
        let mut state = self.state();
        state.requests += 1;
        if state.requests == state.refused || !state.rules.resizes {
            return false;
        }
        let first = (region.addr().get() - self.memory.addr().get()) / PAGE_SIZE;
        let (end, new_end) = (first + size / PAGE_SIZE, first + new_size / PAGE_SIZE);
        let (pages, kind) = state.out[&first];
        assert_eq!(pages * PAGE_SIZE, size, "resized with another size");
        if new_end > end {
            if new_end > state.free.len() || !state.free[end..new_end].iter().all(|free| *free) {
                return false;
            }
            state.hand_out(end..new_end);
            self.fill(end..new_end, Contents::Unknown);
        } else {
            state.free[new_end..end].fill(true);
            self.fill(new_end..end, Contents::Unknown);
        }
        state.out.insert(first, (new_end - first, kind));
        true
    }

    fn is_zeroed(&self, memory: NonNull<u8>) -> bool {
        let first = (memory.addr().get() - self.memory.addr().get()) / PAGE_SIZE;
        let state = self.state();
        assert!(state.out.contains_key(&first), "asked of what is not out");
        state.rules.contents != Contents::Unknown
    }

    fn largest_region(&self) -> usize {
        let state = self.state();
        if !state.rules.regions {
            return 0;
        }
        let longest = state
            .free
            .split(|free| !free)
            .map(<[bool]>::len)
            .max()
            .unwrap_or(0);
        longest * PAGE_SIZE
    }
}

/// Asserts that every invariant of `heap` holds, and that it holds exactly what its source gave.
#[track_caller]
pub(crate) fn assert_arena_sound(heap: &ArenaHeap) {
    heap.check().expect("the heap is sound");
    let statistics = heap.statistics();
    assert_eq!(statistics.bytes_held, heap.source().bytes_out());
    let (blocks, parts) = (
        heap.source().pieces_out(Kind::Block),
        heap.source().pieces_out(Kind::Part),
    );
    assert_eq!(statistics.blocks, blocks + parts);
    let regions = heap.source().pieces_out(Kind::Region);
    assert_eq!(statistics.regions.live, regions as u64);
    assert!(statistics.bytes_held_peak >= statistics.bytes_held);
}

/// Asserts that `heap`, in which nothing is live, keeps a few blocks at most and gives all back when asked.
#[track_caller]
pub(crate) fn assert_arena_empty(heap: &ArenaHeap) {
    assert_arena_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.live(), 0);
    assert_eq!(statistics.bytes_requested, 0);
    assert!(statistics.blocks_idle <= KEPT_BLOCKS);
    heap.trim();
    assert_arena_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.bytes_used, 0);
    assert_eq!(statistics.quarantined, 0);
    assert_eq!(statistics.blocks, statistics.blocks_reserved);
    assert_eq!(
        heap.source().bytes_out(),
        statistics.blocks_reserved * BLOCK_SIZE
    );
}

/// Frees everything.
#[track_caller]
pub(crate) fn free_all(heap: &ArenaHeap, objects: impl IntoIterator<Item = Object>) {
    for object in objects {
        object.free(heap);
    }
}

/// Random operations on `heap`, looked at all the while. Returns how many requests there was memory for.
#[track_caller]
pub(crate) fn churn(heap: &ArenaHeap, numbers: &mut Numbers, steps: usize, size_log: u32) -> usize {
    let mut live: Vec<Object> = Vec::new();
    let mut served = 0;
    for step in 0..steps {
        let fill = u8::try_from(step % 251).expect("small");
        let asked = layout(numbers.size(size_log), 1 << numbers.below(15));
        match numbers.below(8) {
            0..=3 => live.extend(Object::try_new(heap, asked, fill).inspect(|_| served += 1)),
            4 => live.extend(Object::try_zeroed(heap, asked, fill).inspect(|_| served += 1)),
            5 => {
                if let Some(mut object) = numbers.pick(&mut live) {
                    object.resize(heap, asked.size(), fill);
                    live.push(object);
                }
            }
            _ => free_all(heap, numbers.pick(&mut live)),
        }
        if step % 16 == 0 {
            assert_arena_sound(heap);
            assert_apart(&live);
            assert_eq!(heap.statistics().live(), live.len() as u64);
        }
        if numbers.below(100) == 0 {
            heap.trim();
        }
    }
    assert_arena_sound(heap);
    assert_apart(&live);
    free_all(heap, live);
    served
}

/// A heap over memory that seed `seed` chooses.
pub(crate) fn random_heap(seed: u64) -> ArenaHeap {
    let mut numbers = Numbers::new(seed);
    let windows = 1 + numbers.below(7);
    let mut pages = Vec::new();
    let mut page = numbers.below(WINDOW);
    while page < windows * WINDOW {
        let end = (page + 1 + numbers.below(150)).min(windows * WINDOW);
        pages.push(page..end);
        page = end + 1 + numbers.below(20);
    }
    let rules = Rules {
        blocks: true,
        part_pages: [0, 5, 63][numbers.below(3)],
        one_part_a_window: numbers.below(2) == 0,
        asks: false,
        regions: numbers.below(3) > 0,
        resizes: numbers.below(2) == 0,
        contents: Contents::Unknown,
    };
    let heap = Allocator::new(Arena::new(windows, pages, rules));
    if numbers.below(2) == 0 {
        heap.set_reserve(numbers.below(3), || false);
    }
    heap
}

/// One random step with the live objects of `heap`.
pub(crate) fn random_step(heap: &ArenaHeap, numbers: &mut Numbers, live: &mut Vec<Object>) {
    let log = [6, 12, 15, 18][numbers.below(4)];
    let asked = layout(numbers.size(log), 1 << numbers.below(14));
    match numbers.below(7) {
        0..=3 => live.extend(Object::try_new(heap, asked, 1)),
        4 => {
            if let Some(mut object) = numbers.pick(live) {
                object.resize(heap, asked.size(), 2);
                live.push(object);
            }
        }
        _ => free_all(heap, numbers.pick(live)),
    }
    if numbers.below(60) == 0 {
        heap.trim();
    }
}
