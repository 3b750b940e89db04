//! What can be seen of a heap with many shards, and done with it as a whole.
//!
//! Every shard is looked at in turn, behind its lock. Whoever wants to use it at that moment does not wait: a free leaves a bit, an
//! allocation is met by the next shard.

use lock_api::RawMutex;

use crate::block_snapshot::{BlockSnapshot, PageState};
use crate::callbacks::report;
use crate::chain_kind::KEPT_BLOCKS;
use crate::check::{Corruption, check_shard};
use crate::current_cpu::CurrentCpu;
use crate::memory_source::MemorySource;
use crate::page_runs::{LARGEST_RESERVE, run_around};
use crate::place::{Object, ObjectKind, ObjectState, Place};
use crate::run::RunKind;
use crate::sharded::record::record_of;
use crate::sharded::shard::Owned;
use crate::sharded_allocator::ShardedAllocator;
use crate::statistics::Statistics;
use crate::statistics::shards::{CpuStatistics, Sum};
use crate::walk::{BlockWalk, Step, Walk, next};

/// Blocks that are looked at for one that can be taken over.
const MOST_LOOKED_AT: usize = 16;

/// How often all shards are entered while [trimming](ShardedAllocator::trim), to let go what was looked at: to end a round, to have one more,
/// and to give back what has waited for it.
const ROUNDS_OF_TRIM: usize = 3;

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Returns how many shards there are.
    pub const fn shards(&self) -> usize {
        SHARDS
    }

    /// Returns the heap's numbers, added up over all shards, one after another while work goes on. What is allocated and given back
    /// meanwhile may or may not be among them.
    ///
    /// What others gave back counts as free from then on; runs and regions are among the `bytes_used` until their owner has taken them
    /// in. `bytes_requested_peak` is the most that any call has seen; `bytes_held_peak` is exact. Cost: constant, a few hundred steps a shard.
    pub fn statistics(&self) -> Statistics {
        let mut sum = Sum::new(self.with_source(S::largest_region));
        for (owned, shard) in self.shards.iter().map(|shard| (shard.enter(), shard)) {
            sum.add(&owned, shard);
        }
        let apart = self.central.write().apart();
        let mut statistics = sum.finish(apart);
        self.central.note_requested(&mut statistics);
        statistics
    }

    /// Returns the heap's numbers, or `None` at once when any shard is busy: for contexts that must not wait, such as a
    /// non-maskable interrupt or the report of a panic. The source is not asked: see
    /// [`Allocator::try_statistics`](crate::Allocator::try_statistics).
    pub fn try_statistics(&self) -> Option<Statistics> {
        let mut sum = Sum::new(0);
        for shard in &self.shards {
            let owned = shard.try_enter()?;
            sum.add(&owned, shard);
        }
        let writer = self.central.try_write()?;
        let mut statistics = sum.finish(writer.apart());
        self.central.note_requested(&mut statistics);
        Some(statistics)
    }

    /// Returns the numbers of shard `cpu`: what that CPU did, and what it has. `None` where there is no such shard.
    pub fn cpu_statistics(&self, cpu: usize) -> Option<CpuStatistics> {
        let shard = self.shards.get(cpu)?;
        let owned = shard.enter();
        Some(CpuStatistics::of(&owned, shard))
    }

    /// Says what is at `address`: which object, live or free, or none. Reads nothing there. Cost: a look at each shard, and at each block
    /// that is no shard's just now.
    pub fn what_is(&self, address: usize) -> Place {
        let of_shards = self.shards.iter();
        let place = of_shards
            .map(|shard| place_in(&shard.enter(), address))
            .fold(Place::Foreign, better);
        better(place, self.central.write().place(address))
    }

    /// Says what is at `address`, or `None` at once when a shard that may know is busy: see [`try_statistics`](Self::try_statistics).
    pub fn try_what_is(&self, address: usize) -> Option<Place> {
        let mut place = Place::Foreign;
        let mut has_seen_all = true;
        for shard in &self.shards {
            match shard.try_enter() {
                Some(owned) => place = better(place, place_in(&owned, address)),
                None => has_seen_all = false,
            }
        }
        match self.central.try_write() {
            Some(writer) => place = better(place, writer.place(address)),
            None => has_seen_all = false,
        }
        (has_seen_all || place != Place::Foreign).then_some(place)
    }

    /// Returns every block that a shard has, shard by shard: see [`Allocator::blocks`](crate::Allocator::blocks). The first page of
    /// each, which others write, is drawn as a header too. A block that goes on to another shard meanwhile may be seen twice or not.
    pub fn blocks(&self) -> impl Iterator<Item = BlockSnapshot> {
        (0..SHARDS).flat_map(move |index| {
            let mut walk = BlockWalk::new();
            core::iter::from_fn(move || {
                next(|| walk.step(self.shards[index].enter().chain.holdings.lookup()))
                    .map(with_record)
            })
        })
    }

    /// Returns every live object, shard by shard, in each as [`Allocator::live_objects`](crate::Allocator::live_objects) does. A block
    /// that goes on to another shard meanwhile may be seen twice or not.
    pub fn live_objects(&self) -> impl Iterator<Item = Object> {
        self.walk(Walk::new())
    }

    /// Returns every live region, shard by shard.
    pub fn live_regions(&self) -> impl Iterator<Item = Object> {
        self.walk(Walk::of_regions())
    }

    /// Walks all shards, in the same way.
    fn walk(&self, from: Walk) -> impl Iterator<Item = Object> {
        (0..SHARDS).flat_map(move |index| {
            let mut walk = from;
            core::iter::from_fn(move || next(|| self.step(index, &mut walk)))
        })
    }

    /// Takes one step of a walk over the live objects of shard `index`.
    fn step(&self, index: usize, walk: &mut Walk) -> Step<Object> {
        let owned = self.shards[index].enter();
        match walk.step(owned.chain.holdings.lookup()) {
            Step::Found(object) if is_given_back(&owned, object) => Step::NotYet,
            step => step,
        }
    }

    /// Walks every shard and proves its invariants. Cost: the number of blocks, stacks and regions, under the shard's lock.
    ///
    /// # Errors
    ///
    /// The first invariant found not to hold.
    pub fn check(&self) -> Result<(), Corruption> {
        for (index, shard) in self.shards.iter().enumerate() {
            check_shard(&shard.enter(), index)?;
        }
        Ok(())
    }

    /// Takes in everything that was given back, and gives all memory that holds nothing back to the source, whichever shard has it. The
    /// reserve stays. Locks are taken anew for every block.
    ///
    /// A block or region stays for the next time if all the while somebody looks at blocks of others, who was put aside in the middle.
    pub fn trim(&self) {
        // Regions go before the blocks that their records are in; and a shard passes on what another one has to know by now.
        (0..SHARDS).for_each(|index| self.take_in_all(index));
        self.settle_from_everywhere(ROUNDS_OF_TRIM);
        (0..SHARDS).for_each(|index| self.trim_shard(index));
        self.settle_from_everywhere(ROUNDS_OF_TRIM);
        while self.central.trim_one(self.visitors(None)) {}
        self.report_of_all();
    }

    /// Takes in what was given back to the caller's own shard, and lets its idle blocks go: a bounded part of what
    /// [`trim`](Self::trim) does, for each CPU to do itself, in its interrupt handler for instance.
    pub fn trim_here(&self) {
        self.give_up_idle_of(Self::here());
    }

    /// Takes in everything that was given back to shard `index`.
    fn take_in_all(&self, index: usize) {
        while self.take_in_all_of(index, || Some(self.shards[index].enter())) {}
    }

    /// Takes in everything that was given back to shard `index`, and lets its idle blocks go.
    fn trim_shard(&self, index: usize) {
        self.take_in_all(index);
        for _ in 0..=KEPT_BLOCKS {
            let mut owned = self.shards[index].enter();
            let has_gone = self.work(index, &mut owned, false, |chain, source| {
                chain.trim_one(source)
            });
            self.leave(owned);
            if !has_gone {
                break;
            }
        }
    }

    /// Takes over what shard `cpu` has, for the caller's own: of a CPU that is gone, or idle for long. Returns how many blocks came.
    ///
    /// Nothing has to be done: whoever finds no memory takes blocks from others. This makes them useful before. Blocks in which records of
    /// regions live stay, and serve whoever finds nothing else. Locks are taken anew for every block.
    pub fn take_over(&self, cpu: usize) -> usize {
        let here = Self::here();
        if cpu >= SHARDS || cpu == here {
            return 0;
        }
        self.trim_shard(cpu);
        // No more than there are: somebody may take them back meanwhile.
        let there = self.shards[cpu].enter().chain.holdings.runs.count();
        (0..there)
            .take_while(|_| self.take_over_one(cpu, here))
            .count()
    }

    /// Takes over one block. `false` when none can be.
    fn take_over_one(&self, from: usize, to: usize) -> bool {
        let mut owned = self.shards[from].enter();
        let mut blocks = [None; MOST_LOOKED_AT];
        for (place, (_, block)) in blocks.iter_mut().zip(owned.chain.holdings.runs.iter()) {
            *place = Some(block);
        }
        let has_moved = blocks
            .into_iter()
            .flatten()
            .any(|block| self.take_over_block(block.header().addr().get(), &mut owned, to));
        self.leave(owned);
        has_moved
    }

    /// Holds `blocks` blocks of 256 KiB back for requests that are urgent, in the pool of all shards: see
    /// [`Allocator::set_reserve`](crate::Allocator::set_reserve). Returns how many could be had.
    pub fn set_reserve(&self, blocks: usize, is_urgent: fn() -> bool) -> usize {
        self.callbacks.lock().is_urgent = Some(is_urgent);
        self.central.set_reserve(blocks.min(LARGEST_RESERVE));
        while self.central.fill_reserve() {}
        if self.central.reserve_is_short() {
            // What shards keep does as well.
            (0..SHARDS).for_each(|index| self.trim_shard(index));
        }
        if let Some(misuse) = self.central.take_misuse() {
            report(self.on_misuse.get(), misuse);
        }
        self.central.write().reserved()
    }
}

