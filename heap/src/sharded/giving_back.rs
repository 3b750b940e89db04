//! Frees that are not usual: of what other shards own, of whole pages, or while the own shard is busy.
//!
//! Owns both halves of a free that crosses: what the one who frees does, without a lock, and what the owner does with it later.

use core::alloc::Layout;

use lock_api::RawMutex;

use crate::at_hand::TakenBack;
use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::callbacks::report;
use crate::current_cpu::CurrentCpu;
use crate::locate::Located;
use crate::memory_source::MemorySource;
use crate::misuse::{Misuse, MisuseKind};
use crate::place::{Object, ObjectKind, ObjectState, Place};
use crate::regions::Region;
use crate::run::{Run, RunKind};
use crate::sharded::central::Blocks;
use crate::sharded::finding::Found;
use crate::sharded::inbox::PLACES;
use crate::sharded::looking::{place_in, says_more};
use crate::sharded::record::BlockRecord;
use crate::sharded::remote_frees::{GivenBack, Rest};
use crate::sharded::shard::{Entered, Owned};
use crate::sharded::visits::Visit;
use crate::sharded_allocator::ShardedAllocator;
use crate::size_class::{ClassIndex, SMALLEST_CHUNK, STACKS_PER_RUN};
use crate::sync::show_to_model;
use crate::units::{CHUNKS_PER_STACK, PAGE_SIZE, PAGES_PER_BLOCK};

/// Stacks, or runs, of which a shard takes in what was given back, for each time that it is entered: interrupts may be masked meanwhile.
/// (Models have no more than two or three, and some shall be left.)
const MOST_STACKS: usize = if cfg!(loom) { 1 } else { 8 };

/// Messages that it looks at in vain meanwhile, at most.
const MOST_MESSAGES: usize = 4;

/// How often a shard is entered at most to take in for an owner who does not look, or before memory is given up.
const MOST_ENTRIES: usize = 16;

/// How often that has to be done to look at everything that there can be.
pub(crate) const MOST_ROUNDS: usize =
    (PLACES * PAGES_PER_BLOCK * STACKS_PER_RUN).div_ceil(MOST_STACKS * MOST_ENTRIES);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// There is none.
    NoMessage,
    /// Nothing is left of what it was about, or it was a region, or somebody else's.
    Elsewhere,
    /// Objects were taken in.
    TakenIn,
}

