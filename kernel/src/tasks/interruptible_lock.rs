//! A lock for tests, in which another CPU comes in between at the last moment.

use core::cell::RefCell;
use std::boxed::Box;

use lock_api::{GuardSend, RawMutex};

std::thread_local! {
    /// What comes right before this thread takes a lock next, as if another CPU did it.
    static BEFORE_LOCKING: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Has this thread call `function` right before it takes such a lock next.
pub(super) fn before_locking(function: impl FnOnce() + 'static) {
    BEFORE_LOCKING.set(Some(Box::new(function)));
}

/// A lock that lets a test do something at the last moment before it is taken.
pub(super) struct InterruptibleLock(spin::Mutex<()>);

// SAFETY: it is the lock inside.
unsafe impl RawMutex for InterruptibleLock {
    const INIT: Self = Self(RawMutex::INIT);

    type GuardMarker = GuardSend;

    fn lock(&self) {
        let before = BEFORE_LOCKING.with_borrow_mut(Option::take);
        before.into_iter().for_each(|function| function());
        RawMutex::lock(&self.0);
    }

    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { RawMutex::unlock(&self.0) };
    }
}
