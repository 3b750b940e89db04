//! The four layers composed: the heap that a program names.
//!
//! Owns nothing but the composition. What may take time proportional to an object's size, copying and clearing, is done
//! here, without the lock; but for copies of up to 256 bytes, which take less time than to let go of it.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::at_hand::{MOST_COPIED_UNDER_LOCK, Resized, TakenBack};
use crate::block_snapshot::BlockSnapshot;
use crate::callbacks::{Callbacks, WhenOut, panic_on_misuse, report};
use crate::chain_kind::KEPT_BLOCKS;
use crate::check::{Corruption, check};
use crate::lock::{Entered, Lock};
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::place::{Object, Place};
use crate::run::{Memory, Run, Taken};
use crate::shrinkers::{Shrinker, TooManyShrinkers};
use crate::size_class::{ClassIndex, class_of};
use crate::statistics::Statistics;
use crate::walk::{BlockWalk, Walk, next};

/// A heap over the memory source `S`, behind a lock of kind `R`.
///
/// Make one a `static` with `#[global_allocator]`, or as many as wanted and call their methods. (It is a value of about 25 KiB,
/// too much for a small call stack.) `R` defaults to a spin
/// lock; a kernel whose interrupt handlers allocate gives a lock that masks interrupts while it is held.
///
/// A heap that is dropped does not give its memory back: what it handed out may still be in use.
///
/// Allocating and freeing take constant time, whatever is live; `realloc` copies, where it must, without the lock, but for
/// objects of up to 256 bytes.
///
/// # Examples
///
/// See [`MemorySource`] for a source.
///
/// ```
/// # use std::alloc::{GlobalAlloc, Layout, System};
/// # use std::ptr::NonNull;
/// use stack_alloc::{Allocator, MemorySource};
/// # use stack_alloc::BLOCK_SIZE;
/// # struct MyMemorySource;
/// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
/// # unsafe impl MemorySource for MyMemorySource {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { System.alloc(block()) }) }
/// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { System.dealloc(b.as_ptr(), block()) } }
/// # }
///
/// #[global_allocator]
/// static GLOBAL: Allocator<MyMemorySource> = Allocator::new(MyMemorySource);
///
/// fn main() {
///     let numbers: Vec<u32> = (0..1000).collect();
///     assert_eq!(numbers.iter().sum::<u32>(), 499_500);
///     assert!(GLOBAL.statistics().bytes_requested >= 4000);
///     GLOBAL.check().unwrap();
/// }
/// ```
pub struct Allocator<S, R = spin::Mutex<()>> {
    /// Layer 4, and through it the others.
    lock: Lock<R>,
    /// Where memory comes from. Called with the lock held.
    source: S,
}

impl<S: MemorySource, R: RawMutex> Allocator<S, R> {
    /// Creates a heap that holds no memory yet.
    pub const fn new(source: S) -> Self {
        Self {
            lock: Lock::new(panic_on_misuse),
            source,
        }
    }

