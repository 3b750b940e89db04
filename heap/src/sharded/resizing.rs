//! Objects that get another size: in place, whoever owns them.
//!
//! Owns the question whether an object is live and can stay where it is. A chunk of another shard's can be looked at without a lock;
//! whole pages are resized by their owner's chain, so its shard is entered.

use core::alloc::Layout;
use core::ptr::NonNull;

use lock_api::RawMutex;

use crate::current_cpu::CurrentCpu;
use crate::locate::Located;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::sharded::finding::Found;
use crate::sharded::shard::{Entered, Owned};
use crate::sharded::visits::Visit;
use crate::sharded_allocator::ShardedAllocator;
use crate::size_class::class_of;
use crate::sync::show_to_model;
use crate::units::CHUNKS_PER_STACK;

/// What becomes of an object that shall have another size.
enum Resized {
    /// It has it, where it stands.
    InPlace(NonNull<u8>),
    /// It has to move.
    HasToMove,
    /// Its owner has to be asked: shard number.
    AskOwner(usize),
}

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Makes a live object, handed out for `old`, fit `new` where it stands, and returns the heap's own pointer to it, or
    /// `None` inside when it has to move. `None` outside after a misuse, which has been reported. The alignments are the same.
    pub(crate) fn resize(
        &self,
        pointer: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Option<Option<NonNull<u8>>> {
        let address = pointer.addr();
        let here = Self::here();
        let resized = match self.shards[here].try_enter() {
            Some(owned) if owned.chain.holdings.runs.find_with_page(address).is_some() => {
                return self.resize_in(here, owned, address, old, new);
            }
            // The shard stays entered: a kernel's visit is not interrupted then.
            Some(owned) => {
                let visit = Visit::of_entered(&owned);
                self.resize_crossing(here, address, (old, new), &visit)
            }
            None => C::without_interrupts(|| {
                let visit = self.shards[here].visits.begin();
                self.resize_crossing(here, address, (old, new), &visit)
            }),
        };
        match resized {
            Some(Resized::InPlace(object)) => Some(Some(object)),
            Some(Resized::HasToMove) => Some(None),
            Some(Resized::AskOwner(owner)) => self.ask_owner(owner, address, old, new),
            None => {
                self.report_wrong_free_outside(address, old);
                None
            }
        }
    }

    /// Lets the shard `owner` resize the object at `address`, which was seen to be its own.
    fn ask_owner(
        &self,
        owner: usize,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Option<Option<NonNull<u8>>> {
        if !C::may_wait() {
            return Some(None);
        }
        let owned = self.shards[owner].enter();
        let holdings = &owned.chain.holdings;
        if holdings.runs.find_with_page(address).is_none()
            && holdings.regions.find(address).is_none()
        {
            // It has gone on to another shard meanwhile.
            return Some(None);
        }
        self.resize_in(owner, owned, address, old, new)
    }

    /// Does what [`resize`](Self::resize) does with an object of shard `index`, which was entered.
    fn resize_in(
        &self,
        index: usize,
        mut owned: Entered<'_, R>,
        address: usize,
        old: Layout,
        new: Layout,
    ) -> Option<Option<NonNull<u8>>> {
        let result = Self::find_live(&owned, address, old).map(|()| {
            self.work(index, &mut owned, false, |chain, source| {
                chain.resize(address, old, new, source)
            })
        });
        let Some(Ok(resized)) = result else {
            self.report_wrong_free(owned, address, old);
            return None;
        };
        self.leave(owned);
        Some(resized)
    }

    /// Returns whether the object at `address` is live in a shard that was entered, as far as can be said without its bitmap.
    fn find_live(owned: &Owned, address: usize, layout: Layout) -> Option<()> {
        let was_given_back = match owned.chain.holdings.lookup().locate(address, layout) {
            Ok(Located::Chunk { run, chunk, .. }) => Self::was_given_back(run, chunk),
            Ok(Located::Whole(run)) => Self::was_given_back(run, 0),
            Ok(Located::Region(region)) => region.is_given_back(),
            Err(Misuse { .. }) => true,
        };
        (!was_given_back).then_some(())
    }

    /// Looks whether an object of another shard, or of a region, is live and can stay, on a visit. `None` when it is not live.
    fn resize_crossing(
        &self,
        here: usize,
        address: usize,
        (old, new): (Layout, Layout),
        visit: &Visit<'_>,
    ) -> Option<Resized> {
        let (block, run, class, chunk) = match self.central.find(address, old, visit)? {
            Found::InBlock {
                block,
                run,
                class,
                chunk,
            } => (block, run, class, chunk),
            Found::Region(region) if region.is_given_back() => return None,
            Found::Region(region) => return Some(Resized::AskOwner(region.owner())),
        };
        if block.remote_frees.has(run.first_page(), chunk) {
            return None;
        }
        let Some(class) = class else {
            return Some(Resized::AskOwner(block.owner()?));
        };
        show_to_model(address);
        let free = run.stacks.free(chunk / CHUNKS_PER_STACK);
        if free.contains(chunk % CHUNKS_PER_STACK) {
            return None;
        }
        if class_of(new) != Some(class) {
            return Some(Resized::HasToMove);
        }
        let outside = &self.shards[here].outside;
        outside.uncount_requested(old.size().wrapping_sub(new.size()));
        Some(Resized::InPlace(block.pointer_to(address)))
    }
}
