//! A heap that says "no" on demand, so that a program's out-of-memory paths can be tested.
//!
//! Memory hardly ever runs out in a test, and never twice at the same place. [`FaultInjector`] wraps a heap and answers
//! null when it is told to, as Linux's `failslab` does: a program is run with its first request failing, then with its
//! second one, and so on until none fails any more.
//!
//! Owns a few numbers, all of them atomic: there is no lock. Refuses to know the heap: any [`GlobalAlloc`] will do.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A heap that passes requests on to the heap `A`, or answers null when it was told to.
///
/// A request is one that may be answered with null: `alloc`, `alloc_zeroed`, and a `realloc` to a larger size. Frees are
/// passed on, and so is a `realloc` to the same or a smaller size, neither counted nor failed: programs rely on it, and
/// [`Vec::shrink_to_fit`](https://doc.rust-lang.org/std/vec/struct.Vec.html#method.shrink_to_fit) ends the program when
/// it fails. A request that is failed does not reach the heap; a `realloc` that is failed leaves its object as it was.
///
/// The settings can be combined: a request fails if one of them says so, and is counted by all. Before any is made, and
/// after [`clear`](Self::clear), none fails. Requests of other threads count too; so, if this is the program's global
/// allocator, do those of its runtime.
///
/// Cost: a few atomic operations for each request, without a lock.
///
/// # Examples
///
/// ```
/// use std::alloc::System;
/// use stack_alloc::FaultInjector;
///
/// #[global_allocator]
/// static HEAP: FaultInjector<System> = FaultInjector::new(System);
///
/// fn two_buffers() -> Option<(Vec<u8>, Vec<u8>)> {
///     let (mut first, mut second) = (Vec::new(), Vec::new());
///     first.try_reserve(1000).ok()?;
///     second.try_reserve(1000).ok()?;
///     Some((first, second))
/// }
///
/// // Fails at the first request, then at the second; then there is none left that could fail.
/// let mut failed = 0;
/// for nth in 1.. {
///     HEAP.fail_nth(nth);
///     let result = two_buffers();
///     HEAP.clear();
///     if result.is_some() {
///         break;
///     }
///     failed += 1;
/// }
/// assert_eq!(failed, 2);
/// assert_eq!(HEAP.failures(), 2);
/// ```
#[derive(Debug)]
pub struct FaultInjector<A> {
    /// The heap.
    heap: A,
    /// How many more requests there are up to the one that fails, itself included. 0 if none shall.
    until_nth: AtomicUsize,
    /// Every how many requests one fails. 0 if none shall.
    period: AtomicUsize,
    /// Requests since `period` was set.
    since_period: AtomicUsize,
    /// The largest size that does not fail.
    largest: AtomicUsize,
    /// Requests ever.
    requests: AtomicUsize,
    /// Requests that were failed.
    failures: AtomicUsize,
}

// The numbers are no signals: nobody concludes from one that something else has been written. So `Relaxed` will do.
impl<A> FaultInjector<A> {
    /// Wraps `heap`. No request fails until it is told.
    pub const fn new(heap: A) -> Self {
        Self {
            heap,
            until_nth: AtomicUsize::new(0),
            period: AtomicUsize::new(0),
            since_period: AtomicUsize::new(0),
            largest: AtomicUsize::new(usize::MAX),
            requests: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
        }
    }

    /// Returns the heap. Requests made to it directly are neither counted nor failed.
    pub const fn heap(&self) -> &A {
        &self.heap
    }

    /// Fails the `n`-th request from now on, once: 1 is the next one. 0 fails none, as before the first call.
    pub fn fail_nth(&self, n: usize) {
        self.until_nth.store(n, Ordering::Relaxed);
    }

    /// Fails the `n`-th request from now on, the `2 n`-th, and so on: 1 fails all of them. 0 fails none, as before the
    /// first call.
    ///
    /// If other threads make requests meanwhile, counting begins with one of those.
    pub fn fail_every(&self, n: usize) {
        self.since_period.store(0, Ordering::Relaxed);
        self.period.store(n, Ordering::Relaxed);
    }

    /// Fails all requests for more than `size` bytes: for `realloc`, the new size counts. [`usize::MAX`] fails none, as
    /// before the first call.
    pub fn fail_above(&self, size: usize) {
        self.largest.store(size, Ordering::Relaxed);
    }

    /// Fails no request any more. The counts go on.
    pub fn clear(&self) {
        self.fail_nth(0);
        self.fail_every(0);
        self.fail_above(usize::MAX);
    }

    /// Returns how many requests there have been, those that were failed included.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns how many requests have been failed here, without those that the heap itself answered with null.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a request for `size` bytes and returns whether it shall fail.
    fn fails(&self, size: usize) -> bool {
        self.requests.fetch_add(1, Ordering::Relaxed);
        // No short cut: each setting counts all requests.
        let fails = self.is_nth() | self.is_at_period() | self.is_too_large(size);
        self.failures
            .fetch_add(usize::from(fails), Ordering::Relaxed);
        fails
    }

    /// Counts down to the request that fails, and returns whether this is it.
    fn is_nth(&self) -> bool {
        let minus_one = |left: usize| left.checked_sub(1);
        self.until_nth
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, minus_one)
            == Ok(1)
    }

    /// Counts the requests since the period was set, and returns whether one ends with this request.
    fn is_at_period(&self) -> bool {
        let period = self.period.load(Ordering::Relaxed);
        if period == 0 {
            return false;
        }
        let earlier = self.since_period.fetch_add(1, Ordering::Relaxed);
        earlier % period == period - 1
    }

    /// Returns whether a request is too large.
    fn is_too_large(&self, size: usize) -> bool {
        size > self.largest.load(Ordering::Relaxed)
    }
}

// SAFETY: what is handed out is the heap's, with the same layout; null is an answer that any request may get, and after
// a `realloc` that is failed the object is as it was. Nothing here unwinds or allocates.
unsafe impl<A: GlobalAlloc> GlobalAlloc for FaultInjector<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.fails(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise is the heap's condition.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.fails(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise is the heap's condition.
        unsafe { self.heap.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the heap's condition: what was handed out here is the heap's.
        unsafe { self.heap.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size > layout.size() && self.fails(new_size) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise is the heap's condition: what was handed out here is the heap's.
        unsafe { self.heap.realloc(pointer, layout, new_size) }
    }
}