/// An object that was given back to its owner.
#[derive(Clone, Copy, Debug)]
struct Crossed {
    /// The list of its class; of a run `None`.
    list: Option<usize>,
    /// It is a region, whose owner counts it.
    is_region: bool,
    /// Whose it is.
    owner: usize,
    /// Somebody should take in for the owner what was given back.
    is_due: bool,
}

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Returns the place of `address` in the tables and inboxes.
    pub(crate) fn place_of(address: usize) -> usize {
        Blocks::place_of(address)
    }

    /// Gives back an object that is no chunk at hand in the shard `here`, which was entered unless it is busy; or reports why not.
    #[cold]
    pub(crate) fn deallocate_slowly(
        &self,
        here: usize,
        owned: Option<Entered<'_, R>>,
        address: usize,
        layout: Layout,
    ) {
        let owned = owned.or_else(|| self.shards[here].try_enter());
        match owned {
            Some(owned) if owned.chain.holdings.runs.find_with_page(address).is_some() => {
                self.deallocate_own(here, owned, address, layout);
            }
            owned => self.deallocate_crossing(here, owned, address, layout),
        }
    }

    /// Gives back an object in a block of shard `here`, which was entered, or reports why not.
    fn deallocate_own(
        &self,
        here: usize,
        mut owned: Entered<'_, R>,
        address: usize,
        layout: Layout,
    ) {
        let was_given_back = match owned.chain.holdings.lookup().locate(address, layout) {
            Ok(Located::Chunk { run, class, chunk })
                if !Self::given_back_beside(run, chunk).is_empty() =>
            {
                return self.deallocate_beside(here, owned, run, (chunk, class), address, layout);
            }
            Ok(Located::Chunk { .. }) => false,
            Ok(Located::Whole(run)) => Self::was_given_back(run, 0),
            Ok(Located::Region(_)) => {
                return self.deallocate_crossing(here, Some(owned), address, layout);
            }
            Err(Misuse { .. }) => return self.report_wrong_free(owned, address, layout),
        };
        let result = if was_given_back {
            Err(describe_twice(
                owned.chain.holdings.lookup().describe(address, layout),
            ))
        } else {
            self.work(here, &mut owned, false, |chain, source| {
                chain.deallocate(address, layout, source)
            })
        };
        self.leave(owned);
        if let Err(misuse) = result {
            report(self.on_misuse.get(), misuse);
        }
    }

    /// Gives back a chunk at hand in the shard `here`, which was entered, of a stack that others gave chunks back of; or reports why not.
    ///
    /// If theirs are all that is left of the stack, it is one that others have emptied: they could not know.
    #[cold]
    pub(crate) fn deallocate_beside(
        &self,
        here: usize,
        mut owned: Entered<'_, R>,
        run: Run,
        (chunk, class): (usize, ClassIndex),
        address: usize,
        layout: Layout,
    ) {
        if Self::was_given_back(run, chunk) {
            return self.report_wrong_free(owned, address, layout);
        }
        match owned.chain.take_back(class, layout.size(), run, chunk) {
            TakenBack::NotAtHand => return self.report_wrong_free(owned, address, layout),
            TakenBack::Emptied(run) => {
                self.work(here, &mut owned, false, |chain, source| {
                    chain.emptied(run, source);
                });
            }
            TakenBack::Done => {
                let stack = chunk / CHUNKS_PER_STACK;
                let free = run.stacks.free(stack);
                let all = Self::given_back_beside(run, chunk).with(free);
                let is_emptied = all.contains_all(chunks_of_stack(class, run, stack));
                if is_emptied && self.shards[here].shared.note_emptied() && C::may_wait() {
                    return self.take_in_for(here, false, Some(owned));
                }
            }
        }
        self.leave(owned);
    }

    /// Gives back an object that some shard owns, without entering that one; or reports why not.
    fn deallocate_crossing(
        &self,
        here: usize,
        owned: Option<Entered<'_, R>>,
        address: usize,
        layout: Layout,
    ) {
        let crossed = match &owned {
            Some(owned) => self.give_back(address, layout, &Visit::of_entered(owned)),
            None => C::without_interrupts(|| {
                self.give_back(address, layout, &self.shards[here].visits.begin())
            }),
        };
        let Some(crossed) = crossed else {
            return match owned {
                Some(owned) => self.report_wrong_free(owned, address, layout),
                None => self.report_wrong_free_outside(address, layout),
            };
        };
        match owned {
            Some(mut owned) => {
                count(&mut owned, crossed, layout.size());
                if crossed.owner == here && crossed.is_due && C::may_wait() {
                    return self.take_in_for(here, crossed.is_region, Some(owned));
                }
            }
            None => {
                let outside = &self.shards[here].outside;
                outside.uncount_requested(layout.size());
                if !crossed.is_region {
                    outside.count(crossed.list);
                }
            }
        }
        if crossed.is_due && C::may_wait() {
            self.take_in_for(crossed.owner, crossed.is_region, None);
        }
    }

    /// Takes in for shard `index` what was given back to it. `entered` is that shard, if it was entered. While somebody else is in, it is
    /// waited for, or left at that.
    fn take_in_for(&self, index: usize, waits: bool, mut entered: Option<Entered<'_, R>>) {
        let shard = &self.shards[index];
        let may_have_more = self.take_in_all_of(index, || {
            (entered.take()).or_else(|| match waits {
                true => Some(shard.enter()),
                false => shard.try_enter(),
            })
        });
        if may_have_more {
            shard.shared.note_due();
        }
    }

    /// Leaves word that the object at `address` was given back. `None`, with nothing changed, when that is wrong. Waits for
    /// nobody.
    fn give_back(&self, address: usize, layout: Layout, visit: &Visit<'_>) -> Option<Crossed> {
        match self.central.find(address, layout, visit)? {
            Found::InBlock {
                block,
                run,
                class,
                chunk,
            } => self.give_back_in_block(block, run, class, chunk),
            Found::Region(region) => {
                let owner = region.owner();
                let shared = &self.shards[owner].shared;
                if !shared.give_back_region(region) {
                    return None;
                }
                shared.inbox.post(Self::place_of(address));
                Some(Crossed {
                    list: None,
                    is_region: true,
                    owner,
                    is_due: true,
                })
            }
        }
    }

    /// Leaves word that a chunk or run was given back.
    #[inline]
    fn give_back_in_block(
        &self,
        block: BlockRecord,
        run: Run,
        class: Option<ClassIndex>,
        chunk: usize,
    ) -> Option<Crossed> {
        // Read first: behind the bit, the block may go on to another shard, and then its old one passes the message on.
        let owner = block.owner()?;
        let stack = chunk / CHUNKS_PER_STACK;
        show_to_model(block.window());
        // So is what the run is: behind the bit, its last chunk may be taken in, and its page be something else.
        let (free, there) = match class {
            Some(class) => (run.stacks.free(stack), chunks_of_stack(class, run, stack)),
            None => (Bitmap::EMPTY, Bitmap::single(0)),
        };
        let bit = chunk % CHUNKS_PER_STACK;
        if free.contains(bit) {
            return None;
        }
        // (An owner who takes in another free of the same chunk right here, all of it between the two looks, hides that from this
        // one. It finds the bit of a free chunk next time.)
        let GivenBack::Noted(noted) = block.remote_frees.give_back(run.first_page(), chunk) else {
            return None;
        };
        let shared = &self.shards[owner].shared;
        if noted.is_first_of_block {
            let place = Self::place_of(block.window());
            shared.inbox.post(place);
            // The record stays as long as the visit. If the block has gone on meanwhile, its old owner may be gone too.
            if let Some(new_owner) = block.owner().filter(|now| *now != owner) {
                self.shards[new_owner].shared.inbox.post(place);
            }
        }
        let is_emptied = noted.all.with(free).contains_all(there);
        Some(Crossed {
            list: class.map(ClassIndex::get),
            is_region: false,
            owner,
            is_due: is_emptied && shared.note_emptied(),
        })
    }

    /// Takes in what others gave back to shard `index`, a little for each time that `enter` enters it: in between, interrupts come in.
    /// Returns whether there may be more, because that was often enough, or because it was not entered.
    pub(crate) fn take_in_all_of<'a>(
        &'a self,
        index: usize,
        mut enter: impl FnMut() -> Option<Entered<'a, R>>,
    ) -> bool {
        for _ in 0..MOST_ENTRIES {
            let Some(mut owned) = enter() else {
                return true;
            };
            let may_have_more = self.take_in(index, &mut owned);
            self.leave(owned);
            if !may_have_more {
                return false;
            }
        }
        true
    }

    /// Takes in a little of what others gave back to shard `index`, which was entered: of a few stacks of one block, and a few regions.
    /// Returns whether there may be more.
    pub(crate) fn take_in(&self, index: usize, owned: &mut Owned) -> bool {
        let mut messages = (0..MOST_MESSAGES).map(|_| self.take_in_message(index, owned));
        let may_have_more =
            messages.find(|looked| *looked != Looked::Elsewhere) != Some(Looked::NoMessage);
        let has_finished = self.finish_leaving(index, owned);
        may_have_more || has_finished
    }

    /// Takes in what one message to shard `index`, which was entered, is about: a few stacks of a block, usually.
    fn take_in_message(&self, index: usize, owned: &mut Owned) -> Looked {
        let shared = &self.shards[index].shared;
        let Some(place) = shared.inbox.take(&mut owned.messages) else {
            return Looked::NoMessage;
        };
        shared.forget_emptied();
        let has_taken = self.take_in_block(index, owned, place);
        if C::may_wait() {
            self.take_in_region(index, owned, place);
        } else if self.region_to_take_in(index, place).is_some() {
            shared.inbox.post(place);
            return Looked::NoMessage;
        }
        if has_taken {
            Looked::TakenIn
        } else {
            Looked::Elsewhere
        }
    }

    /// Takes in what others gave back of a block at `place`, of a few stacks; returns whether there is such a block. Messages for others
    /// are passed on.
    fn take_in_block(&self, index: usize, owned: &mut Owned, place: usize) -> bool {
        let visit = self.shards[index].visits.begin();
        let mut has_taken = false;
        for block in self.central.blocks.entries_at(place, &visit) {
            if !block.remote_frees.has_any() {
                continue;
            }
            match (block.owner(), block.block()) {
                (Some(owner), Some(header)) if owner == index && !has_taken => {
                    has_taken = true;
                    if self.take_in_stacks(index, owned, block, header) == Rest::Some {
                        self.shards[index].shared.inbox.post(place);
                    }
                }
                // One block at a time; and one that has gone on to another shard is that one's business.
                (Some(owner), _) => self.shards[owner].shared.inbox.post(place),
                (None, _) => {}
            }
        }
        drop(visit);
        if C::may_wait() {
            self.central.settle_if_any(self.visitors(Some(index)));
        }
        has_taken
    }

    /// Takes in what others gave back of `block`, which shard `index` has, of a few stacks. Called on a visit: the record stays, whatever
    /// becomes of the block.
    fn take_in_stacks(
        &self,
        index: usize,
        owned: &mut Owned,
        block: BlockRecord,
        header: Block,
    ) -> Rest {
        let (rest, misuse) = self.work(index, owned, false, |chain, source| {
            let mut misuse = None;
            let rest = block.remote_frees.take(MOST_STACKS, |page, stack, chunks| {
                let wrong = chain.take_in(header, (page, stack), chunks, source);
                if let Some(bit) = wrong.lowest() {
                    let class = class_at(header, page);
                    chain.uncount_frees(class, wrong.len());
                    let address = block.window() + page * PAGE_SIZE;
                    misuse = Some(found_late(class, stack * CHUNKS_PER_STACK + bit, address));
                }
            });
            (rest, misuse)
        });
        owned.misuse = owned.misuse.or(misuse);
        rest
    }

    /// Returns a region at `place` that was given back to shard `index`.
    fn region_to_take_in(&self, index: usize, place: usize) -> Option<Region> {
        let visit = self.shards[index].visits.begin();
        let mut regions = self.central.regions.entries_at(place, &visit);
        regions.find(|region| {
            region.owner() == index
                && Self::place_of(region.address()) == place
                && region.is_given_back()
        })
    }

    /// Takes in a region at `place` that was given back to shard `index`, which was entered.
    fn take_in_region(&self, index: usize, owned: &mut Owned, place: usize) {
        // The shard was entered, and only its owner takes a region out: so this one is still there.
        let Some(region) = self.region_to_take_in(index, place) else {
            return;
        };
        let round = self.central.take_out_region(region);
        owned.chain.take_out_region(region);
        owned.leaving.push(region, round);
        let shared = &self.shards[index].shared;
        shared.forget_region();
        // There may be another one.
        shared.inbox.post(place);
    }

    /// Gives a region that was taken out back to the source, if nobody can be looking at its record any more. Returns whether one went.
    /// No more than one: some sources take long to take one back.
    pub(crate) fn finish_leaving(&self, index: usize, owned: &mut Owned) -> bool {
        let Some(round) = owned.leaving.round().filter(|_| C::may_wait()) else {
            return false;
        };
        if !self.central.is_over(round, self.visitors(Some(index))) {
            return false;
        }
        if let Some(region) = owned.leaving.pop() {
            #[cfg(loom)]
            region.touch_alone();
            self.work(index, owned, false, |chain, source| {
                chain.release_region(region, source);
            });
            self.central.note_region_gone();
        }
        true
    }

    /// Reports a free that was found to be wrong, after leaving the shard that was entered.
    #[cold]
    pub(crate) fn report_wrong_free(&self, owned: Entered<'_, R>, address: usize, layout: Layout) {
        self.leave(owned);
        self.report_wrong_free_outside(address, layout);
    }

    /// Reports a free that was found to be wrong.
    #[cold]
    pub(crate) fn report_wrong_free_outside(&self, address: usize, layout: Layout) {
        report(self.on_misuse.get(), self.describe(address, layout));
    }

    /// Says what is wrong with giving back `address` with `layout`. Called with no shard entered. One that is busy is left out if it
    /// cannot be waited for.
    fn describe(&self, address: usize, layout: Layout) -> Misuse {
        let mut best = Misuse {
            kind: MisuseKind::Foreign,
            address,
            layout,
            place: Place::Foreign,
        };
        for owned in self.shards.iter().filter_map(Self::enter_if_possible) {
            let misuse = describe_in(&owned, address, layout);
            if says_more(misuse.place, best.place) {
                best = misuse;
            }
        }
        let central = &self.central;
        let writer = (central.try_write()).or_else(|| C::may_wait().then(|| central.write()));
        let place = writer.map_or(Place::Foreign, |writer| writer.place(address));
        if says_more(place, best.place) {
            best = of_place(best, place);
        }
        best
    }
}

