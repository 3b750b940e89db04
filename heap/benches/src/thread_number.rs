//! A number for each thread: what a program on a host can tell a heap in place of the number of a processor.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

/// That of a thread that has none yet.
const NONE: usize = usize::MAX;

/// The number that the next thread gets.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread. Made before the thread runs, and left as it is when it ends: so it can be asked at any time.
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
}

/// Returns the number of the thread that calls: the first time, the next one that no thread has had.
#[inline]
#[must_use]
pub fn current() -> usize {
    let number = NUMBER.get();
    if number == NONE {
        return first();
    }
    number
}

/// Gives the thread that calls its number.
#[cold]
fn first() -> usize {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NUMBER.set(number);
    number
}

#[cfg(test)]
mod tests {
    use super::current;
    use std::thread;

    #[test]
    fn a_thread_keeps_its_number_and_shares_it_with_nobody() {
        let mine = current();
        assert_eq!(current(), mine);
        let other = thread::spawn(current).join().expect("it ends");
        assert_ne!(other, mine);
        assert_eq!(current(), mine);
    }
}
