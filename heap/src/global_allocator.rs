//! The four layers composed: the heap that a program names.
//!
//! Owns nothing but the composition. What may take time proportional to an object's size, copying and clearing, is done
//! here, without the lock.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{self, NonNull};

use lock_api::RawMutex;

use crate::check::{Corruption, check};
use crate::lock::Lock;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::page_runs::KEPT_BLOCKS;
use crate::statistics::Statistics;

/// A heap over the memory source `S`, behind a lock of kind `R`.
///
/// Make one a `static` with `#[global_allocator]`, or as many as wanted and call their methods. `R` defaults to a spin
/// lock; a kernel whose interrupt handlers allocate gives a lock that masks interrupts while it is held.
///
/// A heap that is dropped does not give its memory back: what it handed out may still be in use.
///
/// Allocating and freeing take constant time, whatever is live; `realloc` copies, where it must, without the lock.
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

    /// Returns the source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Sets what is called after a wrong free, with the lock not held. The default panics with the misuse's sentence.
    ///
    /// The wrong free has changed nothing, so a handler may just return; a `realloc` of a wrong pointer then returns null. It may allocate. It must not unwind: a
    /// handler that panics where panics unwind ends the program.
    pub fn set_misuse_handler(&self, handler: fn(Misuse)) {
        self.lock.enter().on_misuse = handler;
    }

    /// Returns the heap's numbers as of now. Cost: constant, under the lock.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.lock.enter().chain, &self.source)
    }

    /// Walks the whole heap and proves its invariants. Cost: the number of blocks, stacks and regions, under the lock.
    ///
    /// # Errors
    ///
    /// The first invariant found not to hold.
    pub fn check(&self) -> Result<(), Corruption> {
        check(&self.lock.enter().chain)
    }

    /// Gives all memory that holds nothing back to the source: spare stacks, and the idle blocks kept in hand.
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

    /// Makes a live object fit `new_size` bytes where it stands. `None` after a misuse, which has been reported.
    fn resize(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> Option<bool> {
        let mut guarded = self.lock.enter();
        let result = guarded.chain.resize(pointer.addr(), layout, new_size);
        let handler = guarded.on_misuse;
        drop(guarded);
        result.map_err(|misuse| report(handler, misuse)).ok()
    }
}

// SAFETY: memory handed out is valid and exclusive: it is a chunk, run or region that was free, of memory that the
// source gave, and the chain is entered by one context at a time. Its size and alignment are at least the layout's, by
// `size_class::placement`. Nothing here unwinds: the chain does not panic, a source does not unwind (its contract), and a
// handler that does ends the program.
unsafe impl<S: MemorySource, R: RawMutex> GlobalAlloc for Allocator<S, R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let memory = self.lock.enter().chain.allocate(layout, &self.source);
        memory.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let mut guarded = self.lock.enter();
        let result = guarded
            .chain
            .deallocate(pointer.addr(), layout, &self.source);
        if let Err(misuse) = result {
            let handler = guarded.on_misuse;
            drop(guarded);
            report(handler, misuse);
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match self.resize(pointer, layout, new_size) {
            Some(true) => return pointer,
            Some(false) => {}
            None => return ptr::null_mut(),
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: `alloc` takes any layout.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: `resize` found `pointer` to be live with `layout`, `new` is another object of `new_size` bytes.
            unsafe { ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size)) };
            // SAFETY: the caller gives `pointer` up, and no longer needs it: its contents were copied.
            unsafe { self.dealloc(pointer, layout) };
        }
        new
    }
}

impl<S, R> fmt::Debug for Allocator<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocator").finish_non_exhaustive()
    }
}

/// The default handler: panics.
fn panic_on_misuse(misuse: Misuse) {
    panic!("{misuse}");
}

/// Calls `handler`, and does not let it unwind into the code that freed: an allocator must not.
#[cold]
fn report(handler: fn(Misuse), misuse: Misuse) {
    let no_unwinding = AbortOnDrop;
    handler(misuse);
    core::mem::forget(no_unwinding);
}

/// Ends the program when dropped while unwinding: a panic during a panic aborts.
struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        panic!("a misuse handler must not unwind out of the allocator");
    }
}
