//! Which object an address and a layout mean, what is wrong where they mean none, and what is at any address.
//!
//! Owns the look-up that every free begins with, and the description of a wrong one. Reads headers and records alone,
//! never what the address points to; changes nothing. Cost: constant, for regions the steps along the tree of
//! addresses.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::block::Block;
use crate::block_snapshot::{BlockSnapshot, PageState};
use crate::directory::Cursor;
use crate::gone_back::GoneBack;
use crate::misuse::{Misuse, MisuseKind};
use crate::page_runs::{PageRuns, run_around};
use crate::place::{Object, ObjectKind, ObjectState, Place};
use crate::quarantine::Quarantine;
use crate::regions::{LiveRegions, Region};
use crate::run::{Run, RunKind};
use crate::size_class::{ClassIndex, Placement, placement};
use crate::units::{PAGE_SIZE, PAGES_PER_BLOCK, page_in_block};

/// A live object, found by its address and layout.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Located {
    /// Chunk number `chunk` of `run`, which holds chunks of `class`.
    Chunk {
        /// The run.
        run: Run,
        /// Its class.
        class: ClassIndex,
        /// The chunk's number.
        chunk: usize,
    },
    /// A run that is one allocation.
    Whole(Run),
    /// A region.
    Region(Region),
}

impl Located {
    /// Returns the first byte, by the heap's own pointer.
    pub(crate) fn start(self) -> NonNull<u8> {
        match self {
            Self::Chunk { run, class, chunk } => run.chunk(chunk, class.class().chunk_size()),
            Self::Whole(run) => run.start(),
            Self::Region(region) => region.start,
        }
    }
}

/// What addresses are looked up in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup<'a> {
    /// Blocks and their runs.
    pub(crate) runs: &'a PageRuns,
    /// Live regions.
    pub(crate) regions: &'a LiveRegions,
    /// Chunks that were given back and are held up.
    pub(crate) quarantine: &'a Quarantine,
    /// What went back to the source last.
    pub(crate) gone: &'a GoneBack,
}

impl Lookup<'_> {
    /// Finds the object at `address`, as far as its layout, its place and its run say. A chunk may still be free, or be in
    /// quarantine.
    #[inline]
    pub(crate) fn locate(self, address: usize, layout: Layout) -> Result<Located, Misuse> {
        let located = match placement(layout) {
            Placement::Chunk(class) => (self.runs.find_chunk(address, class))
                .map(|(run, chunk)| Located::Chunk { run, class, chunk }),
            Placement::Run { pages, align } => match self.runs.find_whole(address, pages, align) {
                Some(run) => Some(Located::Whole(run)),
                // A run may have come as a region, when the source had no whole block left.
                None => self.find_region(address, pages * PAGE_SIZE, align * PAGE_SIZE),
            },
            Placement::Region { size, align } => self.find_region(address, size, align),
            Placement::Refused => None,
        };
        located.ok_or_else(|| self.describe(address, layout))
    }

    /// Finds the region of `size` bytes, aligned to `align`, that begins at `address`.
    fn find_region(self, address: usize, size: usize, align: usize) -> Option<Located> {
        let region = self.regions.find(address)?;
        (region.size() == size && address % align == 0).then_some(Located::Region(region))
    }

    /// Says what is wrong with giving back `address` with `layout`, which was found not to be a live object.
    #[cold]
    pub(crate) fn describe(self, address: usize, layout: Layout) -> Misuse {
        let place = self.place(address);
        let kind = match place {
            Place::Object { object, .. } if object.state != ObjectState::Live => {
                MisuseKind::DoubleFree
            }
            Place::Object { object, .. } => kind_of_mismatch(object, address, layout),
            Place::FreePage => MisuseKind::DoubleFree,
            Place::GoneBack { .. } => MisuseKind::GoneBack,
            _ if address == 0 => MisuseKind::Null,
            _ => MisuseKind::Foreign,
        };
        Misuse {
            kind,
            address,
            layout,
            place,
        }
    }

    /// Says what is at `address`.
    #[cold]
    pub(crate) fn place(self, address: usize) -> Place {
        let page = page_in_block(address);
        if let Some(block) = self.runs.find(address).filter(|block| block.has_page(page)) {
            return self.place_in_block(block, address);
        }
        if let Some(region) = self.regions.find_around(address) {
            return Place::Object {
                object: object_of_region(region),
                offset: address - region.address(),
            };
        }
        match self.gone.find(address) {
            Some(gone) => Place::GoneBack {
                address: gone.address,
                size: gone.size,
            },
            None => Place::Foreign,
        }
    }

    /// Says what is at `address`, which lies in a page of `block`.
    fn place_in_block(self, block: Block, address: usize) -> Place {
        let Some(run) = run_around(block, address) else {
            return if block.is_header(page_in_block(address)) {
                Place::Own
            } else {
                Place::FreePage
            };
        };
        let offset = address - run.address();
        let class = match run.kind() {
            RunKind::Stacks(class) if class != ClassIndex::RECORDS => class,
            RunKind::Stacks(_) => return Place::Own,
            RunKind::Whole => {
                return Place::Object {
                    object: object_of_run(run),
                    offset,
                };
            }
        };
        let chunk = class.class().chunk_around(offset);
        if chunk >= run.capacity() {
            return Place::Tail;
        }
        let object = self.object_of_chunk(run, class, chunk);
        Place::Object {
            object,
            offset: address - object.address,
        }
    }

    /// Describes chunk number `chunk` of `run`, which holds chunks of `class`.
    fn object_of_chunk(self, run: Run, class: ClassIndex, chunk: usize) -> Object {
        let size = class.class().chunk_size();
        let address = run.address() + chunk * size;
        let state = if run.stacks.is_free(chunk) {
            ObjectState::Free
        } else if self.quarantine.holds(address) {
            ObjectState::Quarantined
        } else {
            ObjectState::Live
        };
        Object {
            address,
            size,
            kind: ObjectKind::Chunk,
            state,
        }
    }

    /// Returns the first live object of `run` that begins at `from` or behind it. Cost: the number of its chunks, at most
    /// 256, where most of them are in quarantine; else constant.
    fn next_in_run(self, run: Run, from: usize) -> Option<Object> {
        let offset = from.saturating_sub(run.address());
        let class = match run.kind() {
            RunKind::Stacks(class) if class != ClassIndex::RECORDS => class,
            RunKind::Stacks(_) => return None,
            RunKind::Whole if offset == 0 => return Some(object_of_run(run)),
            RunKind::Whole => return None,
        };
        let mut next = offset.div_ceil(class.class().chunk_size());
        while let Some(chunk) = run.stacks.next_taken(next, run.capacity()) {
            let object = self.object_of_chunk(run, class, chunk);
            if object.state == ObjectState::Live {
                return Some(object);
            }
            next = chunk + 1;
        }
        None
    }

    /// Returns the first live object in `block` that begins at `from` or behind it.
    fn next_in_block(self, block: Block, from: usize) -> Option<Object> {
        let first = from.saturating_sub(block.address()) / PAGE_SIZE;
        // A run that begins before that page may reach behind it.
        let around = block.run_around(first);
        around
            .into_iter()
            .chain(block.runs_from(first))
            .find_map(|run| self.next_in_run(run, from))
    }

    /// Returns the first live object, chunk or run, that begins at `from` or behind it in the block around `from`, if there is
    /// such a block. Cost: the runs of a block.
    pub(crate) fn next_in_block_around(self, from: usize) -> Option<Object> {
        self.next_in_block(self.runs.find(from)?, from)
    }

    /// Looks for the next block, in service or held back, of a walk over all of them: see
    /// [`Directory::look`](crate::directory::Directory::look).
    pub(crate) fn look(self, cursor: &mut Cursor) -> Option<Block> {
        self.runs.look(cursor)
    }

    /// Draws `block`. Cost: its 64 pages.
    pub(crate) fn snapshot(self, block: Block) -> BlockSnapshot {
        let mut pages = [PageState::Absent; PAGES_PER_BLOCK];
        for (number, page) in pages.iter_mut().enumerate() {
            *page = state_of_page(block, number);
        }
        BlockSnapshot {
            address: block.address(),
            is_reserved: self.runs.reserved().any(|reserved| reserved == block),
            pages,
        }
    }

    /// Returns the first region that begins at `from` or behind it.
    pub(crate) fn next_in_regions(self, from: usize) -> Option<Object> {
        self.regions.next(from).map(object_of_region)
    }
}

