//! A block's memory, or that of a part of a block: its header, and the runs of pages that it is divided into.
//!
//! Owns where things are: with [`crate::run`], this is the one file that turns numbers of pages and chunks into pointers.
//! Knows nothing of lists' order, classes' sizes or sources.
//!
//! ```text
//! block, 256 KiB, aligned to 256 KiB
//! ┌────────────────────────────────┬────────┬────────────────┬────────┬─ ─┬─────────┐
//! │ page 0: header                 │ page 1 │ page 2  page 3 │ page 4 │   │ page 63 │
//! │ ┌───────────┬────────┬── ─┐    │  run   │      run       │  free  │   │  free   │
//! │ │ BlockInfo │ Run 1  │ …  │    │        │                │        │   │         │
//! │ └─64 bytes──┴─64 B───┴── ─┘    │        │                │        │   │         │
//! └────────────────────────────────┴────────┴────────────────┴────────┴─ ─┴─────────┘
//!   free   = …111…10000     bit n: page n belongs to nobody; page 0 never does
//!   leads  = 01100…000…     bit 63 - n: a run begins at page n, and descriptor n describes it
//! ```
//!
//! The descriptor of page `n` stands `64 * n` bytes into the header; only those of `leads` are ever read. The run that
//! any page belongs to is the one of the highest lead at or below it: one count of zeros, so a run of 63 pages costs as little
//! to open and close as a run of one. (The word of leads is mirrored, because counting trailing zeros is quick on every
//! x86-64, and counting leading ones is not.)
//!
//! A *part* of a block is fewer pages of the same window of 256 KiB: its first page, whichever it is, is the header. The
//! pages keep their numbers in the window, so that whatever is computed from them stays the same, alignments too; pages
//! outside belong to nobody and are not free.
//!
//! Where the source says that its memory is zero, the block remembers which pages were `touched`, and a stack from which
//! chunk on none ever came back, so that what is still zero need not be cleared.
//!
//! Nothing of the heap is written into a chunk or a run of the user's, free or taken. (The records of regions have stacks
//! of their own, in pages that may have been a user's before.)
//!
//! # Handles
//!
//! [`Block`] and [`Run`] are pointers with a promise, made in [`Block::install`] and [`Block::open_run`], which are
//! `unsafe` or reachable only through it. Their fields are `Cell`s: a chain is entered by one context at a time
//! (layer 4), and a handle never leaves the crate. Other CPUs look in, on a [visit](crate::sharded::visits), through handles of their own:
//! they read [published](crate::published) fields alone, which may say anything that was true at some time.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::bitmap::Bitmap;
use crate::list::{Linked, Links};
use crate::published::PublishedBitmap;
use crate::run::{DESCRIPTOR_SIZE, Run, RunInfo, RunKind};
use crate::trie::{Children, TrieNode};
use crate::units::{BLOCK_SIZE, PAGE_SIZE, PAGES_PER_BLOCK, block_base, page_in_block};

const _: () = assert!(
    DESCRIPTOR_SIZE * PAGES_PER_BLOCK == PAGE_SIZE,
    "a block's own part and a descriptor for each other page fill the header"
);
const _: () = assert!(
    size_of::<BlockInfo>() <= DESCRIPTOR_SIZE,
    "the block's part takes the place of descriptor 0"
);
const _: () = assert!(
    align_of::<BlockInfo>() <= DESCRIPTOR_SIZE,
    "descriptors are aligned to 64 bytes"
);

/// What a block knows of itself.
#[derive(Debug)]
pub(crate) struct BlockInfo {
    /// Pages that belong to nobody.
    pub(crate) free: Cell<Bitmap>,
    /// Pages at which a run begins, mirrored: 63 is page 0.
    leads: PublishedBitmap,
    /// Pages that may hold something else than zeros.
    touched: Cell<Bitmap>,
    /// Pages in runs that hold something of the user's.
    live_pages: Cell<u8>,
    /// The longest run of free pages: the number of the list that the block is in.
    longest: Cell<u8>,
    /// One past the last page that is there: 64, but for some parts.
    end: Cell<u8>,
    /// The place among the idle blocks, while the block is idle.
    idle_place: Cell<u8>,
    /// Neighbours in that list.
    links: Links<Block>,
    /// Subtrees in the directory of blocks.
    children: Children<Block>,
}

