//! A block's memory: its header, and the runs of pages that it is divided into.
//!
//! Owns where things are: this is the one file that turns numbers of pages and chunks into pointers. Knows
//! nothing of lists' order, classes' sizes or sources.
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
//!   leads  = …000…00110     bit n: a run begins at page n, and descriptor n describes it
//! ```
//!
//! The descriptor of page `n` stands `64 * n` bytes into the header; only those of `leads` are ever read. The run that
//! any page belongs to is the one of the highest lead at or below it: one count of leading zeros, so a run of 63 pages
//! costs as little to open and close as a run of one.
//!
//! Nothing of the heap is written into a chunk or a run of the user's, free or taken. (The records of regions have stacks
//! of their own, in pages that may have been a user's before.)
//!
//! # Handles
//!
//! [`Block`] and [`Run`] are pointers with a promise, made in [`Block::install`] and [`Block::open_run`], which are
//! `unsafe` or reachable only through it. Their fields are `Cell`s: the heap is entered by one context at a time
//! (layer 4), and a handle never leaves the crate.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::bitmap::Bitmap;
use crate::bitmapped_stack::StackGroup;
use crate::list::{Linked, Links};
use crate::size_class::{ClassIndex, SizeClass};
use crate::trie::{Children, TrieNode};
use crate::units::{BLOCK_SIZE, LONGEST_RUN_PAGES, PAGE_SIZE, PAGES_PER_BLOCK, block_base};

/// Bytes of a block's header for each page, and of the block's own part.
const DESCRIPTOR_SIZE: usize = PAGE_SIZE / PAGES_PER_BLOCK;

const _: () = assert!(
    size_of::<BlockInfo>() <= DESCRIPTOR_SIZE,
    "the block's part takes the place of descriptor 0"
);
const _: () = assert!(
    size_of::<RunInfo>() <= DESCRIPTOR_SIZE,
    "a page's descriptor has 64 bytes"
);
const _: () = assert!(
    align_of::<BlockInfo>() <= DESCRIPTOR_SIZE,
    "descriptors are aligned to 64 bytes"
);
const _: () = assert!(
    align_of::<RunInfo>() <= DESCRIPTOR_SIZE,
    "descriptors are aligned to 64 bytes"
);

/// What a block knows of itself.
#[derive(Debug)]
pub(crate) struct BlockInfo {
    /// Pages that belong to nobody.
    pub(crate) free: Cell<Bitmap>,
    /// Pages at which a run begins.
    pub(crate) leads: Cell<Bitmap>,
    /// Pages in runs that hold something of the user's.
    pub(crate) live_pages: Cell<usize>,
    /// The longest run of free pages: the number of the list that the block is in.
    pub(crate) longest: Cell<usize>,
    /// Neighbours in that list.
    links: Links<Block>,
    /// Subtrees in the directory of blocks.
    children: Children<Block>,
}

/// Whose chunks a stack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackKind {
    /// The user's, of this class.
    Class(ClassIndex),
    /// The heap's own records, which no user may free.
    Records,
}

impl StackKind {
    /// Returns the size class of the chunks.
    #[inline]
    pub(crate) const fn class(self) -> &'static SizeClass {
        match self {
            Self::Class(class) => class.class(),
            Self::Records => ClassIndex::OF_RECORDS.class(),
        }
    }
}

/// What a run of pages is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Stacks of chunks.
    Stacks(StackKind),
    /// One allocation.
    Whole,
}

/// What a run of pages knows of itself.
#[derive(Debug)]
pub(crate) struct RunInfo {
    /// The stacks, empty of chunks in a run of kind `Whole`.
    pub(crate) stacks: StackGroup,
    /// Neighbours in the list of stacks with room.
    links: Links<Run>,
    /// Chunks there are.
    capacity: u16,
    /// Chunks taken.
    used: Cell<u16>,
    /// Length in pages.
    pages: Cell<u8>,
    /// What the pages are used for.
    pub(crate) kind: RunKind,
}

/// A block that the heap holds.
///
/// # Invariants
///
/// The pointer is that of a whole block which the source handed out and did not get back yet, and it carries the
/// provenance of all of it. The block begins with an initialised [`BlockInfo`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block(NonNull<BlockInfo>);

