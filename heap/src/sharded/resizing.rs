//! Objects that get another size: in place, whoever owns them.
//!
//! Owns the question whether an object is live and can stay where it is. A chunk of another shard's can be looked at without a lock;
//! whole pages are resized by their owner's chain, so its shard is entered.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::at_hand::{MOST_COPIED_UNDER_LOCK, Resized as AtHand, TakenBack};
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
    /// Makes a live chunk of the own shard, handed out for `old`, one for `new`, if both are chunks: the usual case, and the short way.
    /// `None`, with nothing changed, when that is not at hand.
    #[inline(always)]
    pub(crate) fn reallocate_chunk(
        &self,
        pointer: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let (class, new_class) = (class_of(old)?, class_of(new)?);
        let here = Self::here();
        let mut owned = self.shards[here].try_enter()?;
        let found = owned.chain.chunk_at_hand(pointer.addr(), class)?;
        if !Self::given_back_beside(found.0, found.1).is_empty() {
            return None;
        }
        let resized =
            (owned.chain).resize_at_hand(found, (class, old.size()), (new_class, new.size()));
        let (moved, run, chunk) = match resized {
            AtHand::InPlace(chunk) => return Some(chunk),
            AtHand::ToBeMoved { new, run, chunk } => (new, run, chunk),
            AtHand::NotAtHand => return None,
        };
        let kept = old.size().min(new.size());
        if kept > MOST_COPIED_UNDER_LOCK {
            drop(owned);
            // SAFETY: `pointer` was found to be live with `old`, and `moved` is another object, for `new`.
            unsafe { ptr::copy_nonoverlapping(pointer, moved.as_ptr(), kept) };
            // The caller gives `pointer` up, and no longer needs it: its contents were copied.
            self.deallocate(pointer, old);
            return Some(moved);
        }
        // SAFETY: the same.
        unsafe { ptr::copy_nonoverlapping(pointer, moved.as_ptr(), kept) };
        match owned.chain.take_back(class, old.size(), run, chunk) {
            TakenBack::Done => {}
            TakenBack::Emptied(run) => self.emptied(here, owned, run),
            TakenBack::NotAtHand => self.report_wrong_free(owned, pointer.addr(), old),
        }
        Some(moved)
    }

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

    /// Makes a live object, handed out for `old`, one for `new`, whatever they are and whoever owns it.
    #[cold]
    pub(crate) fn reallocate_slowly(
        &self,
        pointer: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        if let Some(resized) = self.resize(pointer, old, new)? {
            return Some(resized);
        }
        let moved = self.allocate(new)?.start;
        let kept = old.size().min(new.size());
        // SAFETY: `resize` found `pointer` to be live with `old`, and `moved` is another object, for `new`.
        unsafe { ptr::copy_nonoverlapping(pointer, moved.as_ptr(), kept) };
        // The caller gives `pointer` up, and no longer needs it: its contents were copied.
        self.deallocate(pointer, old);
        Some(moved)
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
