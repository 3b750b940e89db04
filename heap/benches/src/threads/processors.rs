//! The processors that this program may use, and threads that stay on one of them.

use core::fmt;
use core::mem::{MaybeUninit, size_of};

/// Numbers of processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Processors(Vec<usize>);

impl Processors {
    /// Asks the system which ones there are for us. None, if it does not say.
    pub(super) fn allowed() -> Self {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: the pointer leads to a set of this size, which may be written.
        let failed = unsafe { libc::sched_getaffinity(0, size, set.as_mut_ptr()) };
        if failed != 0 {
            return Self(Vec::new());
        }
        // SAFETY: zeros are a set of nothing, and now it is what the system wrote.
        let set = unsafe { set.assume_init() };
        let most = usize::try_from(libc::CPU_SETSIZE).expect("a small number");
        // SAFETY: the number is below that of the set's bits.
        let is_ours = |number: &usize| unsafe { libc::CPU_ISSET(*number, &set) };
        Self((0..most).filter(is_ours).collect())
    }

    /// Returns whether each of `threads` threads can have one for itself.
    pub(super) fn are_enough_for(&self, threads: usize) -> bool {
        self.0.len() >= threads
    }

    /// Keeps the calling thread, the one with this number of `threads`, on one processor from now on: on one that no other of
    /// them has. Where there are too few, it is left to the system where it runs.
    pub(super) fn pin(&self, thread: usize, threads: usize) {
        if !self.are_enough_for(threads) {
            return;
        }
        // SAFETY: zeros are a set of nothing.
        let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the number is one that the system has told.
        unsafe { libc::CPU_SET(self.0[thread], &mut set) };
        // SAFETY: the pointer leads to a set of this size. Where it fails, the thread runs anywhere, which is slower at worst.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    }
}

/// Returns how often the calling thread has lost its processor to another one, though it could have gone on.
pub(super) fn preemptions() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer leads to what may be written.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: zeros are a usage of nothing, and now it is what the system wrote, if it did.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

/// Says where threads run.
impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0[..] {
            [] => f.write_str("no processor"),
            [only] => write!(f, "processor {only} alone"),
            [first, second, ..] => write!(f, "processors {first} and {second}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Processors;
    use std::thread;

    #[test]
    fn a_pinned_thread_stays_where_it_was_put() {
        let all = Processors::allowed();
        assert!(all.are_enough_for(1), "this runs somewhere");
        let last = all.0.len() - 1;
        let pinned = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                all.pin(last, all.0.len());
                Processors::allowed()
            });
            thread.join().expect("it ends")
        });
        assert_eq!(pinned, Processors(vec![all.0[last]]));
        assert_eq!(
            Processors::allowed(),
            all,
            "other threads are where they were"
        );
    }

    #[test]
    fn too_few_are_left_to_the_system() {
        let few = Processors(vec![Processors::allowed().0[0]]);
        assert!(!few.are_enough_for(2));
        let unpinned = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                few.pin(1, 2);
                Processors::allowed()
            });
            thread.join().expect("it ends")
        });
        assert_eq!(unpinned, Processors::allowed());
    }

    #[test]
    fn where_threads_run_is_said() {
        let said = [vec![], vec![3], vec![0, 2, 5]].map(|numbers| Processors(numbers).to_string());
        assert_eq!(
            said,
            ["no processor", "processor 3 alone", "processors 0 and 2"]
        );
    }
}