/// Says what page number `page` of `block` is used for.
fn state_of_page(block: Block, page: usize) -> PageState {
    if !block.has_page(page) {
        return PageState::Absent;
    }
    if block.is_header(page) {
        return PageState::Header;
    }
    let Some(run) = block.run_around(page) else {
        return PageState::Free;
    };
    let is_first = run.first_page() == page;
    match run.kind() {
        RunKind::Whole => PageState::Run {
            pages: run.pages(),
            is_first,
        },
        RunKind::Stacks(ClassIndex::RECORDS) => PageState::Records,
        RunKind::Stacks(class) => {
            let chunk_size = class.class().chunk_size();
            PageState::Chunks {
                chunk_size,
                used: run.used(),
                total: run.capacity(),
                bytes_used: bytes_used(run, chunk_size, page - run.first_page()),
                is_first,
            }
        }
    }
}

/// Returns how many bytes of the run's page number `page` are in chunks, of `chunk_size` bytes, that are taken.
fn bytes_used(run: Run, chunk_size: usize, page: usize) -> usize {
    let (start, end) = (page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
    let (first, last) = (start / chunk_size, (end - 1) / chunk_size);
    let is_taken = |chunk: usize| chunk < run.capacity() && !run.stacks.is_free(chunk);
    let whole = run
        .stacks
        .taken_between(first, (last + 1).min(run.capacity()));
    // The first and the last of them may reach into the neighbouring pages.
    let before = usize::from(is_taken(first)) * (start - first * chunk_size);
    let behind = usize::from(is_taken(last)) * ((last + 1) * chunk_size - end);
    whole * chunk_size - before - behind
}

/// Describes a run that is one allocation.
fn object_of_run(run: Run) -> Object {
    Object {
        address: run.address(),
        size: run.pages() * PAGE_SIZE,
        kind: ObjectKind::Run,
        state: ObjectState::Live,
    }
}

/// Describes a region.
fn object_of_region(region: Region) -> Object {
    Object {
        address: region.address(),
        size: region.size(),
        kind: ObjectKind::Region,
        state: ObjectState::Live,
    }
}

/// Says how `address` and `layout` fail to be those of the live `object` that the address belongs to.
fn kind_of_mismatch(object: Object, address: usize, layout: Layout) -> MisuseKind {
    if object.address != address {
        return MisuseKind::Interior;
    }
    // If the size alone, with the least alignment, gets such an object, the alignment is at fault.
    let size_alone = Layout::from_size_align(layout.size(), 1).map(placement);
    let right_size = match size_alone {
        Ok(Placement::Chunk(class)) => class.class().chunk_size() == object.size,
        Ok(Placement::Run { pages, .. }) => pages * PAGE_SIZE == object.size,
        Ok(Placement::Region { size, .. }) => size == object.size,
        _ => false,
    };
    if right_size {
        MisuseKind::WrongAlignment
    } else {
        MisuseKind::WrongSize
    }
}