/// A block, or part of a block, that the heap holds.
///
/// # Invariants
///
/// The pointer is that of the first page of a block or part which the source handed out and did not get back yet, and it
/// carries the provenance of all of its pages, up to `end`. There an initialised [`BlockInfo`] stands. `free` and `leads`
/// name pages behind the first one and before `end` alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block(NonNull<BlockInfo>);

impl Block {
    /// Writes a header into the first page of `memory`, all other pages free.
    ///
    /// # Safety
    ///
    /// `memory` is at least two pages aligned to a page that lie in one window of [`BLOCK_SIZE`] bytes, valid for reads
    /// and writes, with provenance for all of it, and used by nobody else as long as any copy of the handle, or of a
    /// handle made from it, is in use. If `is_zeroed`, all of it is zero.
    pub(crate) unsafe fn install(memory: NonNull<[u8]>, is_zeroed: bool) -> Self {
        let info = memory.cast::<BlockInfo>();
        let header = page_in_block(info.addr().get());
        let pages = memory.len() / PAGE_SIZE;
        let touched = if is_zeroed { 0 } else { PAGES_PER_BLOCK };
        // Descriptors are read as a whole, though a run of pages that is one allocation has no stacks to write.
        // SAFETY: the caller hands over the first page.
        unsafe { info.cast::<[u8; PAGE_SIZE]>().write_bytes(0, 1) };
        // SAFETY: the same; its alignment is larger than that of `BlockInfo`.
        unsafe {
            info.write(BlockInfo {
                free: Cell::new(Bitmap::range(header + 1, pages - 1)),
                leads: PublishedBitmap::new(Bitmap::EMPTY),
                touched: Cell::new(Bitmap::below(touched)),
                live_pages: Cell::new(0),
                longest: Cell::new(narrow(pages - 1)),
                end: Cell::new(narrow(header + pages)),
                idle_place: Cell::new(0),
                links: Links::default(),
                children: Children::default(),
            });
        }
        // INVARIANT: the caller's promise, and the header just written.
        Self(info)
    }

    /// Returns the block whose header stands at `header`.
    ///
    /// # Safety
    ///
    /// [`install`](Self::install) wrote it there, and the pointer has the provenance of the memory that it was given.
    #[inline]
    pub(crate) const unsafe fn at(header: NonNull<u8>) -> Self {
        // INVARIANT: the caller's promise.
        Self(header.cast())
    }

    /// Returns the block that `run` lies in.
    #[inline]
    pub(crate) fn of(run: Run) -> Self {
        let descriptor = run.descriptor();
        let offset = descriptor.addr().get() % PAGE_SIZE;
        // INVARIANT: a descriptor lies in the header of its block, and its pointer is valid for all of the block.
        // SAFETY: the header is a page, aligned to a page, and begins `offset` bytes before the descriptor.
        Self(unsafe { descriptor.byte_sub(offset) }.cast())
    }

    /// Returns the pointer to the header, which is good for all of the memory.
    #[inline]
    pub(crate) const fn header(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the memory as the source gave it.
    pub(crate) fn memory(self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.0.cast(), self.pages() * PAGE_SIZE)
    }

    /// Returns the address of the window of 256 KiB that the block is, or that the part lies in.
    #[inline]
    pub(crate) fn address(self) -> usize {
        block_base(self.0.addr().get())
    }

    /// Returns the number of the header's page: 0 in a whole block.
    #[inline]
    fn header_page(self) -> usize {
        page_in_block(self.0.addr().get())
    }

    /// Returns how many pages there are, with the header: 64 in a whole block.
    #[inline]
    pub(crate) fn pages(self) -> usize {
        usize::from(self.end.get()) - self.header_page()
    }

    /// Returns whether this is a whole block.
    #[inline]
    pub(crate) fn is_whole(self) -> bool {
        self.pages() == PAGES_PER_BLOCK
    }

