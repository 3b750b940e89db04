//! Whom to tell of a wrong free: one function, that can be read in any context without a lock.

use core::sync::atomic::{AtomicPtr, Ordering};
use core::{mem, ptr};

use crate::callbacks::panic_on_misuse;
use crate::misuse::Misuse;

/// The function. Null stands for the one that panics.
pub(crate) struct MisuseHandler(AtomicPtr<()>);

impl MisuseHandler {
    /// Panics until another one is chosen.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Chooses another one.
    pub(crate) fn set(&self, handler: fn(Misuse)) {
        self.0.store(handler as *mut (), Ordering::Relaxed);
    }

    /// Returns the function.
    pub(crate) fn get(&self) -> fn(Misuse) {
        let handler = self.0.load(Ordering::Relaxed);
        if handler.is_null() {
            return panic_on_misuse;
        }
        // SAFETY: what is stored is such a function's pointer or null, which it is not.
        unsafe { mem::transmute::<*mut (), fn(Misuse)>(handler) }
    }
}