/// Says what is at `address` in a shard that was entered.
pub(crate) fn place_in(owned: &Owned, address: usize) -> Place {
    let holdings = &owned.chain.holdings;
    match holdings.lookup().place(address) {
        Place::Object { mut object, offset } => {
            if is_given_back(owned, object) {
                object.state = ObjectState::Free;
            }
            Place::Object { object, offset }
        }
        Place::Foreign | Place::GoneBack { .. } if has_record_at(owned, address) => Place::Own,
        place => {
            let mut put_aside = owned.put_aside.iter();
            let aside = put_aside.find_map(|block| block.place(address));
            better(place, aside.unwrap_or(Place::Foreign))
        }
    }
}

/// Returns whether `address` is that of a byte of the record of a block that a shard has, which was entered.
fn has_record_at(owned: &Owned, address: usize) -> bool {
    let block = owned.chain.holdings.runs.find(address);
    block.is_some_and(|block| record_of(block).has_record_at(address))
}

/// Draws the record of a block, the page before the header.
fn with_record(mut picture: BlockSnapshot) -> BlockSnapshot {
    let header = (picture.pages.iter()).position(|page| *page == PageState::Header);
    let record = header.and_then(|header| header.checked_sub(1));
    if let Some(page) = record.and_then(|record| picture.pages.get_mut(record)) {
        *page = PageState::Header;
    }
    picture
}

/// Returns whether others gave back a live object of a shard that was entered.
fn is_given_back(owned: &Owned, object: Object) -> bool {
    let holdings = &owned.chain.holdings;
    if object.kind == ObjectKind::Region {
        let region = holdings.regions.find(object.address);
        return region.is_some_and(|region| region.is_given_back());
    }
    let run = (holdings.runs.find(object.address))
        .and_then(|block| Some((block, run_around(block, object.address)?)));
    run.is_some_and(|(block, run)| {
        let chunk = match run.kind() {
            RunKind::Stacks(class) => class.class().chunk_around(object.address - run.address()),
            RunKind::Whole => 0,
        };
        record_of(block).remote_frees.has(run.first_page(), chunk)
    })
}

/// Returns which of two shards' answers says more.
fn better(one: Place, other: Place) -> Place {
    if says_more(other, one) { other } else { one }
}

/// Returns whether what a shard says of an address is more than what another one says: what a shard holds was given back by others
/// at most long ago.
pub(crate) const fn says_more(this: Place, than: Place) -> bool {
    match than {
        Place::Foreign => true,
        Place::GoneBack { .. } => !matches!(this, Place::Foreign | Place::GoneBack { .. }),
        _ => false,
    }
}
