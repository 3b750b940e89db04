//! The CPU that a test says it is on: so that every order of events is one that the test chose.

use core::cell::Cell;

use stack_alloc::CurrentCpu;

/// The CPU that the thread's test has chosen.
pub(crate) struct Chosen;

thread_local! {
    /// Its number.
    static CPU: Cell<usize> = const { Cell::new(0) };
    /// Whether it may wait.
    static MAY_WAIT: Cell<bool> = const { Cell::new(true) };
}

impl CurrentCpu for Chosen {
    fn current_cpu() -> usize {
        CPU.get()
    }

    fn may_wait() -> bool {
        MAY_WAIT.get()
    }
}

/// Does `work` on CPU `cpu`.
pub(crate) fn on<T>(cpu: usize, work: impl FnOnce() -> T) -> T {
    let before = CPU.replace(cpu);
    let result = work();
    CPU.set(before);
    result
}

/// Does `work` as somebody who may not wait, if `may_wait` is false.
pub(crate) fn waiting<T>(may_wait: bool, work: impl FnOnce() -> T) -> T {
    let before = MAY_WAIT.replace(may_wait);
    let result = work();
    MAY_WAIT.set(before);
    result
}
