//! The four layers composed for many CPUs: a chain for each, and one heap.
//!
//! Owns the usual paths, which touch the caller's own shard alone, and the names. What is not usual is beside it: frees of what others
//! own in [`crate::sharded::giving_back`], what to do when a shard has no memory in [`crate::sharded::getting`].

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::at_hand::TakenBack;
use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::callbacks::{Callbacks, WhenOut};
use crate::current_cpu::CurrentCpu;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::run::{Memory, Run, Taken};
use crate::sharded::central::Central;
use crate::sharded::misuse_handler::MisuseHandler;
use crate::sharded::record::record_of;
use crate::sharded::shard::{Entered, Shard};
use crate::shrinkers::{Shrinker, TooManyShrinkers};
use crate::size_class::{ClassIndex, class_of};
use crate::sync::Mutex;
use crate::units::CHUNKS_PER_STACK;

/// A heap for many CPUs over the memory source `S`: a [`Heap`](crate::Heap) for each CPU that `C` names, behind a lock of kind `R` of its
/// own, and all of them one heap.
///
/// It is used like [`Allocator`](crate::Allocator), and promises the same: constant time, memory that goes home, wrong frees that are
/// found out. Besides:
///
/// - *Allocating, and giving back what was allocated on the same CPU*, touches the CPU's own shard alone: no cache line is written
///   that another CPU reads or writes, and the shard's lock is free.
/// - *Giving back what was allocated on another CPU* leaves one bit, by one atomic instruction that also finds out a double free,
///   however many CPUs race; the first of a stack, of a block and of a place takes one more for each, to tell the owner.
/// - *A free is legal in any context*, also in one that may have interrupted the heap on its own CPU: a non-maskable
///   interrupt, the report of a panic. Where [`CurrentCpu::may_wait`] says no, it waits for nothing and takes a fixed number of steps.
///   Elsewhere it waits only if it has more to do than to leave a bit: it empties a block, it takes in for an owner who does not
///   look, or it is of more than 248 KiB. An allocation that may not wait gets what is at hand, or null.
/// - *No CPU starves while another one hoards*: empty blocks are everybody's, and a CPU that finds no memory takes over blocks
///   with room from others. Null means that every shard was asked; by one who may not wait, every one that was not busy. (Nobody is asked
///   for the second of two requests that find shrinkers at work; and what is on its way back, while somebody looks at it who was put aside,
///   is not waited for longer than a thousand looks at each shard.)
/// - *A CPU that is gone* leaves its memory to who [takes it over](Self::take_over), or whoever needs it.
///
/// What others give back counts as free at once, but can be handed out again, and go home, only when its owner has taken it in:
/// when it runs dry, or at [`trim`](Self::trim). One that another free in the same page, block or place was faster than waits until that
/// one is complete, too. When others have emptied 16 stacks of a shard that does not look, one of them takes
/// them in.
///
/// A wrong free of what another CPU owns is found out by the same means. If two frees of one object race, exactly one wins, as
/// long as its memory is not handed out again between them. One by its owner and one by another CPU at the very same time may both
/// return, and so may one that comes while the owner takes another one in. The owner then finds out when it takes in what came back, and
/// the misuse handler is told so, later and with the chunk's size as the layout; or it frees what has got the chunk meanwhile, if anything
/// has.
///
/// What a source gives is compared with all blocks, and with the regions of the shard that asked. Before a request is answered with null,
/// it is asked some times for each shard.
///
/// # The lock
///
/// `R` is taken by an atomic read-modify-write, as every lock among CPUs is. It must say the truth in
/// [`is_locked`](RawMutex::is_locked), which is `true` from before [`lock`](RawMutex::lock) returns until the lock is given up: other
/// CPUs take an unlocked shard for one in which nobody looks at their memory. `spin`'s locks do, and a wrapper that masks interrupts does if it
/// passes the question on; the method that `lock_api` provides does, at the price of trying the lock.
///
/// # Costs
///
/// Each block holds one page more than in a heap with one lock, for what others write: 1.6 %. Each shard keeps one idle block,
/// and all together up to [`KEPT_BLOCKS`](crate::KEPT_BLOCKS) more. The value is about 25 KiB a shard and 35 KiB: one for a `static`. It
/// begins as zeros all over, so it takes no room in the image of a kernel. Up to 15 stacks of a shard that others have emptied wait for
/// their owner, and each may hold a block. With more CPUs than shards, several share one. A free of what others own looks at one block more
/// for each GiB of heap beyond the first, and any free of more than 248 KiB at one more such region for each 64 MiB that they lie apart.
///
/// It has no quarantine.
///
/// # Examples
///
/// ```
/// # use std::alloc::{GlobalAlloc, Layout, System};
/// # use std::ptr::NonNull;
/// use stack_alloc::{CurrentCpu, MemorySource, ShardedAllocator};
/// # use stack_alloc::BLOCK_SIZE;
/// # struct MyMemorySource;
/// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
/// # unsafe impl MemorySource for MyMemorySource {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { System.alloc(block()) }) }
/// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { System.dealloc(b.as_ptr(), block()) } }
/// # }
/// struct MyCpu;
///
/// impl CurrentCpu for MyCpu {
///     fn current_cpu() -> usize {
///         // In a kernel: a word of the CPU's own data.
/// #       0
///     }
/// }
///
/// #[global_allocator]
/// static GLOBAL: ShardedAllocator<MyMemorySource, MyCpu> = ShardedAllocator::new(MyMemorySource);
///
/// fn main() {
///     let numbers: Vec<u32> = (0..1000).collect();
///     let sum = std::thread::spawn(move || numbers.iter().sum::<u32>()).join().unwrap();
///     assert_eq!(sum, 499_500);
///     GLOBAL.check().unwrap();
/// }
/// ```
pub struct ShardedAllocator<S, C, R = spin::Mutex<()>, const SHARDS: usize = 8> {
    /// A heap for each CPU.
    pub(crate) shards: [Shard<R>; SHARDS],
    /// What they share.
    pub(crate) central: Central<S, R>,
    /// What to call of the user's, but for one.
    pub(crate) callbacks: Mutex<R, Callbacks>,
    /// What to call after a wrong free.
    pub(crate) on_misuse: MisuseHandler,
    /// Who says which CPU it is.
    cpu: PhantomData<fn() -> C>,
}

impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Creates a heap that holds no memory yet.
    #[cfg(not(loom))]
    pub const fn new(source: S) -> Self {
        const { assert!(SHARDS > 0, "a heap has a shard") };
        Self {
            shards: [const { Shard::new() }; SHARDS],
            central: Central::new(source),
            callbacks: Mutex::const_new(R::INIT, Callbacks::new()),
            on_misuse: MisuseHandler::new(),
            cpu: PhantomData,
        }
    }

    /// Creates a heap that holds no memory yet.
    #[cfg(loom)]
    pub fn new(source: S) -> Self {
        Self {
            shards: [(); SHARDS].map(|()| Shard::new()),
            central: Central::new(source),
            callbacks: Mutex::const_new(R::INIT, Callbacks::new()),
            on_misuse: MisuseHandler::new(),
            cpu: PhantomData,
        }
    }

    /// Calls `look` with the source, under the lock of what all shards share: whatever the source is, nobody else uses it meanwhile.
    ///
    /// `look` is held to what a source is held to: it must not allocate from this heap, and should be short.
    pub fn with_source<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        let _writer = self.central.write();
        look(&self.central.source)
    }

    /// Sets what is called after a wrong free, or wrong memory from the source, with no lock held: see
    /// [`Allocator::set_misuse_handler`](crate::Allocator::set_misuse_handler).
    pub fn set_misuse_handler(&self, handler: fn(Misuse)) {
        self.on_misuse.set(handler);
    }

    /// Sets what is called after a request was answered with null, with no lock held: see
    /// [`Allocator::set_out_of_memory_handler`](crate::Allocator::set_out_of_memory_handler). A request by who may not wait is answered
    /// without.
    pub fn set_out_of_memory_handler(&self, handler: fn(Layout)) {
        self.callbacks.lock().on_out_of_memory.set(handler);
    }

    /// Adds a function that is asked to free memory before a request is answered with null: see [`Shrinker`].
    ///
    /// # Errors
    ///
    /// [`TooManyShrinkers`] when there are [`MOST_SHRINKERS`](crate::MOST_SHRINKERS) already.
    pub fn add_shrinker(&self, shrinker: Shrinker) -> Result<(), TooManyShrinkers> {
        self.callbacks.lock().shrinkers.add(shrinker)
    }

    /// Returns the number of the shard that the caller uses.
    #[inline(always)]
    pub(crate) fn here() -> usize {
        C::current_cpu() % SHARDS
    }

    /// Hands out memory whose contents are nobody's business, and returns its start, or null.
    #[inline(always)]
    fn allocate_any(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            return self.allocate_any_slowly(layout);
        };
        let here = Self::here();
        let Some(mut owned) = self.shards[here].try_enter() else {
            return self.allocate_any_slowly(layout);
        };
        let Some(taken) = owned.chain.allocate_at_hand(class, layout.size()) else {
            return self.allocate_any_in(here, owned, layout);
        };
        if taken.is_first {
            return Self::woken(owned, class, taken);
        }
        taken.chunk.start.as_ptr()
    }

    /// Does what [`allocate_any`](Self::allocate_any) does when the own shard is busy, or the request is none for chunks.
    #[cold]
    fn allocate_any_slowly(&self, layout: Layout) -> *mut u8 {
        start_of(self.allocate(layout))
    }

    /// Does what [`allocate_any`](Self::allocate_any) does when no stack has it at hand.
    #[cold]
    fn allocate_any_in(&self, here: usize, owned: Entered<'_, R>, layout: Layout) -> *mut u8 {
        start_of(self.allocate_slowly(here, owned, layout))
    }

    /// Follows up on a stack of `class` that got its first chunk, and returns the chunk.
    #[inline(never)]
    fn woken(mut owned: Entered<'_, R>, class: ClassIndex, taken: Taken) -> *mut u8 {
        owned.chain.woken(class, taken.run);
        taken.chunk.start.as_ptr()
    }

    /// Hands out memory.
    pub(crate) fn allocate(&self, layout: Layout) -> Option<Memory> {
        let Some((index, mut owned)) = self.enter_any() else {
            self.count_failure();
            return None;
        };
        match owned.chain.chunk_for(layout) {
            Some(chunk) => Some(chunk),
            None => self.allocate_slowly(index, owned, layout),
        }
    }

    /// Enters the caller's own shard, or if that is busy another one, or else waits. `None` when all are busy and the caller may
    /// not wait.
    fn enter_any(&self) -> Option<(usize, Entered<'_, R>)> {
        let here = Self::here();
        let any = (0..SHARDS)
            .map(|offset| (here + offset) % SHARDS)
            .find_map(|index| {
                let owned = self.shards[index].try_enter()?;
                Some((index, owned))
            });
        any.or_else(|| C::may_wait().then(|| (here, self.shards[here].enter())))
    }

    /// Hands out memory that is zero: cleared without a lock, and only where it is not known to be zero.
    fn allocate_zeroed_memory(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = self.allocate(layout)?;
        if !memory.is_zeroed {
            // SAFETY: it was just handed out, with at least as many bytes.
            unsafe { memory.start.write_bytes(0, layout.size()) };
        }
        Some(memory.start)
    }

    /// Gives an object back, or reports why not.
    #[inline(always)]
    pub(crate) fn deallocate(&self, pointer: *mut u8, layout: Layout) {
        let address = pointer.addr();
        let here = Self::here();
        let Some(class) = class_of(layout) else {
            return self.deallocate_slowly(here, None, address, layout);
        };
        let Some(mut owned) = self.shards[here].try_enter() else {
            return self.deallocate_slowly(here, None, address, layout);
        };
        let Some((run, chunk)) = owned.chain.chunk_at_hand(address, class) else {
            return self.deallocate_slowly(here, Some(owned), address, layout);
        };
        if !Self::given_back_beside(run, chunk).is_empty() {
            return self.deallocate_beside(here, owned, run, (chunk, class), address, layout);
        }
        match owned.chain.take_back(class, layout.size(), run, chunk) {
            TakenBack::Done => {}
            TakenBack::Emptied(run) => self.emptied(here, owned, run),
            TakenBack::NotAtHand => self.report_wrong_free(owned, address, layout),
        }
    }

    /// Returns what others gave back of the stack of chunk `chunk` of `run`, which a shard owns that was entered.
    #[inline(always)]
    pub(crate) fn given_back_beside(run: Run, chunk: usize) -> Bitmap {
        record_of(Block::of(run))
            .remote_frees
            .beside(run.first_page(), chunk)
    }

    /// Returns whether others gave back chunk `chunk` of `run`, which a shard owns that was entered.
    pub(crate) fn was_given_back(run: Run, chunk: usize) -> bool {
        Self::given_back_beside(run, chunk).contains(chunk % CHUNKS_PER_STACK)
    }

    /// Follows up on a stack that lost its last chunk.
    #[inline(never)]
    pub(crate) fn emptied(&self, here: usize, mut owned: Entered<'_, R>, run: Run) {
        self.work(here, &mut owned, false, |chain, source| {
            chain.emptied(run, source);
        });
        self.leave(owned);
    }
}

