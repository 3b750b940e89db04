//! A function that an interrupt calls, changeable while interrupts come.

use core::marker::PhantomData;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A type of functions.
///
/// # Safety
///
/// It is a `fn` type: not null, and as large as a pointer.
pub(crate) unsafe trait Function: Copy {}

// SAFETY: it is one.
unsafe impl Function for fn() {}

// SAFETY: it is one.
unsafe impl Function for fn(u8) {}

/// A function of type `F`, or none. It may be read in an NMI.
#[derive(Debug)]
pub(crate) struct Hook<F>(AtomicPtr<()>, PhantomData<F>);

impl<F: Function> Hook<F> {
    /// A hook without a function.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// Chooses the function.
    pub(crate) fn set(&self, function: F) {
        // SAFETY: a function is as large as a pointer (`Function`).
        let pointer = unsafe { mem::transmute_copy::<F, *mut ()>(&function) };
        self.0.store(pointer, Ordering::Release);
    }

    /// Returns the function.
    pub(crate) fn get(&self) -> Option<F> {
        let pointer = self.0.load(Ordering::Acquire);
        // SAFETY: only `set` stores pointers that are not null, and those were made from an `F`.
        (!pointer.is_null()).then(|| unsafe { mem::transmute_copy::<*mut (), F>(&pointer) })
    }
}

impl Hook<fn()> {
    /// Calls the function, if there is one.
    pub(crate) fn call(&self) {
        if let Some(function) = self.get() {
            function();
        }
    }
}