/// Returns all chunks that stack `stack` of `run`, which holds chunks of `class`, has.
fn chunks_of_stack(class: ClassIndex, run: Run, stack: usize) -> Bitmap {
    let chunks = class.class().chunks_in(run.pages());
    Bitmap::below(chunks.saturating_sub(stack * CHUNKS_PER_STACK))
}

/// Counts an object that was given back to its owner by the shard that was entered.
fn count(owned: &mut Owned, crossed: Crossed, size: usize) {
    owned.crossed += 1;
    owned.chain.totals.uncount_requested(size);
    match crossed.list {
        _ if crossed.is_region => {}
        Some(list) => owned.chain.lists[list].counters.frees += 1,
        None => owned.chain.totals.whole_frees += 1,
    }
}

/// Says what is wrong with giving back `address` with `layout`, as a shard sees it that was entered.
fn describe_in(owned: &Owned, address: usize, layout: Layout) -> Misuse {
    let lookup = owned.chain.holdings.lookup();
    let misuse = lookup.describe(address, layout);
    if lookup.locate(address, layout).is_ok() {
        // It looks live to its owner: so others gave it back.
        return describe_twice(misuse);
    }
    match place_in(owned, address) {
        place if says_more(place, misuse.place) => of_place(misuse, place),
        _ => misuse,
    }
}

