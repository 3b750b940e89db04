//! What a heap calls of the user's: whom to ask when memory is out, and whom to tell.
//!
//! Owns the functions, which are kept under a lock and called without it, and what is tried before the answer to a request is
//! null. Refuses to know how memory is found, and which lock it is: heaps say so by [`WhenOut`].
#![forbid(unsafe_code)]

use core::alloc::Layout;

use crate::misuse::Misuse;
use crate::out_of_memory::OutOfMemoryHandler;
use crate::run::Memory;
use crate::shrinkers::Shrinkers;

/// The functions.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// What to call after a request was answered with null.
    pub(crate) on_out_of_memory: OutOfMemoryHandler,
    /// Says whether the caller may use the reserve: nobody may until the user has said so.
    pub(crate) is_urgent: Option<fn() -> bool>,
    /// Whom to ask for memory before the answer is null.
    pub(crate) shrinkers: Shrinkers,
}

impl Callbacks {
    /// Asks and tells nobody.
    pub(crate) const fn new() -> Self {
        Self {
            on_out_of_memory: OutOfMemoryHandler::new(),
            is_urgent: None,
            shrinkers: Shrinkers::new(),
        }
    }
}

/// A heap whose memory may be out.
pub(crate) trait WhenOut {
    /// Uses the functions, under a lock: calls none of them.
    fn with_callbacks<T>(&self, look: impl FnOnce(&mut Callbacks) -> T) -> T;

    /// Tries to hand out memory once more, out of the reserve too if it is urgent.
    fn allocate_again(&self, layout: Layout, is_urgent: bool) -> Option<Memory>;

    /// Counts a request that is answered with null.
    fn count_failure(&self);

    /// Hands out memory when there is none: out of the reserve, or after the shrinkers were asked.
    #[cold]
    #[inline(never)]
    fn allocate_when_out(&self, layout: Layout) -> Option<Memory> {
        let is_urgent = self.with_callbacks(|callbacks| callbacks.is_urgent);
        let memory = if is_urgent.is_some_and(without_unwinding) {
            self.allocate_again(layout, true)
        } else {
            self.shrink_and_allocate(layout)
        };
        if memory.is_none() {
            self.answer_null(layout);
        }
        memory
    }

    /// Asks the shrinkers in turn, until one of them has made the request possible.
    fn shrink_and_allocate(&self, layout: Layout) -> Option<Memory> {
        let mut shrinkers = self.with_callbacks(|callbacks| callbacks.shrinkers.begin())?;
        let memory = shrinkers.find_map(|shrinker| {
            if !without_unwinding(|| shrinker(layout)) {
                return None;
            }
            self.allocate_again(layout, false)
        });
        self.with_callbacks(|callbacks| callbacks.shrinkers.end());
        memory
    }

    /// Counts a request that is answered with null, and tells the handler.
    fn answer_null(&self, layout: Layout) {
        self.count_failure();
        let handler = self.with_callbacks(|callbacks| callbacks.on_out_of_memory.begin());
        if let Some(handler) = handler {
            without_unwinding(|| handler(layout));
            self.with_callbacks(|callbacks| callbacks.on_out_of_memory.end());
        }
    }
}

/// The default handler of misuses: panics.
pub(crate) fn panic_on_misuse(misuse: Misuse) {
    panic!("{misuse}");
}

/// Calls `handler` with what was done wrong.
#[cold]
pub(crate) fn report(handler: fn(Misuse), misuse: Misuse) {
    without_unwinding(|| handler(misuse));
}

/// Calls a function of the user's and does not let it unwind into the code that asked for memory: an allocator must not.
pub(crate) fn without_unwinding<T>(call: impl FnOnce() -> T) -> T {
    let no_unwinding = AbortOnDrop;
    let result = call();
    core::mem::forget(no_unwinding);
    result
}

/// Ends the program when dropped while unwinding: a panic during a panic aborts.
struct AbortOnDrop;

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        panic!("what a heap calls must not unwind out of it");
    }
}
