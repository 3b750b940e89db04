//! A run of pages, and the stacks that it carries.
//!
//! Owns a run's descriptor: which of its chunks are taken, how many there are, and where they begin. With [`crate::block`],
//! whose headers descriptors lie in, this is the one file that turns numbers of pages and chunks into pointers. Refuses to
//! know which other runs its block has.
//!
//! A descriptor is 64 bytes, a cache line: all that a chunk's way out or back touches beside its list.
//!
//! Cost: constant.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::bitmap::Bitmap;
use crate::bitmapped_stack::{NotTaken, StackGroup};
use crate::list::{Linked, Links};
use crate::published::{PublishedBitmap, PublishedByte};
use crate::size_class::{ClassIndex, STACKS_PER_RUN};
use crate::units::{CHUNKS_PER_STACK, PAGE_SIZE};

/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR_SIZE: usize = 64;

const _: () = assert!(
    size_of::<RunInfo>() <= DESCRIPTOR_SIZE && align_of::<RunInfo>() <= DESCRIPTOR_SIZE,
    "a page's descriptor has 64 bytes"
);

/// What a run of pages is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Stacks of chunks, of the list with this number.
    Stacks(ClassIndex),
    /// One allocation.
    Whole,
}

impl RunKind {
    /// Returns the kind in a byte.
    #[inline(always)]
    const fn code(self) -> u8 {
        match self {
            Self::Stacks(class) => class.code(),
            Self::Whole => 0,
        }
    }

    /// Returns the kind that a byte stands for.
    #[inline(always)]
    const fn of_code(code: u8) -> Self {
        match ClassIndex::of_code(code) {
            Some(class) => Self::Stacks(class),
            None => Self::Whole,
        }
    }
}

/// What a run of pages knows of itself.
///
/// A sharded heap's other CPUs may read the published fields at any time, also while the descriptor is written anew.
#[derive(Debug)]
pub(crate) struct RunInfo {
    /// The stacks; in a run of kind `Whole` anything.
    pub(crate) stacks: StackGroup,
    /// The first byte.
    start: Cell<NonNull<u8>>,
    /// Neighbours in the list of stacks with room.
    links: Links<Run>,
    /// Chunks there are.
    capacity: Cell<u16>,
    /// Chunks taken.
    used: Cell<u16>,
    /// Chunks from this one on have never come back since their pages came as zeros: those that are free were never handed
    /// out. In a run of kind `Whole`, 0 says that all of it is zero. [`NEVER_ZERO`] otherwise.
    zero_from: Cell<u16>,
    /// Length in pages.
    pages: PublishedByte,
    /// What the pages are used for, as [`RunKind::code`] writes it.
    kind: PublishedByte,
}

/// No chunk of a run has this number.
const NEVER_ZERO: u16 = u16::MAX;

/// A chunk, run or region for the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// The first byte.
    pub(crate) start: NonNull<u8>,
    /// Every byte is known to be 0.
    pub(crate) is_zeroed: bool,
}

/// What a run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The chunk.
    pub(crate) chunk: Memory,
    /// The run.
    pub(crate) run: Run,
    /// No other chunk of the run is taken.
    pub(crate) is_first: bool,
    /// No other chunk of the run is free.
    pub(crate) is_last: bool,
}

/// What a chunk that came back made of its run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBack {
    /// No other chunk of the run is free.
    pub(crate) was_full: bool,
    /// No other chunk of the run is taken.
    pub(crate) is_empty: bool,
}

/// A run of pages that the heap has in use.
///
/// # Invariants
///
/// The pointer is that of an initialised descriptor in the header of a [`Block`](crate::block::Block), and carries the
/// provenance of all of that block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run(NonNull<RunInfo>);