/// A run of pages that the heap has in use.
///
/// # Invariants
///
/// The pointer is that of an initialised descriptor in the header of a [`Block`], and carries the provenance of all of
/// that block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run(NonNull<RunInfo>);

impl Block {
    /// Writes a header into `memory`, all pages free.
    ///
    /// # Safety
    ///
    /// `memory` is [`BLOCK_SIZE`] bytes aligned to as much, valid for reads and writes, with provenance for all of it,
    /// and used by nobody else as long as any copy of the handle, or of a handle made from it, is in use.
    pub(crate) unsafe fn install(memory: NonNull<u8>) -> Self {
        let info = memory.cast::<BlockInfo>();
        let header = Bitmap::range(0, 1);
        // SAFETY: the caller hands over the whole block; its alignment is larger than that of `BlockInfo`.
        unsafe {
            info.write(BlockInfo {
                free: Cell::new(Bitmap::below(PAGES_PER_BLOCK).without(header)),
                leads: Cell::new(Bitmap::EMPTY),
                live_pages: Cell::new(0),
                longest: Cell::new(LONGEST_RUN_PAGES),
                links: Links::default(),
                children: Children::default(),
            });
        }
        // INVARIANT: the caller's promise, and the header just written.
        Self(info)
    }

    /// Returns the first byte of the block.
    pub(crate) const fn start(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the address of the block.
    pub(crate) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Opens a run over the free pages `first..first + pages`, with `chunks` chunks.
    pub(crate) fn open_run(self, first: usize, pages: usize, kind: RunKind, chunks: usize) -> Run {
        let range = Bitmap::range(first, pages);
        debug_assert!(
            first > 0 && self.free.get().contains_all(range),
            "a run is made of free pages"
        );
        let run = self.descriptor(first);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a group holds at most 256 chunks, a block 64 pages"
        )]
        let info = RunInfo {
            stacks: StackGroup::new(chunks),
            links: Links::default(),
            capacity: chunks as u16,
            used: Cell::new(0),
            pages: Cell::new(pages as u8),
            kind,
        };
        // SAFETY: `first` is 1..=63, so the descriptor lies in the header behind `BlockInfo`, which the heap owns, and
        // it is aligned to 64 bytes. No handle of it is in use: its page was free.
        unsafe { run.write(info) };
        self.free.set(self.free.get().without(range));
        self.leads
            .set(self.leads.get().with(Bitmap::range(first, 1)));
        // INVARIANT: just initialised; the pointer came from the block's own.
        Run(run)
    }

    /// Returns the run that `page` belongs to, or `None` for the header and for free pages.
    #[inline]
    pub(crate) fn run_around(self, page: usize) -> Option<Run> {
        if self.free.get().contains(page) {
            return None;
        }
        let lead = self.leads.get().highest_up_to(page)?;
        // INVARIANT: `leads` names the pages whose descriptors `open_run` has written.
        Some(Run(self.descriptor(lead)))
    }

    /// Returns the block's runs, lowest first. Cost: the number of runs, at most 63.
    pub(crate) fn runs(self) -> impl Iterator<Item = Run> {
        (1..PAGES_PER_BLOCK)
            .filter(move |page| self.leads.get().contains(*page))
            .filter_map(move |page| self.run_around(page))
    }

    /// Returns where the descriptor of page `page` (0..=63) stands.
    fn descriptor(self, page: usize) -> NonNull<RunInfo> {
        debug_assert!(page < PAGES_PER_BLOCK, "a block has 64 pages");
        // SAFETY: 64 descriptors of 64 bytes are the first page of the block, which the pointer is valid for.
        unsafe { self.start().add(page * DESCRIPTOR_SIZE) }.cast()
    }
}

impl Run {
    /// Returns the block that the run lies in.
    pub(crate) fn block(self) -> Block {
        // INVARIANT: a descriptor lies in the first page of its block, and the pointer is valid for all of that.
        Block(
            self.0
                .map_addr(|address| {
                    // A block's address is not 0: it is that of valid memory.
                    core::num::NonZeroUsize::new(block_base(address.get())).unwrap_or(address)
                })
                .cast(),
        )
    }

