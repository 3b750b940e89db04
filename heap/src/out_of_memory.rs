//! Whom to tell when a request is answered with null.
//!
//! Owns the function. It is called without the lock, because it prints and may allocate, and not from within itself.
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// The function of one heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemoryHandler {
    /// The user's, if there is one.
    function: Option<fn(Layout)>,
    /// It is being called.
    is_busy: bool,
}

impl OutOfMemoryHandler {
    /// Tells nobody.
    pub(crate) const fn new() -> Self {
        Self {
            function: None,
            is_busy: false,
        }
    }

    /// Chooses the function.
    pub(crate) fn set(&mut self, function: fn(Layout)) {
        self.function = Some(function);
    }

    /// Returns the function to call, and notes that it is being called. `None` when there is none, or that is so already.
    pub(crate) fn begin(&mut self) -> Option<fn(Layout)> {
        if self.is_busy {
            return None;
        }
        self.is_busy = self.function.is_some();
        self.function
    }

    /// Notes that it was called.
    pub(crate) fn end(&mut self) {
        self.is_busy = false;
    }
}
