//! Which object an address and a layout mean, and what is wrong where they mean none.
//!
//! Owns the look-up that every free begins with, and the description of a wrong one. Reads headers and records alone,
//! never what the address points to; changes nothing. Cost: constant, for regions the steps along the tree of
//! addresses.
#![forbid(unsafe_code)]

use core::alloc::Layout;

use crate::block::{Block, Run, RunKind, StackKind};
use crate::factory_chain::FactoryChain;
use crate::misuse::{Misuse, MisuseKind, Object};
use crate::page_runs::run_around;
use crate::regions::Region;
use crate::size_class::{ClassIndex, Placement, placement};
use crate::units::{PAGE_SIZE, page_in_block};

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

impl FactoryChain {
    /// Finds the object at `address`, as far as its layout, its place and its run say. A chunk may still be free.
    #[inline]
    pub(crate) fn locate(&self, address: usize, layout: Layout) -> Result<Located, Misuse> {
        let Some(block) = self.runs.find(address) else {
            return self.locate_region(address, layout);
        };
        if let Some(run) = run_around(block, address) {
            let offset = address - run.start().addr().get();
            match (run.kind, placement(layout)) {
                (RunKind::Stacks(StackKind::Class(class)), Placement::Chunk(asked))
                    if class == asked =>
                {
                    if let Some(chunk) = class.class().chunk_at(offset) {
                        if chunk < run.capacity() {
                            return Ok(Located::Chunk { run, class, chunk });
                        }
                    }
                }
                (RunKind::Whole, Placement::Run { pages, align })
                    if offset == 0
                        && pages == run.pages()
                        && address % (align * PAGE_SIZE) == 0 =>
                {
                    return Ok(Located::Whole(run));
                }
                _ => {}
            }
        }
        Err(self.describe(address, layout))
    }

    /// Finds the region at `address`.
    #[cold]
    fn locate_region(&self, address: usize, layout: Layout) -> Result<Located, Misuse> {
        // A run may have come as a region, when the source had no whole block left.
        let size_asked = match placement(layout) {
            Placement::Region { size, .. } => size,
            Placement::Run { pages, .. } => pages * PAGE_SIZE,
            _ => 0,
        };
        match self.regions.find_around(address) {
            Some(region)
                if region.start.addr().get() == address
                    && region.size == size_asked
                    && address % layout.align() == 0 =>
            {
                Ok(Located::Region(region))
            }
            _ => Err(self.describe(address, layout)),
        }
    }

    /// Says what is wrong with giving back `address` with `layout`, which was found not to be a live object.
    #[cold]
    pub(crate) fn describe(&self, address: usize, layout: Layout) -> Misuse {
        let (kind, object) = match self.runs.find(address) {
            Some(block) => self.describe_in_block(block, address, layout),
            None => match self.regions.find_around(address) {
                Some(region) => {
                    let object = Object {
                        address: region.start.addr().get(),
                        size: region.size,
                    };
                    (kind_of_mismatch(object, address, layout), Some(object))
                }
                None if address == 0 => (MisuseKind::Null, None),
                None => (MisuseKind::Foreign, None),
            },
        };
        Misuse {
            kind,
            address,
            layout,
            object,
        }
    }

    /// Says what is wrong with giving back `address`, which lies in `block`, with `layout`.
    fn describe_in_block(
        &self,
        block: Block,
        address: usize,
        layout: Layout,
    ) -> (MisuseKind, Option<Object>) {
        let page = page_in_block(address);
        let Some(run) = run_around(block, address) else {
            let kind = if page == 0 {
                MisuseKind::Foreign
            } else {
                MisuseKind::DoubleFree
            };
            return (kind, None);
        };
        let start = run.start().addr().get();
        let class = match run.kind {
            RunKind::Stacks(StackKind::Class(class)) => class,
            RunKind::Stacks(StackKind::Records) => return (MisuseKind::Foreign, None),
            RunKind::Whole => {
                let object = Object {
                    address: start,
                    size: run.pages() * PAGE_SIZE,
                };
                return (kind_of_mismatch(object, address, layout), Some(object));
            }
        };
        let size = class.class().chunk_size as usize;
        let chunk = class.class().chunk_around(address - start);
        if chunk >= run.capacity() {
            return (MisuseKind::Foreign, None);
        }
        let object = Object {
            address: start + chunk * size,
            size,
        };
        if run.stacks.is_free(chunk) {
            return (MisuseKind::DoubleFree, Some(object));
        }
        (kind_of_mismatch(object, address, layout), Some(object))
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
        Ok(Placement::Chunk(class)) => class.class().chunk_size as usize == object.size,
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
