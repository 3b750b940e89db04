//! Whom to tell of a wrong free: one function, that can be read in any context without a lock.

use core::mem;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::misuse::Misuse;

/// The function.
pub(crate) struct MisuseHandler(AtomicPtr<()>);

impl MisuseHandler {
    /// Chooses the first one.
    pub(crate) const fn new(handler: fn(Misuse)) -> Self {
        Self(AtomicPtr::new(handler as *mut ()))
    }

    /// Chooses another one.
    pub(crate) fn set(&self, handler: fn(Misuse)) {
        self.0.store(handler as *mut (), Ordering::Relaxed);
    }

    /// Returns the function.
    pub(crate) fn get(&self) -> fn(Misuse) {
        let handler = self.0.load(Ordering::Relaxed);
        // SAFETY: what is stored is such a function's pointer, and nothing else.
        unsafe { mem::transmute::<*mut (), fn(Misuse)>(handler) }
    }
}