    /// Returns whether `page` is there, be it the header, free or in use.
    pub(crate) fn has_page(self, page: usize) -> bool {
        (self.header_page()..usize::from(self.end.get())).contains(&page)
    }

    /// Returns whether `page` is the header.
    pub(crate) fn is_header(self, page: usize) -> bool {
        page == self.header_page()
    }

    /// Takes in the pages behind the last one, as far as page `end` (at most 64).
    ///
    /// # Safety
    ///
    /// What [`install`](Self::install) asks for holds of the memory with these pages.
    pub(crate) unsafe fn extend(self, end: usize) {
        let old_end = usize::from(self.end.get());
        let new = Bitmap::range(old_end, end - old_end);
        self.free.set(self.free.get().with(new));
        self.touched.set(self.touched.get().with(new));
        self.end.set(narrow(end));
    }

    /// Returns how many pages are in runs that hold something of the user's.
    #[inline]
    pub(crate) fn live_pages(self) -> usize {
        self.live_pages.get().into()
    }

    /// Returns whether nothing of the user's is in the block.
    #[inline]
    pub(crate) fn is_idle(self) -> bool {
        self.live_pages.get() == 0
    }

    /// Sets how many pages are in runs that hold something of the user's.
    #[inline]
    pub(crate) fn set_live_pages(self, pages: usize) {
        self.live_pages.set(narrow(pages));
    }

    /// Returns the block's place among the idle ones, as noted last.
    #[inline]
    pub(crate) fn idle_place(self) -> usize {
        self.idle_place.get().into()
    }

    /// Notes the block's place among the idle ones.
    #[inline]
    pub(crate) fn set_idle_place(self, place: usize) {
        self.idle_place.set(narrow(place));
    }

    /// Returns the length of the longest run of free pages, as noted last.
    pub(crate) fn longest(self) -> usize {
        self.longest.get().into()
    }

    /// Notes the length of the longest run of free pages.
    pub(crate) fn set_longest(self, pages: usize) {
        self.longest.set(narrow(pages));
    }

    /// Opens a run over the free pages `first..first + pages`.
    pub(crate) fn open_run(self, first: usize, pages: usize, kind: RunKind) -> Run {
        let range = Bitmap::run(first, pages);
        debug_assert!(
            self.free.get().contains_all(range),
            "a run is made of free pages"
        );
        let is_zeroed = self.touch(range);
        let place = self.descriptor(first);
        // SAFETY: the descriptor lies in the header behind `BlockInfo`, because the header's page is never free, and the
        // heap owns the header; it is aligned to 64 bytes. No handle of it is in use but those of visitors, who read published
        // fields alone; and the pages are nobody's, because they were free; they are zero if none of them was touched since they
        // came so.
        let run = unsafe { Run::install(place, self.page(first), pages, kind, is_zeroed) };
        self.free.set(self.free.get().without(range));
        self.leads.set(self.leads.get().with(mirrored(first)));
        run
    }

    /// Closes `run`, one of this block's: all of its pages are free. Every handle of it is void afterwards.
    pub(crate) fn close_run(self, run: Run) {
        let first = run.first_page();
        self.leads.set(self.leads.get().without(mirrored(first)));
        self.free
            .set(self.free.get().with(Bitmap::run(first, run.pages())));
    }

    /// Makes `run`, one of this block's, `pages` long, if the pages behind it allow that. Shrinking always succeeds.
    pub(crate) fn resize_run(self, run: Run, pages: usize) -> bool {
        let end = run.first_page() + run.pages();
        let new_end = run.first_page() + pages;
        if new_end > PAGES_PER_BLOCK {
            return false;
        }
        let free = self.free.get();
        if new_end > end {
            let behind = Bitmap::run(end, new_end - end);
            if !free.contains_all(behind) {
                return false;
            }
            self.free.set(free.without(behind));
            self.touch(behind);
        } else if new_end < end {
            self.free
                .set(free.with(Bitmap::run(new_end, end - new_end)));
        }
        run.set_pages(pages);
        true
    }