    /// Returns the number of the run's first page, 1..=63.
    pub(crate) fn first_page(self) -> usize {
        self.0.addr().get() % BLOCK_SIZE / DESCRIPTOR_SIZE
    }

    /// Returns the first byte of the run.
    #[inline]
    pub(crate) fn start(self) -> NonNull<u8> {
        // SAFETY: the page number is below 64, so the result lies in the block, which the pointer is valid for.
        unsafe { self.block().start().add(self.first_page() * PAGE_SIZE) }
    }

    /// Returns the length in pages.
    pub(crate) fn pages(self) -> usize {
        self.pages.get().into()
    }

    /// Returns how many chunks there are.
    pub(crate) fn capacity(self) -> usize {
        self.capacity.into()
    }

    /// Returns how many chunks are taken.
    pub(crate) fn used(self) -> usize {
        self.used.get().into()
    }

    /// Returns whether every chunk is taken.
    pub(crate) fn is_full(self) -> bool {
        self.used.get() == self.capacity
    }

    /// Returns the first byte of chunk `chunk` of `chunk_size` bytes.
    #[inline]
    fn chunk(self, chunk: usize, chunk_size: usize) -> NonNull<u8> {
        debug_assert!(
            chunk < self.capacity() && (chunk + 1) * chunk_size <= self.pages() * PAGE_SIZE,
            "in the run"
        );
        // SAFETY: the run has `capacity` chunks by construction, so the chunk lies in the run's pages, in its block.
        unsafe { self.start().add(chunk * chunk_size) }
    }

    /// Takes the lowest free chunk, of `chunk_size` bytes.
    #[inline]
    pub(crate) fn take_chunk(self, chunk_size: usize) -> Option<NonNull<u8>> {
        let chunk = self.stacks.take()?;
        self.used.set(self.used.get() + 1);
        Some(self.chunk(chunk, chunk_size))
    }

    /// Takes `chunk` back.
    ///
    /// # Errors
    ///
    /// [`NotTaken`](crate::bitmapped_stack::NotTaken), with nothing changed, when it is free already.
    #[inline]
    pub(crate) fn put_chunk(self, chunk: usize) -> Result<(), crate::bitmapped_stack::NotTaken> {
        self.stacks.put(chunk)?;
        self.used.set(self.used.get() - 1);
        Ok(())
    }

    /// Gives all pages back to the block. Every handle of this run is void afterwards.
    pub(crate) fn close(self) {
        let block = self.block();
        let first = self.first_page();
        block
            .leads
            .set(block.leads.get().without(Bitmap::range(first, 1)));
        block
            .free
            .set(block.free.get().with(Bitmap::range(first, self.pages())));
    }

    /// Makes the run `pages` long, if the pages behind it allow that. Shrinking always succeeds.
    pub(crate) fn resize(self, pages: usize) -> bool {
        let block = self.block();
        let end = self.first_page() + self.pages();
        let new_end = self.first_page() + pages;
        if new_end > PAGES_PER_BLOCK {
            return false;
        }
        let free = block.free.get();
        if new_end > end {
            let behind = Bitmap::range(end, new_end - end);
            if !free.contains_all(behind) {
                return false;
            }
            block.free.set(free.without(behind));
        } else {
            block
                .free
                .set(free.with(Bitmap::range(new_end, end - new_end)));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a block has 64 pages")]
        self.pages.set(pages as u8);
        true
    }
}

impl Deref for Block {
    type Target = BlockInfo;

    fn deref(&self) -> &BlockInfo {
        // SAFETY: initialised and valid (invariant); only shared references to it exist, and its fields are cells.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for Run {
    type Target = RunInfo;

    fn deref(&self) -> &RunInfo {
        // SAFETY: initialised and valid (invariant); only shared references to it exist, and its fields are cells.
        unsafe { self.0.as_ref() }
    }
}

impl Linked for Block {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl Linked for Run {
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

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({:#x})", self.0.addr())
    }
}