/// Makes the description of something that the chain does not know that of what `place` says.
fn of_place(misuse: Misuse, place: Place) -> Misuse {
    let kind = match place {
        Place::FreePage => MisuseKind::DoubleFree,
        Place::Own => MisuseKind::Foreign,
        _ => misuse.kind,
    };
    Misuse {
        kind,
        place,
        ..misuse
    }
}

/// Makes the description of an object that others gave back already, which its owner takes for live, that of a double free.
fn describe_twice(mut misuse: Misuse) -> Misuse {
    misuse.kind = MisuseKind::DoubleFree;
    if let Place::Object { object, .. } = &mut misuse.place {
        object.state = ObjectState::Free;
    }
    misuse
}

/// Returns the class of the chunks that page `page` of a block has. `None` when it has none.
fn class_at(header: Block, page: usize) -> Option<ClassIndex> {
    match header.run_around(page)?.kind() {
        RunKind::Stacks(class) => Some(class),
        RunKind::Whole => None,
    }
}

/// Describes a free of chunk `chunk`, of `class`, that turned out to be wrong when it was taken in. `address` is that of the run.
fn found_late(class: Option<ClassIndex>, chunk: usize, address: usize) -> Misuse {
    let size = class.map_or(PAGE_SIZE, |class| class.class().chunk_size());
    let address = address + chunk * size;
    Misuse {
        kind: MisuseKind::DoubleFree,
        address,
        layout: Layout::from_size_align(size, SMALLEST_CHUNK).unwrap_or(Layout::new::<u8>()),
        place: Place::Object {
            object: Object {
                address,
                size,
                kind: ObjectKind::Chunk,
                state: ObjectState::Free,
            },
            offset: 0,
        },
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