    /// Notes that the pages of `range` may hold anything from now on. Returns whether all of them were zero till now.
    fn touch(self, range: Bitmap) -> bool {
        let touched = self.touched.get();
        self.touched.set(touched.with(range));
        touched.without(range) == touched
    }

    /// Returns whether there is no run.
    pub(crate) fn has_no_runs(self) -> bool {
        self.leads.get().is_empty()
    }

    /// Returns the last run that begins at page `page` (0..=63) or before it, and how many pages before. It may end before that
    /// page, too.
    #[inline(always)]
    pub(crate) fn run_before(self, page: usize) -> Option<(Run, usize)> {
        let distance = self.leads.get().distance_from(PAGES_PER_BLOCK - 1 - page)?;
        // SAFETY: `leads` names the pages whose descriptors `open_run` has written and `close_run` has not voided. (To a visitor, who has
        // not entered the chain, it may be an older word: the descriptor was written all the same, and the header stays.)
        let run = unsafe { Run::from_descriptor(self.descriptor(page - distance)) };
        Some((run, distance))
    }

    /// Returns the run that `page` belongs to, or `None` for the header, for free pages and for those that are not there.
    pub(crate) fn run_around(self, page: usize) -> Option<Run> {
        let (run, distance) = self.run_before(page)?;
        (distance < run.pages()).then_some(run)
    }

    /// Returns the block's runs, lowest first. Cost: the number of runs, at most 63.
    pub(crate) fn runs(self) -> impl Iterator<Item = Run> {
        self.runs_from(0)
    }

    /// Returns the runs that begin at page `first` or behind it, lowest first.
    pub(crate) fn runs_from(self, first: usize) -> impl Iterator<Item = Run> {
        (first..PAGES_PER_BLOCK)
            .filter(move |page| self.leads.get().contains_all(mirrored(*page)))
            .filter_map(move |page| self.run_around(page))
    }

    /// Returns where the descriptor of page `page` (0..=63) stands.
    #[inline]
    fn descriptor(self, page: usize) -> NonNull<RunInfo> {
        debug_assert!(page < PAGES_PER_BLOCK, "a block has 64 pages");
        // SAFETY: 64 descriptors of 64 bytes are the header's page, which the pointer is valid for.
        unsafe { self.0.byte_add(page * DESCRIPTOR_SIZE) }.cast()
    }

    /// Returns the first byte of page `page`, which is there.
    #[inline]
    fn page(self, page: usize) -> NonNull<u8> {
        debug_assert!(self.has_page(page), "a page that is there");
        let offset = (page - self.header_page()) * PAGE_SIZE;
        // SAFETY: the page is not before the header's and before `end`, so the pointer is valid for it (invariant).
        unsafe { self.0.byte_add(offset) }.cast()
    }
}

/// Returns page `page` alone as a set of leads.
const fn mirrored(page: usize) -> Bitmap {
    Bitmap::single(PAGES_PER_BLOCK - 1 - page)
}

/// Returns a number of pages of a block, at most 64, in a byte.
#[inline]
fn narrow(pages: usize) -> u8 {
    debug_assert!(pages <= PAGES_PER_BLOCK, "a block has 64 pages");
    #[expect(clippy::cast_possible_truncation, reason = "a block has 64 pages")]
    {
        pages as u8
    }
}

impl Deref for Block {
    type Target = BlockInfo;

    fn deref(&self) -> &BlockInfo {
        // SAFETY: initialised and valid (invariant); only shared references to it exist, and its fields are cells, of which visitors read
        // the published ones alone.
        unsafe { self.0.as_ref() }
    }
}

impl Linked for Block {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl TrieNode for Block {
    /// The block's number, lowest bit first: neighbouring blocks, which share their high bits, then part at once.
    fn key(&self) -> u64 {
        block_key(self.address())
    }

    fn children(&self) -> &Children<Self> {
        &self.children
    }
}

/// Returns the key of the block at `address`.
pub(crate) const fn block_key(address: usize) -> u64 {
    ((address / BLOCK_SIZE) as u64).reverse_bits()
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({:#x})", self.address())
    }
}
