//! Where memory comes from when a shard has none at hand.
//!
//! Owns the order in which places are tried: what others gave back to the shard; its own chain, and through that the pool and the
//! source; what other shards keep idle; what other shards have room for, and then the block in which they do is taken over; the
//! reserve or the shrinkers, as in a heap with one lock.
//!
//! Every step enters a shard anew, and none of them is long: interrupts are not masked in between.

use core::alloc::Layout;
use core::mem;

use lock_api::RawMutex;

use crate::callbacks::{Callbacks, WhenOut, report};
use crate::current_cpu::CurrentCpu;
use crate::factory_chain::FactoryChain;
use crate::memory_source::MemorySource;
use crate::run::Memory;
use crate::sharded::giving_back::MOST_ROUNDS;
use crate::sharded::record::record_of;
use crate::sharded::shard::{Entered, Owned, Shard};
use crate::sharded::shard_source::ShardSource;
use crate::sharded::visitors::Visitors;
use crate::sharded_allocator::ShardedAllocator;
use crate::size_class::{Placement, placement};

/// How often it is looked whether visits are over, before the answer is null. (Loom tries every order of each look.)
const MOST_LOOKS: usize = if cfg!(loom) { 3 } else { 1000 };

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Returns everybody who may be on a visit, for a caller who has entered shard number `entered`, or none.
    pub(crate) const fn visitors(&self, entered: Option<usize>) -> Visitors<'_, R> {
        Visitors::new(&self.shards, entered)
    }

    /// Works on the chain of shard `index`, which was entered, with the source that it sees.
    pub(crate) fn work<T>(
        &self,
        index: usize,
        owned: &mut Owned,
        is_urgent: bool,
        work: impl FnOnce(&mut FactoryChain, &ShardSource<'_, S, R>) -> T,
    ) -> T {
        let put_aside = mem::take(&mut owned.put_aside);
        let may = (C::may_wait(), is_urgent);
        let visitors = self.visitors(Some(index));
        let source = ShardSource::new(&self.central, visitors, may, put_aside);
        let result = work(&mut owned.chain, &source);
        if may.0 && self.central.reserve_is_short() && owned.chain.holdings.runs.has_idle() {
            // The next block that falls idle is held back.
            owned.chain.trim_one(&source);
        }
        owned.put_aside = source.finish(index, &owned.chain);
        result
    }

    /// Leaves a shard, and reports what was found wrong in it: unless the caller may not wait, whose business it is not.
    pub(crate) fn leave(&self, mut owned: Entered<'_, R>) {
        if !C::may_wait() {
            return;
        }
        let of_chain = owned.chain.holdings.take_source_misuse();
        let found_late = owned.misuse.take();
        drop(owned);
        for misuse in [of_chain, found_late].into_iter().flatten() {
            report(self.on_misuse.get(), misuse);
        }
        self.report_of_all();
    }

    /// Reports what was found wrong where all shards meet. Called without a lock, by one who may wait.
    pub(crate) fn report_of_all(&self) {
        if let Some(misuse) = self.central.take_misuse() {
            report(self.on_misuse.get(), misuse);
        }
    }

    /// Hands out memory when no stack of shard `index`, which was entered, has it at hand.
    pub(crate) fn allocate_slowly(
        &self,
        index: usize,
        mut owned: Entered<'_, R>,
        layout: Layout,
    ) -> Option<Memory> {
        let memory = self.allocate_in(index, &mut owned, layout, false);
        self.leave(owned);
        if memory.is_some() {
            return memory;
        }
        if !C::may_wait() {
            let memory = self.borrow(index, layout, false);
            if memory.is_none() {
                self.count_failure();
            }
            return memory;
        }
        self.allocate_elsewhere(index, layout, false)
            .or_else(|| self.allocate_when_out(layout))
    }

    /// Hands out memory of shard `index`, which was entered: of what others gave back, or else of the chain's.
    fn allocate_in(
        &self,
        index: usize,
        owned: &mut Owned,
        layout: Layout,
        is_urgent: bool,
    ) -> Option<Memory> {
        self.take_in(index, owned);
        if let Some(chunk) = owned.chain.chunk_for(layout) {
            return Some(chunk);
        }
        let memory = self.work(index, owned, is_urgent, |chain, source| {
            chain.allocate(layout, source)
        })?;
        if !matches!(placement(layout), Placement::Chunk(_)) {
            self.open_region(index, owned, memory);
        }
        Some(memory)
    }

    /// Lets everybody find `memory`, of shard `index`, if it is a region.
    fn open_region(&self, index: usize, owned: &Owned, memory: Memory) {
        let address = memory.start.addr().get();
        if let Some(region) = owned.chain.holdings.regions.find(address) {
            region.set_owner(index);
            let _writer = self.central.write();
            // SAFETY: the lock is held; the region is new, and its record stays until it was taken out and visits are over
            // (`take_in_region`).
            unsafe { self.central.regions.insert(region) };
        }
    }

    /// Hands out memory when shard `index` got none: what others keep idle is given up, and then it is tried again there, and
    /// everywhere.
    pub(crate) fn allocate_elsewhere(
        &self,
        index: usize,
        layout: Layout,
        is_urgent: bool,
    ) -> Option<Memory> {
        if placement(layout) == Placement::Refused {
            return None;
        }
        self.give_up_idle(layout);
        let memory = self
            .allocate_entered(index, layout, is_urgent)
            .or_else(|| self.borrow(index, layout, false))
            .or_else(|| self.borrow(index, layout, true));
        memory.or_else(|| self.allocate_when_left(index, layout))
    }

    /// Enters shard `index`, waiting, and hands out memory of it.
    fn allocate_entered(&self, index: usize, layout: Layout, is_urgent: bool) -> Option<Memory> {
        let mut owned = self.shards[index].enter();
        let memory = self.allocate_in(index, &mut owned, layout, is_urgent);
        self.leave(owned);
        memory
    }

    /// Hands out memory that was on its way while the other places were tried, of shard `index`, when nobody looks at it any more. Who has
    /// entered a shard is waited for; who is counted as a visitor too, but not for ever: he may have been interrupted.
    fn allocate_when_left(&self, index: usize, layout: Layout) -> Option<Memory> {
        if !self.central.has_leaving() {
            return None;
        }
        self.settle_from_everywhere(MOST_LOOKS);
        // The record of a region that has gone may have been the last thing in its block.
        self.give_up_idle(layout);
        self.settle_from_everywhere(MOST_LOOKS);
        self.allocate_entered(index, layout, false)
    }

    /// Enters one shard after the other, which has nobody else in it then, and lets what is out of the tables go on: again and again, as
    /// long as there is something, but `most` times at most.
    pub(crate) fn settle_from_everywhere(&self, most: usize) {
        let mut rounds = 0..most;
        while self.central.has_leaving() && rounds.next().is_some() {
            for index in 0..SHARDS {
                while self.settle_from(index) {}
            }
            core::hint::spin_loop();
        }
    }

    /// Enters shard `index`, and lets what is out of the tables go on: blocks, and one region of that shard's. Returns whether one went.
    fn settle_from(&self, index: usize) -> bool {
        let mut owned = self.shards[index].enter();
        self.central.settle_if_any(self.visitors(Some(index)));
        let has_gone = self.finish_leaving(index, &mut owned);
        self.leave(owned);
        has_gone
    }

    /// Enters `shard`; if it is busy, waits where that may be. Called with no shard entered.
    pub(crate) fn enter_if_possible(shard: &Shard<R>) -> Option<Entered<'_, R>> {
        (shard.try_enter()).or_else(|| C::may_wait().then(|| shard.enter()))
    }

    /// Makes what shards keep idle everybody's: blocks for the pool, or if a region is wanted for the source.
    fn give_up_idle(&self, layout: Layout) {
        for index in 0..SHARDS {
            // As often as it takes to take in everything that there can be.
            let mut rounds = 0..MOST_ROUNDS;
            while rounds.next().is_some() && self.give_up_idle_of(index) {}
        }
        if !matches!(placement(layout), Placement::Chunk(_)) {
            while self.central.trim_one(self.visitors(None)) {}
        }
    }

    /// Makes what shard `index` keeps idle everybody's, as far as it was told what others gave back. Returns whether it may have been told
    /// of more.
    pub(crate) fn give_up_idle_of(&self, index: usize) -> bool {
        let enter = || Self::enter_if_possible(&self.shards[index]);
        let may_have_more = self.take_in_all_of(index, enter);
        let Some(mut owned) = enter() else {
            return false;
        };
        while self.work(index, &mut owned, false, |chain, source| {
            chain.trim_one(source)
        }) {}
        self.leave(owned);
        may_have_more
    }

    /// Hands out memory of any other shard that has it, and takes over the block that it is in if that has room for more. A shard that
    /// is busy is waited for, or left out.
    fn borrow(&self, index: usize, layout: Layout, waits: bool) -> Option<Memory> {
        let others = (1..SHARDS).map(|offset| (index + offset) % SHARDS);
        others.into_iter().find_map(|other| {
            let mut owned = if waits {
                self.shards[other].enter()
            } else {
                self.shards[other].try_enter()?
            };
            let memory = match owned.chain.chunk_for(layout) {
                Some(chunk) => Some(chunk),
                None => self.allocate_in(other, &mut owned, layout, false),
            };
            if let Some(memory) = memory {
                // What is nearly full would go to and fro between two who starve.
                let address = memory.start.addr().get();
                if owned.chain.has_room_around(address) {
                    self.take_over_block(address, &mut owned, index);
                }
            }
            self.leave(owned);
            memory
        })
    }

    /// Takes the block that `address` lies in out of a shard that was entered, for shard `index`: if there is one, if it can be, and if
    /// that shard is not busy. Returns whether it was.
    pub(crate) fn take_over_block(&self, address: usize, from: &mut Owned, index: usize) -> bool {
        let Some(block) = from.chain.holdings.runs.find_with_page(address) else {
            return false;
        };
        let Some(mut owned) = self.shards[index].try_enter() else {
            return false;
        };
        if !from.chain.let_go(block) {
            return false;
        }
        // Who reads the old owner tells the old owner, who tells the new one: see `take_in_message`.
        record_of(block).set_owner(index);
        owned.chain.take_over(block);
        // What others gave back before may have been told to the old owner.
        self.shards[index]
            .shared
            .inbox
            .post(Self::place_of(address));
        true
    }
}

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize> WhenOut
    for ShardedAllocator<S, C, R, SHARDS>
{
    fn with_callbacks<T>(&self, look: impl FnOnce(&mut Callbacks) -> T) -> T {
        look(&mut self.callbacks.lock())
    }

    fn allocate_again(&self, layout: Layout, is_urgent: bool) -> Option<Memory> {
        self.allocate_elsewhere(Self::here(), layout, is_urgent)
    }

    fn count_failure(&self) {
        self.shards[Self::here()].outside.count_failure();
    }
}