/// Returns the start of memory, or null.
fn start_of(memory: Option<Memory>) -> *mut u8 {
    memory.map_or(ptr::null_mut(), |memory| memory.start.as_ptr())
}

impl<S: MemorySource + Sync, C: CurrentCpu, R: RawMutex, const SHARDS: usize>
    ShardedAllocator<S, C, R, SHARDS>
{
    /// Returns the source. One that is not [`Sync`] is reached by [`with_source`](Self::with_source).
    pub const fn source(&self) -> &S {
        &self.central.source
    }
}

// SAFETY: locks may be shared, and so may the atomics beside them. The tables are lists of atomics whose records stay as long as they
// are looked at: that rests on what the docs of the type ask of `R` (`sharded::visits`). The source is used only by whoever holds the central lock, so it is as if it were sent to and
// fro; `source` gives it out without the lock, but only one that may be shared.
unsafe impl<S: Send, C, R: Sync, const SHARDS: usize> Sync for ShardedAllocator<S, C, R, SHARDS> {}

// SAFETY: memory handed out is valid and exclusive: it is a chunk, run or region that was free, of memory that the source gave,
// and a chain is entered by one context at a time; what others give back is taken in by the owner alone. Its size and alignment are at
// least the layout's, by `size_class::placement`. Nothing here unwinds: a chain does not panic, a source does not unwind (its
// contract), a lock and `CurrentCpu` should not (theirs), and a handler or shrinker that does ends the program.
unsafe impl<S: MemorySource, C: CurrentCpu, R: RawMutex, const SHARDS: usize> GlobalAlloc
    for ShardedAllocator<S, C, R, SHARDS>
{
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate_any(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.deallocate(pointer, layout);
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocate_zeroed_memory(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            // Nobody has so much. A wrong pointer is reported all the same; a right one stays as it is.
            self.resize(pointer, layout, layout);
            return ptr::null_mut();
        };
        self.reallocate_chunk(pointer, layout, new_layout)
            .or_else(|| self.reallocate_slowly(pointer, layout, new_layout))
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl<S, C, R, const SHARDS: usize> fmt::Debug for ShardedAllocator<S, C, R, SHARDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedAllocator").finish_non_exhaustive()
    }
}
