//! Which object of any shard's an address and a layout mean.
//!
//! Owns the look-up that a free of somebody else's object begins with. It is made on a [visit](crate::sharded::visits), without a
//! lock, while the owner works on. For an object that is live, what is read was written before the pointer was handed out, and
//! stands still. For any other pointer it may be anything that stood there at some time: so whatever is found is checked against
//! the tree's words, which decide, and what is not found is described at leisure, behind the owner's lock.
#![forbid(unsafe_code)]

use core::alloc::Layout;

use lock_api::RawMutex;

use crate::block::Block;
use crate::memory_source::MemorySource;
use crate::regions::Region;
use crate::run::{Run, RunKind};
use crate::sharded::central::Central;
use crate::sharded::record::BlockRecord;
use crate::sharded::visits::Visit;
use crate::size_class::{ClassIndex, Placement, STACKS_PER_RUN, placement};
use crate::sync::show_to_model;
use crate::units::{CHUNKS_PER_STACK, PAGE_SIZE, block_base, page_in_block};

/// The most chunks of a run.
const MOST_CHUNKS: usize = STACKS_PER_RUN * CHUNKS_PER_STACK;

/// An object that some shard has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// Chunk number `chunk` of `run`, which holds chunks of `class`; or, without a class, a run that is one allocation, as
    /// chunk 0.
    InBlock {
        /// Its block.
        block: BlockRecord,
        /// Its run.
        run: Run,
        /// The run's class.
        class: Option<ClassIndex>,
        /// The chunk's number.
        chunk: usize,
    },
    /// A region.
    Region(Region),
}

impl<S: MemorySource, R: RawMutex> Central<S, R> {
    /// Finds the object at `address`, as far as its layout and its place say. A chunk may be free.
    pub(crate) fn find(&self, address: usize, layout: Layout, visit: &Visit<'_>) -> Option<Found> {
        match placement(layout) {
            Placement::Chunk(class) => self.find_chunk(address, class, visit),
            Placement::Run { pages, align } => self
                .find_run(address, pages, align, visit)
                .or_else(|| self.find_region(address, pages * PAGE_SIZE, align * PAGE_SIZE, visit)),
            Placement::Region { size, align } => self.find_region(address, size, align, visit),
            Placement::Refused => None,
        }
    }

    /// Finds the block in whose window `address` lies, if a shard has one.
    #[inline]
    pub(crate) fn find_block(
        &self,
        address: usize,
        visit: &Visit<'_>,
    ) -> Option<(BlockRecord, Block)> {
        let mut entries = self.blocks.entries(address, visit);
        let record = entries.find(|record| record.window() == block_base(address))?;
        show_to_model(address);
        Some((record, record.block()?))
    }

    /// Finds the chunk of `class` that begins at `address`.
    #[inline]
    fn find_chunk(&self, address: usize, class: ClassIndex, visit: &Visit<'_>) -> Option<Found> {
        let (block, header) = self.find_block(address, visit)?;
        let (run, pages_before) = header.run_before(page_in_block(address))?;
        if run.kind() != RunKind::Stacks(class) {
            return None;
        }
        let offset = pages_before * PAGE_SIZE + address % PAGE_SIZE;
        let chunk = class.class().chunk_at(offset)?;
        // Of a pointer that is stale, kind and pages may be those of two runs.
        let chunks = (class.class().chunks_in(run.pages())).min(MOST_CHUNKS);
        (chunk < chunks).then_some(Found::InBlock {
            block,
            run,
            class: Some(class),
            chunk,
        })
    }

    /// Finds the run of `pages` pages, aligned to `align` pages, that begins at `address` and is one allocation.
    fn find_run(
        &self,
        address: usize,
        pages: usize,
        align: usize,
        visit: &Visit<'_>,
    ) -> Option<Found> {
        let (block, header) = self.find_block(address, visit)?;
        let (run, pages_before) = header.run_before(page_in_block(address))?;
        let is_it = run.kind() == RunKind::Whole
            && pages_before == 0
            && run.pages() == pages
            && address % (align * PAGE_SIZE) == 0;
        is_it.then_some(Found::InBlock {
            block,
            run,
            class: None,
            chunk: 0,
        })
    }

    /// Finds the region of `size` bytes, aligned to `align`, that begins at `address`.
    fn find_region(
        &self,
        address: usize,
        size: usize,
        align: usize,
        visit: &Visit<'_>,
    ) -> Option<Found> {
        let mut entries = self.regions.entries(address, visit);
        let region = entries.find(|region| region.address() == address)?;
        (region.size() == size && address % align == 0).then_some(Found::Region(region))
    }
}
