//! The source that a shard's chain sees: the part that all shards share, and through it the user's source.
//!
//! Owns what one entry into a chain leaves behind: new blocks to be opened when the chain has written their headers. A chain gets
//! its blocks as parts, without the page of the [record](crate::sharded::record), so it needs to know nothing of other CPUs.

use core::cell::Cell;
use core::ptr::NonNull;

use lock_api::RawMutex;

use crate::factory_chain::FactoryChain;
use crate::memory_source::MemorySource;
use crate::sharded::central::Central;
use crate::sharded::record::{BlockList, BlockRecord};
use crate::sharded::visitors::Visitors;

/// The source of one shard, while it is entered.
pub(crate) struct ShardSource<'a, S, R> {
    /// What all shards share.
    pub(crate) central: &'a Central<S, R>,
    /// Whose visits are waited for.
    pub(crate) visitors: Visitors<'a, R>,
    /// Whether the caller may wait for the lock of the shared part.
    pub(crate) may_wait: bool,
    /// Whether the caller may use the reserve.
    pub(crate) is_urgent: bool,
    /// Blocks that are new.
    new: Cell<BlockList>,
    /// Blocks that shall go, but not now.
    put_aside: Cell<BlockList>,
    /// Whether the memory handed out last is zero.
    is_zeroed: Cell<bool>,
}

impl<'a, S: MemorySource, R: RawMutex> ShardSource<'a, S, R> {
    /// Creates the source of a shard that has put `put_aside` aside.
    pub(crate) fn new(
        central: &'a Central<S, R>,
        visitors: Visitors<'a, R>,
        (may_wait, is_urgent): (bool, bool),
        put_aside: BlockList,
    ) -> Self {
        Self {
            central,
            visitors,
            may_wait,
            is_urgent,
            new: Cell::default(),
            put_aside: Cell::new(put_aside),
            is_zeroed: Cell::new(false),
        }
    }

    /// Opens the new blocks to everybody, as those of shard `owner`, as far as `chain` has them, and lets go those that were put
    /// aside, if that may be. Returns those that shall go when somebody may wait.
    pub(crate) fn finish(self, owner: usize, chain: &FactoryChain) -> BlockList {
        let mut new = self.new.take();
        while let Some(block) = new.pop() {
            if chain.holdings.runs.find(block.window()).is_some() {
                block.set_owner(owner);
            } else {
                self.central.refuse(block);
            }
        }
        let mut put_aside = self.put_aside.take();
        if self.may_wait {
            while let Some(block) = put_aside.pop() {
                self.central.let_go(block, self.visitors);
            }
        }
        put_aside
    }

    /// Notes a block in one of the lists.
    fn note(list: &Cell<BlockList>, block: BlockRecord) {
        let mut blocks = list.take();
        blocks.push(block);
        list.set(blocks);
    }

    /// Takes `block` out of the new ones, if it is one.
    fn forget_new(&self, block: BlockRecord) {
        let mut rest = self.new.take();
        let mut others = BlockList::new();
        while let Some(other) = rest.pop() {
            if other != block {
                others.push(other);
            }
        }
        self.new.set(others);
    }
}

// SAFETY: memory is passed on from the user's source, which promises the same, less the page of the record; the chain is its
// only user. A block out of the pool is the heap's own, and nobody's.
unsafe impl<S: MemorySource, R: RawMutex> MemorySource for ShardSource<'_, S, R> {
    fn get_block(&self) -> Option<NonNull<u8>> {
        // A block without its record is a part.
        None
    }

    unsafe fn release_block(&self, _block: NonNull<u8>) {
        debug_assert!(false, "a chain has parts alone");
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        if !self.may_wait {
            return None;
        }
        let (block, is_zeroed) =
            self.central
                .get(least, self.is_urgent, is_usable, self.visitors)?;
        self.is_zeroed.set(is_zeroed);
        Self::note(&self.new, block);
        Some(block.for_chain())
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        // SAFETY: the chain gives back what `get_part` handed out.
        let block = unsafe { BlockRecord::before(part.cast()) };
        self.forget_new(block);
        if self.may_wait {
            self.central.let_go(block, self.visitors);
        } else {
            Self::note(&self.put_aside, block);
        }
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        if !self.may_wait {
            return None;
        }
        let mut writer = self.central.write();
        let region = self.central.source.get_region(size, align)?;
        if !self
            .central
            .accepts_region(&mut writer, region, size, align)
        {
            return None;
        }
        writer.held.add(size);
        self.is_zeroed.set(self.central.source.is_zeroed(region));
        Some(region)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let mut writer = self.central.write();
        writer.held.remove(size);
        // SAFETY: the caller's promise: it came from the same source by `get_region`.
        unsafe { self.central.source.release_region(region, size) };
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        if !self.may_wait {
            return false;
        }
        let mut writer = self.central.write();
        // SAFETY: the caller's promise.
        let is_resized = unsafe { self.central.source.resize_region(region, size, new_size) };
        if is_resized {
            writer.held.remove(size);
            writer.held.add(new_size);
        }
        is_resized
    }

    fn is_zeroed(&self, _memory: NonNull<u8>) -> bool {
        self.is_zeroed.get()
    }

    fn largest_region(&self) -> usize {
        let _writer = self.central.write();
        self.central.source.largest_region()
    }
}
