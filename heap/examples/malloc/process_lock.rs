//! A lock for a heap that a whole process shares, across `fork` too.
//!
//! `fork` copies the calling thread alone. If another thread held the lock at that moment, it would be locked for ever in
//! the child. So the thread that forks takes the lock before ([`outlive_forks`]), and parent and child each let go of
//! theirs. To be reached by these handlers, which get no argument, the lock is a static: all locks of this kind are one.
//!
//! The lock knows its owner. A thread that comes back while it holds the lock (from a signal handler that allocates, or
//! from a panic under the lock, whose message is made with `malloc`) would wait for itself; it ends the program instead.

use core::ffi::c_int;
use core::hint;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use crate::{die, errno_place};

/// The thread that holds the lock, or [`NOBODY`].
static OWNER: AtomicUsize = AtomicUsize::new(NOBODY);

/// No thread's number.
const NOBODY: usize = 0;

/// How often a thread looks at the lock before it lets others run.
const LOOKS: usize = 100;

/// Returns what tells the calling thread from all others: the address of its `errno`, which a fork leaves where it is.
fn this_thread() -> usize {
    errno_place().addr()
}

/// The lock.
#[derive(Debug)]
pub(crate) struct ProcessLock;

// SAFETY: `OWNER` changes from `NOBODY` to a thread in one step, so one thread at a time holds the lock; what was done
// under it is seen by the next, as letting go releases what taking acquires.
unsafe impl RawMutex for ProcessLock {
    const INIT: Self = Self;

    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        let mut looks = 0;
        while !self.try_lock() {
            if OWNER.load(Ordering::Relaxed) == this_thread() {
                die(format_args!(
                    "a thread that is in the heap enters it again, from a signal handler or a panic"
                ));
            }
            looks += 1;
            if looks % LOOKS == 0 {
                // SAFETY: it may be called at any time.
                unsafe { libc::sched_yield() };
            } else {
                hint::spin_loop();
            }
        }
    }

    fn try_lock(&self) -> bool {
        OWNER
            .compare_exchange(NOBODY, this_thread(), Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    unsafe fn unlock(&self) {
        OWNER.store(NOBODY, Ordering::Release);
    }
}

unsafe extern "C" {
    /// Has the three functions called before a fork, and after it in the parent and in the child.
    safe fn pthread_atfork(
        before: extern "C" fn(),
        in_parent: extern "C" fn(),
        in_child: extern "C" fn(),
    ) -> c_int;
}

/// Sees to it that the lock is free in both processes after every fork from now on.
pub(crate) fn outlive_forks() {
    if pthread_atfork(lock_before, unlock_after, unlock_after) != 0 {
        die(format_args!("there is no memory for the handlers of forks"));
    }
}

/// Takes the lock, for `fork`.
extern "C" fn lock_before() {
    ProcessLock.lock();
}

/// Lets go of the lock, after `fork`.
extern "C" fn unlock_after() {
    // SAFETY: the thread that forks has taken the lock in `lock_before`, and in the child it is the only thread.
    unsafe { ProcessLock.unlock() };
}
