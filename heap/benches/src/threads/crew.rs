//! Threads that begin together, each on a processor of its own, and how long they take.

use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::heap::Heap;
use crate::replay::OutOfMemory;
use crate::threads::processors::{Processors, preemptions};

/// What one of the threads does. All of its calls come from that one thread, and with the same heap.
pub(super) trait Part: Send {
    /// Does what comes before: not timed.
    ///
    /// # Errors
    ///
    /// When there is not enough memory.
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory>;

    /// Does what is timed. All parts have prepared themselves by then. Also called, by those who could, when another one could
    /// not: so no part may wait for another that has ended.
    ///
    /// # Errors
    ///
    /// When there is not enough memory.
    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory>;

    /// Frees what is live: not timed. All parts have done their work by then.
    fn clean_up(self: Box<Self>, heap: &dyn Heap);

    /// Returns how many operations the work has.
    fn operations(&self) -> usize;
}

/// When a thread worked.
struct Span {
    /// When it began.
    start: Instant,
    /// When it ended.
    end: Instant,
    /// How often it lost its processor to another program meanwhile.
    preemptions: u64,
}

/// How long all threads took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// From when the first one began to when the last one ended.
    pub(super) elapsed: Duration,
    /// How often one of them lost its processor to another program meanwhile.
    pub(super) preemptions: u64,
}

/// Lets a thread do each of `parts`, and returns how long all of them took.
///
/// # Errors
///
/// When there was not enough memory. What was allocated until then may be lost.
pub(super) fn time(
    parts: Vec<Box<dyn Part>>,
    heap: &dyn Heap,
    processors: &Processors,
) -> Result<Time, OutOfMemory> {
    let threads = parts.len();
    let barrier = Barrier::new(threads);
    let barrier = &barrier;
    let spans: Vec<_> = thread::scope(|scope| {
        let start = |(number, part)| {
            // The name is for whoever looks with a profiler.
            let thread = thread::Builder::new().name(format!("part {number}"));
            let run = move || {
                processors.pin(number, threads);
                do_part(part, heap, barrier)
            };
            thread.spawn_scoped(scope, run).expect("two more threads")
        };
        let started: Vec<_> = parts.into_iter().enumerate().map(start).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .map(|ended| ended.expect("a part does not panic"))
            .collect()
    });
    let spans: Vec<Span> = spans.into_iter().collect::<Result<_, _>>()?;
    Ok(whole(&spans))
}

/// Does all of a part. Meets the others at the barrier twice, whatever happens.
fn do_part(
    mut part: Box<dyn Part>,
    heap: &dyn Heap,
    barrier: &Barrier,
) -> Result<Span, OutOfMemory> {
    let prepared = part.prepare(heap);
    barrier.wait();
    let before = preemptions();
    let start = Instant::now();
    let done = prepared.and_then(|()| part.work(heap));
    let span = Span {
        start,
        end: Instant::now(),
        preemptions: preemptions() - before,
    };
    if done.is_err() {
        // It may be what others wait for.
        drop(part);
        barrier.wait();
    } else {
        barrier.wait();
        part.clean_up(heap);
    }
    done.map(|()| span)
}

/// Returns the time from the first beginning to the last end.
fn whole(spans: &[Span]) -> Time {
    let start = spans.iter().map(|span| span.start).min();
    let end = spans.iter().map(|span| span.end).max();
    Time {
        elapsed: start
            .zip(end)
            .map_or(Duration::ZERO, |(start, end)| end - start),
        preemptions: spans.iter().map(|span| span.preemptions).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Span, Time, time, whole};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::heap::Heap;
    use crate::replay::OutOfMemory;
    use crate::threads::processors::Processors;
    use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use core::time::Duration;
    use std::sync::Arc;
    use std::time::Instant;

    /// Counts who has come how far.
    struct Counting {
        /// Parts that are prepared, have worked, and are cleaned up.
        counts: Arc<[AtomicUsize; 3]>,
        /// Whether it has enough memory to work.
        has_memory: bool,
    }

    impl Part for Counting {
        fn prepare(&mut self, _: &dyn Heap) -> Result<(), OutOfMemory> {
            self.counts[0].fetch_add(1, SeqCst);
            Ok(())
        }

        fn work(&mut self, _: &dyn Heap) -> Result<(), OutOfMemory> {
            assert_eq!(self.counts[0].load(SeqCst), 2, "all are prepared");
            if !self.has_memory {
                return Err(OutOfMemory { operation: 7 });
            }
            self.counts[1].fetch_add(1, SeqCst);
            Ok(())
        }

        fn clean_up(self: Box<Self>, _: &dyn Heap) {
            assert_ne!(
                self.counts[1].load(SeqCst),
                0,
                "at least this one has worked"
            );
            self.counts[2].fetch_add(1, SeqCst);
        }

        fn operations(&self) -> usize {
            1
        }
    }

    /// Lets two count. Returns how many came how far, and what came out.
    fn count(have_memory: [bool; 2]) -> ([usize; 3], Result<Time, OutOfMemory>) {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let floor = all().into_iter().find(|one| one.name == "floor");
        // SAFETY: nobody else uses the arena.
        let heap = unsafe { (floor.expect("it is there").make)(arena.whole()) };
        let counts = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let part = |has_memory| -> Box<dyn Part> {
            Box::new(Counting {
                counts: counts.clone(),
                has_memory,
            })
        };
        let parts = have_memory.map(part).into();
        let result = time(parts, &*heap, &Processors::allowed());
        ([0, 1, 2].map(|step| counts[step].load(SeqCst)), result)
    }

    #[test]
    fn all_prepare_before_anybody_works() {
        let (counts, result) = count([true, true]);
        assert_eq!(counts, [2, 2, 2]);
        assert!(result.is_ok());
    }

    #[test]
    fn who_lacks_memory_does_not_keep_the_others() {
        let (counts, result) = count([false, true]);
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(result, Err(OutOfMemory { operation: 7 }));
    }

    #[test]
    fn time_is_from_the_first_beginning_to_the_last_end() {
        let zero = Instant::now();
        let span = |start, end, preemptions| Span {
            start: zero + Duration::from_millis(start),
            end: zero + Duration::from_millis(end),
            preemptions,
        };
        let expected = Time {
            elapsed: Duration::from_millis(17),
            preemptions: 3,
        };
        assert_eq!(whole(&[span(5, 20, 1), span(3, 9, 2)]), expected);
    }
}