    /// Calls `look` with the source, under the lock: whatever the source is, nobody else uses it meanwhile.
    ///
    /// `look` is held to what a source is held to: it must not allocate from this heap, and should be short.
    pub fn with_source<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        let _entered = self.lock.enter();
        look(&self.source)
    }

    /// Sets what is called after a wrong free, or wrong memory from the source, with the lock not held. The default panics
    /// with the misuse's sentence.
    ///
    /// The wrong free has changed nothing, so a handler may just return; a `realloc` of a wrong pointer then returns
    /// null. It may allocate. It must not unwind: a handler that panics where panics unwind ends the program.
    pub fn set_misuse_handler(&self, handler: fn(Misuse)) {
        self.lock.enter().on_misuse = handler;
    }

    /// Sets what is called after a request was answered with null, with the request's layout and the lock not held: to say on a
    /// console what was asked for and what there is ([`statistics`](Self::statistics)). The default does nothing. The answer
    /// stays null. (A `realloc` to a size that no layout has, above `isize::MAX`, is null too, but no request: it is neither
    /// counted nor told.)
    ///
    /// It is called by whoever asked for memory, in an interrupt handler too. It may allocate; requests that are answered
    /// with null meanwhile, its own or others', do not call it again. It must not unwind.
    pub fn set_out_of_memory_handler(&self, handler: fn(Layout)) {
        self.lock.enter().callbacks.on_out_of_memory.set(handler);
    }

    /// Adds a function that is asked to free memory before a request is answered with null: see [`Shrinker`].
    ///
    /// All of them are asked in turn, each once, until the request can be met.
    ///
    /// # Errors
    ///
    /// [`TooManyShrinkers`] when there are [`MOST_SHRINKERS`](crate::MOST_SHRINKERS) already.
    pub fn add_shrinker(&self, shrinker: Shrinker) -> Result<(), TooManyShrinkers> {
        self.lock.enter().callbacks.shrinkers.add(shrinker)
    }

    /// Holds `blocks` blocks of 256 KiB back for requests that are urgent, at most
    /// [`LARGEST_RESERVE`](crate::LARGEST_RESERVE), and returns how many could be had. 0 gives them up.
    ///
    /// A request of at most what a block holds, for which there is no memory otherwise, takes a block out of the reserve if
    /// `is_urgent` says so: in an interrupt handler, say, or while the kernel panics. Shrinkers are not asked then. What is
    /// left of the block serves everybody; the next block that falls idle fills the reserve up again. `is_urgent` is called
    /// by whoever asks for memory, without the lock, and must not unwind.
    pub fn set_reserve(&self, blocks: usize, is_urgent: fn() -> bool) -> usize {
        let mut guarded = self.lock.enter();
        guarded.callbacks.is_urgent = Some(is_urgent);
        let held_back = guarded.chain.set_reserve(blocks, &self.source);
        self.report_source(guarded);
        held_back
    }

    /// Lets the last `chunks` chunks that were given back wait before they can be handed out again, at most 64; 0, the
    /// default, turns that off. Only with the feature `quarantine`.
    ///
    /// A second free of a chunk that waits is found out for certain, and a write into it hurts nobody. They are made free
    /// when memory is short, and by [`trim`](Self::trim).
    #[cfg(feature = "quarantine")]
    pub fn set_quarantine(&self, chunks: usize) {
        self.lock.enter().chain.set_quarantine(chunks, &self.source);
    }

    /// Returns the heap's numbers as of now. Cost: constant, under the lock.
    pub fn statistics(&self) -> Statistics {
        let guarded = self.lock.enter();
        Statistics::of(&guarded.chain, self.source.largest_region())
    }

    /// Returns the heap's numbers, or `None` at once when somebody is in the heap: for contexts that must not wait, such as a
    /// non-maskable interrupt or the report of a panic, which may have interrupted the very code that holds the lock.
    ///
    /// The source, which may have a lock of its own, is not asked: `largest_available` is what the heap has in hand.
    pub fn try_statistics(&self) -> Option<Statistics> {
        Some(Statistics::of(&self.lock.try_enter()?.chain, 0))
    }

    /// Says what is at `address`: which object, live or free, or none. Reads nothing there. Cost: constant, under the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// # use std::ptr::NonNull;
    /// # use stack_alloc::{BLOCK_SIZE, MemorySource};
    /// # struct Host;
    /// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
    /// # unsafe impl MemorySource for Host {
    /// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { std::alloc::alloc(block()) }) }
    /// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { std::alloc::dealloc(b.as_ptr(), block()) } }
    /// # }
    /// use stack_alloc::{Allocator, ObjectState};
    ///
    /// let heap = Allocator::<Host>::new(Host);
    /// let layout = Layout::new::<[u64; 6]>();
    /// let pointer = unsafe { heap.alloc(layout) };
    /// let place = heap.what_is(pointer.addr() + 24);
    /// assert!(place.to_string().starts_with("24 bytes into a live 48-byte chunk at 0x"));
    ///
    /// unsafe { heap.dealloc(pointer, layout) };
    /// let object = heap.what_is(pointer.addr()).object().expect("the chunk is still there");
    /// assert_eq!(object.state, ObjectState::Free);
    /// ```
    pub fn what_is(&self, address: usize) -> Place {
        self.lock.enter().chain.holdings.lookup().place(address)
    }

    /// Says what is at `address`, or `None` at once when somebody is in the heap: see [`try_statistics`](Self::try_statistics).
    pub fn try_what_is(&self, address: usize) -> Option<Place> {
        Some((self.lock.try_enter()?.chain.holdings.lookup()).place(address))
    }

    /// Returns every block, those held back too, as a picture: what each of its pages is used for. They come by address modulo
    /// 512 MiB: by address, where all lie between two multiples of that.
    ///
    /// The lock is taken for each block and not held between them, so the walk may print, allocate and free; a block that
    /// comes or goes meanwhile may be seen or not, one that stays is seen once. Cost of a step: constant; where blocks lie far
    /// apart, there are some steps between them. Regions are not in blocks: see [`live_regions`](Self::live_regions).
    pub fn blocks(&self) -> impl Iterator<Item = BlockSnapshot> {
        let mut walk = BlockWalk::new();
        core::iter::from_fn(move || next(|| walk.step(self.lock.enter().chain.holdings.lookup())))
    }

    /// Returns every live object: first those in blocks, in the order of [`blocks`](Self::blocks) and inside a block by address,
    /// then the regions, by address.
    ///
    /// The lock is taken for each step and not held between them, so the walk may print, allocate and free; an object that
    /// comes or goes meanwhile may be seen or not, one that stays is seen once. Cost of a step: constant.
    pub fn live_objects(&self) -> impl Iterator<Item = Object> {
        let mut walk = Walk::new();
        core::iter::from_fn(move || next(|| walk.step(self.lock.enter().chain.holdings.lookup())))
    }

    /// Returns every live region, by address: what [`live_objects`](Self::live_objects) ends with, and in the same way.
    pub fn live_regions(&self) -> impl Iterator<Item = Object> {
        let mut walk = Walk::of_regions();
        core::iter::from_fn(move || next(|| walk.step(self.lock.enter().chain.holdings.lookup())))
    }

    /// Walks the whole heap and proves its invariants. Cost: the number of blocks, stacks and regions, under the lock.
    ///
    /// # Errors
    ///
    /// The first invariant found not to hold.
    pub fn check(&self) -> Result<(), Corruption> {
        check(&self.lock.enter().chain)
    }

    /// Gives all memory that holds nothing back to the source: spare stacks, the idle blocks kept in hand, and what waits in
    /// quarantine. The reserve is filled up first, and stays.
    ///
    /// The lock is taken anew for each block, at most one time more often than [`KEPT_BLOCKS`].
    pub fn trim(&self) {
        for _ in 0..=KEPT_BLOCKS {
            if !self.trim_one() {
                break;
            }
        }
    }

    /// Gives one idle block back.
    fn trim_one(&self) -> bool {
        self.lock.enter().chain.trim_one(&self.source)
    }

    /// Takes the lock, and with it the right to use the source.
    pub(crate) fn enter(&self) -> (Entered<'_, R>, &S) {
        (self.lock.enter(), &self.source)
    }

    /// Takes the lock, if nobody holds it, and with it the right to use the source.
    pub(crate) fn try_enter(&self) -> Option<(Entered<'_, R>, &S)> {
        Some((self.lock.try_enter()?, &self.source))
    }

    /// Hands out memory.
    #[inline(always)]
    pub(crate) fn allocate(&self, layout: Layout) -> Option<Memory> {
        let Some(class) = class_of(layout) else {
            return self.allocate_slowly(self.lock.enter(), layout);
        };
        let mut guarded = self.lock.enter();
        let Some(taken) = guarded.chain.allocate_at_hand(class, layout.size()) else {
            return self.allocate_slowly(guarded, layout);
        };
        if taken.is_first {
            guarded.chain.woken(class, taken.run);
        }
        Some(taken.chunk)
    }

    /// Hands out memory whose contents are nobody's business, and returns its start, or null.
    #[inline(always)]
    fn allocate_any(&self, layout: Layout) -> *mut u8 {
        // What the layout says is found out before the lock is taken, so that others wait for less.
        let Some(class) = class_of(layout) else {
            return self.allocate_any_slowly(self.lock.enter(), layout);
        };
        let mut guarded = self.lock.enter();
        let Some(taken) = guarded.chain.allocate_at_hand(class, layout.size()) else {
            return self.allocate_any_slowly(guarded, layout);
        };
        if taken.is_first {
            return self.woken(guarded, class, taken);
        }
        taken.chunk.start.as_ptr()
    }

    /// Does what [`allocate_any`](Self::allocate_any) does when no stack has it at hand.
    #[cold]
    fn allocate_any_slowly(&self, guarded: Entered<'_, R>, layout: Layout) -> *mut u8 {
        self.allocate_slowly(guarded, layout)
            .map_or(ptr::null_mut(), |memory| memory.start.as_ptr())
    }

    /// Follows up on a stack of `class` that got its first chunk, and returns the chunk.
    #[inline(never)]
    fn woken(&self, mut guarded: Entered<'_, R>, class: ClassIndex, taken: Taken) -> *mut u8 {
        guarded.chain.woken(class, taken.run);
        taken.chunk.start.as_ptr()
    }

    /// Hands out memory when no stack has it at hand.
    #[inline(never)]
    fn allocate_slowly(&self, mut guarded: Entered<'_, R>, layout: Layout) -> Option<Memory> {
        let memory = guarded.chain.allocate(layout, &self.source);
        self.report_source(guarded);
        memory.or_else(|| self.allocate_when_out(layout))
    }

    /// Reports what the source did wrong, if it did, when the lock is gone.
    fn report_source(&self, mut guarded: Entered<'_, R>) {
        if guarded.chain.holdings.has_source_misuse() {
            let misuse = guarded.chain.holdings.take_source_misuse();
            let handler = guarded.on_misuse;
            drop(guarded);
            if let Some(misuse) = misuse {
                report(handler, misuse);
            }
        }
    }

    /// Hands out memory that is zero: cleared without the lock, and only where it is not known to be zero.
    pub(crate) fn allocate_zeroed_memory(&self, layout: Layout) -> Option<NonNull<u8>> {
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
        let Some(class) = class_of(layout) else {
            return self.deallocate_slowly(self.lock.enter(), address, layout);
        };
        let mut guarded = self.lock.enter();
        let taken_back = (guarded.chain).deallocate_at_hand(address, class, layout.size());
        self.finish(guarded, taken_back, address, layout);
    }

    /// Does what is left to do after a chunk was to be taken back.
    #[inline(always)]
    fn finish(
        &self,
        guarded: Entered<'_, R>,
        taken_back: TakenBack,
        address: usize,
        layout: Layout,
    ) {
        match taken_back {
            TakenBack::Done => {}
            TakenBack::Emptied(run) => self.emptied(guarded, run),
            TakenBack::NotAtHand => self.deallocate_slowly(guarded, address, layout),
        }
    }

    /// Follows up on a stack that lost its last chunk.
    #[inline(never)]
    fn emptied(&self, mut guarded: Entered<'_, R>, run: Run) {
        guarded.chain.emptied(run, &self.source);
    }

    /// Gives an object back that is not a chunk which the short way serves, or reports why not.
    #[cold]
    fn deallocate_slowly(&self, mut guarded: Entered<'_, R>, address: usize, layout: Layout) {
        let result = guarded.chain.deallocate(address, layout, &self.source);
        if let Err(misuse) = result {
            let handler = guarded.on_misuse;
            drop(guarded);
            report(handler, misuse);
        }
    }

    /// Makes a live chunk, handed out for `old`, one for `new`, if both are chunks: the usual case, and the short way. `None`,
    /// with nothing changed, when that is not at hand.
    #[inline(always)]
    fn reallocate_chunk(&self, pointer: *mut u8, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        let (class, new_class) = (class_of(old)?, class_of(new)?);
        let mut guarded = self.lock.enter();
        let found = guarded.chain.chunk_at_hand(pointer.addr(), class)?;
        let resized =
            (guarded.chain).resize_at_hand(found, (class, old.size()), (new_class, new.size()));
        let (moved, run, chunk) = match resized {
            Resized::InPlace(chunk) => return Some(chunk),
            Resized::ToBeMoved { new, run, chunk } => (new, run, chunk),
            Resized::NotAtHand => return None,
        };
        let kept = old.size().min(new.size());
        if kept <= MOST_COPIED_UNDER_LOCK {
            // SAFETY: `pointer` was found to be live with `old`, and `moved` is another object, for `new`.
            unsafe { ptr::copy_nonoverlapping(pointer, moved.as_ptr(), kept) };
            let taken_back = (guarded.chain).take_back(class, old.size(), run, chunk);
            self.finish(guarded, taken_back, pointer.addr(), old);
        } else {
            drop(guarded);
            // SAFETY: the same.
            unsafe { ptr::copy_nonoverlapping(pointer, moved.as_ptr(), kept) };
            // The caller gives `pointer` up, and no longer needs it: its contents were copied.
            self.deallocate(pointer, old);
        }
        Some(moved)
    }

    /// Makes a live object, handed out for `old`, one for `new`, whatever they are.
    #[cold]
    fn reallocate_slowly(&self, pointer: *mut u8, old: Layout, new: Layout) -> Option<NonNull<u8>> {
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

    /// Makes a live object, handed out for `old`, fit `new` where it stands, and returns the heap's own pointer to it, or
    /// `None` inside when it has to move. `None` outside after a misuse, which has been reported. The alignments are the same.
    #[inline(always)]
    pub(crate) fn resize(
        &self,
        pointer: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Option<Option<NonNull<u8>>> {
        let mut guarded = self.lock.enter();
        if let Some(kept) = guarded.chain.keep_run(pointer.addr(), old, new) {
            return Some(Some(kept));
        }
        let result = (guarded.chain).resize(pointer.addr(), old, new, &self.source);
        let handler = guarded.on_misuse;
        self.report_source(guarded);
        result.map_err(|misuse| report(handler, misuse)).ok()
    }
}

impl<S: MemorySource, R: RawMutex> WhenOut for Allocator<S, R> {
    fn with_callbacks<T>(&self, look: impl FnOnce(&mut Callbacks) -> T) -> T {
        look(&mut self.lock.enter().callbacks)
    }

    fn allocate_again(&self, layout: Layout, is_urgent: bool) -> Option<Memory> {
        let mut guarded = self.lock.enter();
        let memory = if is_urgent {
            guarded.chain.allocate_urgently(layout, &self.source)
        } else {
            guarded.chain.allocate(layout, &self.source)
        };
        self.report_source(guarded);
        memory
    }

    fn count_failure(&self) {
        self.lock.enter().chain.totals.count_failure();
    }
}

impl<S: MemorySource + Sync, R: RawMutex> Allocator<S, R> {
    /// Returns the source. One that is not [`Sync`] is reached by [`with_source`](Self::with_source).
    pub const fn source(&self) -> &S {
        &self.source
    }
}

// SAFETY: the lock may be shared. The source is used only by whoever holds the lock, so it is as if it were sent to and
// fro; `source` gives it out without the lock, but only one that may be shared.
unsafe impl<S: Send, R: Sync> Sync for Allocator<S, R> {}

// SAFETY: memory handed out is valid and exclusive: it is a chunk, run or region that was free, of memory that the
// source gave, and the chain is entered by one context at a time. Its size and alignment are at least the layout's, by
// `size_class::placement`. Nothing here unwinds: the chain does not panic, a source does not unwind (its contract), and a
// handler or shrinker that does ends the program.
unsafe impl<S: MemorySource, R: RawMutex> GlobalAlloc for Allocator<S, R> {
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

impl<S, R> fmt::Debug for Allocator<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocator").finish_non_exhaustive()
    }
}