impl Run {
    /// Writes the descriptor of a run of `pages` pages from `start` on, with as many chunks as they hold.
    ///
    /// # Safety
    ///
    /// `place` is that of a descriptor in the header of a block, initialised with zeros or a descriptor, valid for reads and
    /// writes and with provenance for all of the block; no handle of it is in use but those of visitors, who read published fields alone. The
    /// pages are the block's, and used by nobody else as long as any copy of the handle is in use. They are zero if `is_zeroed`.
    pub(crate) unsafe fn install(
        place: NonNull<RunInfo>,
        start: NonNull<u8>,
        pages: usize,
        kind: RunKind,
        is_zeroed: bool,
    ) -> Self {
        let info = place.as_ptr();
        let mut chunks = 0;
        if let RunKind::Stacks(class) = kind {
            chunks = class.class().chunks_in(pages);
            let group = StackGroup::new(chunks);
            for number in 0..STACKS_PER_RUN {
                #[expect(
                    clippy::multiple_unsafe_ops_per_block,
                    reason = "the place of a word, and the word"
                )]
                // SAFETY: the descriptor is the caller's to write; a group is four words (`repr(transparent)`).
                unsafe {
                    let words = (&raw mut (*info).stacks).cast::<PublishedBitmap>();
                    PublishedBitmap::publish(words.add(number), group.free(number));
                }
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a group holds at most 256 chunks, a block 64 pages"
        )]
        let (capacity, length) = (chunks as u16, pages as u8);
        #[expect(
            clippy::multiple_unsafe_ops_per_block,
            reason = "one argument serves all fields"
        )]
        // SAFETY: the descriptor is the caller's to write. What others may read are atomics, and written as such.
        unsafe {
            PublishedByte::publish(&raw mut (*info).pages, length);
            PublishedByte::publish(&raw mut (*info).kind, kind.code());
            (&raw mut (*info).capacity).write(Cell::new(capacity));
            (&raw mut (*info).start).write(Cell::new(start));
            (&raw mut (*info).links).write(Links::default());
            (&raw mut (*info).used).write(Cell::new(0));
            (&raw mut (*info).zero_from).write(Cell::new(if is_zeroed { 0 } else { NEVER_ZERO }));
        }
        // INVARIANT: just initialised; the rest is the caller's promise.
        Self(place)
    }

    /// Returns the run whose descriptor this is.
    ///
    /// # Safety
    ///
    /// It was written by [`install`](Self::install), and the run is not closed.
    #[inline(always)]
    pub(crate) const unsafe fn from_descriptor(descriptor: NonNull<RunInfo>) -> Self {
        Self(descriptor)
    }

    /// Returns the pointer to the descriptor, which is good for all of the block.
    #[inline]
    pub(crate) const fn descriptor(self) -> NonNull<RunInfo> {
        self.0
    }

    /// Returns the number of the run's first page, 1..=63.
    #[inline]
    pub(crate) fn first_page(self) -> usize {
        self.0.addr().get() % PAGE_SIZE / DESCRIPTOR_SIZE
    }

    /// Returns the first byte of the run.
    #[inline]
    pub(crate) fn start(self) -> NonNull<u8> {
        self.start.get()
    }

    /// Returns the address of the run.
    #[inline]
    pub(crate) fn address(self) -> usize {
        self.start.get().addr().get()
    }

    /// Returns what the pages are used for.
    #[inline(always)]
    pub(crate) fn kind(self) -> RunKind {
        RunKind::of_code(self.kind.get())
    }

    /// Returns the length in pages.
    #[inline]
    pub(crate) fn pages(self) -> usize {
        self.pages.get().into()
    }

    /// Notes the length in pages.
    #[expect(clippy::cast_possible_truncation, reason = "a block has 64 pages")]
    pub(crate) fn set_pages(self, pages: usize) {
        self.pages.set(pages as u8);
    }

    /// Returns how many chunks there are.
    #[inline]
    pub(crate) fn capacity(self) -> usize {
        self.capacity.get().into()
    }

    /// Returns how many stacks of up to 64 chunks there are.
    pub(crate) fn stack_count(self) -> usize {
        self.capacity().div_ceil(CHUNKS_PER_STACK)
    }

    /// Returns how many chunks are taken.
    #[inline]
    pub(crate) fn used(self) -> usize {
        self.used.get().into()
    }

    /// Returns whether every chunk is taken.
    pub(crate) fn is_full(self) -> bool {
        self.used.get() == self.capacity.get()
    }

    /// Returns whether all of the run, which is one allocation, is zero. Asked once, before it is handed out.
    pub(crate) fn is_zeroed(self) -> bool {
        self.zero_from.get() == 0
    }

    /// Returns the first byte of chunk `chunk` of `chunk_size` bytes.
    #[inline]
    pub(crate) fn chunk(self, chunk: usize, chunk_size: usize) -> NonNull<u8> {
        debug_assert!(
            chunk < self.capacity() && (chunk + 1) * chunk_size <= self.pages() * PAGE_SIZE,
            "in the run"
        );
        // SAFETY: the callers give a chunk below the capacity and the size of the run's class; so many chunks of that size are
        // in its pages (`install`), so the chunk lies in the run, in its block.
        unsafe { self.start().add(chunk * chunk_size) }
    }

    /// Takes the lowest free chunk, of `chunk_size` bytes.
    #[inline(always)]
    pub(crate) fn take_chunk(self, chunk_size: usize) -> Option<Taken> {
        let chunk = self.stacks.take()?;
        let used = self.used.get() + 1;
        self.used.set(used);
        Some(Taken {
            chunk: Memory {
                start: self.chunk(chunk, chunk_size),
                is_zeroed: chunk >= usize::from(self.zero_from.get()),
            },
            run: self,
            is_first: used == 1,
            is_last: used == self.capacity.get(),
        })
    }

    /// Takes `chunk` back.
    ///
    /// # Errors
    ///
    /// [`NotTaken`], with nothing changed, when it is free already.
    #[inline(always)]
    pub(crate) fn put_chunk(self, chunk: usize) -> Result<PutBack, NotTaken> {
        self.stacks.put(chunk)?;
        let used = self.used.get() - 1;
        self.used.set(used);
        if chunk >= usize::from(self.zero_from.get()) {
            self.not_zero_below(chunk + 1);
        }
        Ok(PutBack {
            was_full: used + 1 == self.capacity.get(),
            is_empty: used == 0,
        })
    }

    /// Takes `chunks` of stack `stack` back, at least one, all of which are taken.
    pub(crate) fn put_chunks(self, stack: usize, chunks: Bitmap) -> PutBack {
        #[expect(clippy::cast_possible_truncation, reason = "a word has 64 bits")]
        let count = chunks.len() as u16;
        let highest = stack * CHUNKS_PER_STACK + chunks.height();
        let used = self.used.get();
        let left = used - count;
        self.stacks.put_all(stack, chunks);
        self.used.set(left);
        if highest > usize::from(self.zero_from.get()) {
            self.not_zero_below(highest);
        }
        PutBack {
            was_full: used == self.capacity.get(),
            is_empty: left == 0,
        }
    }

    /// Notes that chunks below `chunk` may hold anything.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a group holds at most 256 chunks"
    )]
    fn not_zero_below(self, chunk: usize) {
        self.zero_from.set(chunk as u16);
    }
}

impl Deref for Run {
    type Target = RunInfo;

    fn deref(&self) -> &RunInfo {
        // SAFETY: initialised and valid (invariant); only shared references to it exist, and its fields are cells, of which visitors read
        // the published ones alone.
        unsafe { self.0.as_ref() }
    }
}

impl Linked for Run {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({:#x})", self.0.addr())
    }
}
