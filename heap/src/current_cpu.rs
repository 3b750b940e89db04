//! Who is asking: the one thing that a heap for many CPUs has to be told.
#![forbid(unsafe_code)]

/// Says on which CPU the caller runs, and whether it may wait there.
///
/// Nothing depends on the number for its safety, so the trait is safe to implement. The caller may be moved to another CPU
/// between asking and using the answer: it then works with its old CPU's shard, behind that shard's lock. A number that is right
/// most of the time makes the heap quick; one that is always the same makes it a heap with one lock.
///
/// A kernel reads a register or a word of its per-CPU data. A program on a host counts its threads:
///
/// ```
/// use std::cell::Cell;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use stack_alloc::CurrentCpu;
///
/// struct ThisThread;
///
/// impl CurrentCpu for ThisThread {
///     fn current_cpu() -> usize {
///         static THREADS: AtomicUsize = AtomicUsize::new(0);
///         thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
///         NUMBER.with(|number| {
///             if number.get() == usize::MAX {
///                 number.set(THREADS.fetch_add(1, Ordering::Relaxed));
///             }
///             number.get()
///         })
///     }
/// }
///
/// assert_eq!(ThisThread::current_cpu(), ThisThread::current_cpu());
/// ```
pub trait CurrentCpu {
    /// Returns the number of the CPU, or whatever else there is one shard for. It is taken modulo the number of shards.
    ///
    /// Called once for each usual allocation and free, and some times more for others; it must not allocate and not unwind.
    fn current_cpu() -> usize;

    /// Returns whether the caller may wait for a lock and enter the source: `false` wherever the holder of one of the heap's locks may have
    /// been interrupted. With locks that mask interrupts, that is in a non-maskable interrupt, and while a panic is reported; with others,
    /// in every interrupt or signal handler.
    ///
    /// The default is `true` everywhere. Asked off the usual paths alone, also with a lock of the heap's held: it must not allocate, lock or
    /// unwind. Where the answer is `false`, an allocation is met with what is at hand or answered with null, and what a free leaves to do is
    /// left for the next one who may wait.
    fn may_wait() -> bool {
        true
    }

    /// Does `work`, which takes constant time, and where that can be had is not interrupted: a kernel masks interrupts meanwhile.
    ///
    /// The heap does so in a free that found its own shard busy. If who does that is put aside in the middle for long, memory that is about
    /// to go back to the source waits for it, and so may what others freed in the same page, or even whoever needs it.
    fn without_interrupts<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
}
