//! The bench, run as little as shows that it works. What its numbers are depends on the machine; that there are numbers, and
//! that the heaps come out whole, does not.

use core::alloc::{GlobalAlloc, Layout};

use kernel::bench::contestant::{Contestant, KernelHeap};
use kernel::bench::masked::{self, MaskedTime};
use kernel::bench::operation::Operation;
use kernel::bench::run::{Bench, BenchError, Results, Scale};
use kernel::bench::trial::{Trial, layout_of};
use kernel::bench::workloads::{CROSSING, WORKLOADS, Workload};
use kernel::interrupts::timer;
use kernel::lock::MaskingLock;
use kernel::memory::heap_source::HEAP;
use kernel::testing::Test;
use kernel::tests;
use lock_api::Mutex;
use x86_64::instructions::interrupts as cpu;

use super::heap::free_frames_trimmed;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "bench";
    every_workload_gives_numbers_and_leaves_nothing,
    workload_that_finds_no_memory_says_so_and_leaves_nothing,
    operations_of_a_workload_are_all_measured,
    watch_sees_what_its_lock_masks,
    interrupts_come_again_afterwards,
};

/// Runs a workload, a small part of it, on a heap like the kernel's.
fn measure(workload: &Workload) -> Result<Results, BenchError> {
    Bench::new(Scale::TINY)
        .expect("there is memory")
        .measure(&KernelHeap, workload)
}

fn every_workload_gives_numbers_and_leaves_nothing() {
    let (frames, live) = (free_frames_trimmed(), HEAP.statistics().live());
    for workload in WORKLOADS.iter().chain(CROSSING) {
        let results = measure(workload).expect("there is memory, and the heap is whole");
        let measured = results.iter().flatten();
        assert!(measured.clone().count() > 0, "{} measures", workload.name);
        for result in measured {
            let whole = result.whole;
            assert!(whole.count > 0 && whole.max > 0 && result.masked > 0);
            assert!(whole.p50 <= whole.p99 && whole.p99 <= whole.max && whole.mean <= whole.max);
        }
    }
    assert_eq!(HEAP.statistics().live(), live);
    assert_eq!(free_frames_trimmed(), frames);
}

fn workload_that_finds_no_memory_says_so_and_leaves_nothing() {
    /// More than any machine of the tests has.
    const TOO_MUCH: usize = 1 << 40;
    let frames = free_frames_trimmed();
    let greedy = |run: fn(&mut Trial<'_>) -> Result<(), BenchError>| {
        let result = measure(&Workload {
            name: "greedy",
            run,
        });
        assert!(matches!(result, Err(BenchError::OutOfMemory)), "{result:?}");
    };
    greedy(|trial| {
        trial.allocate(0, layout_of(100, 8))?;
        trial.allocate(1, layout_of(TOO_MUCH, 8))
    });
    greedy(|trial| {
        trial.allocate(0, layout_of(100, 8))?;
        trial.reallocate(0, TOO_MUCH)
    });
    assert_eq!(free_frames_trimmed(), frames);
}

fn operations_of_a_workload_are_all_measured() {
    let results = measure(&Workload {
        name: "three",
        run: |trial| {
            let layout = layout_of(100, 8);
            trial.unrecorded(|trial| trial.allocate(0, layout))?;
            trial.allocate(1, layout)?;
            trial.reallocate(0, 5000)?;
            trial.reallocate(1, 50)?;
            trial.free(1);
            Ok(())
        },
    })
    .expect("there is memory");
    let counts = results.map(|result| result.map(|result| result.whole.count));
    assert_eq!(counts[Operation::Allocate as usize], Some(1));
    assert_eq!(counts[Operation::Free as usize], Some(1));
    assert_eq!(counts[Operation::Reallocate as usize], Some(2));
    let nothing = measure(&Workload {
        name: "none",
        run: |_| Ok(()),
    });
    assert!(
        nothing
            .expect("an empty heap is whole")
            .iter()
            .all(Option::is_none)
    );
}

fn watch_sees_what_its_lock_masks() {
    let lock = Mutex::<MaskingLock<MaskedTime>, ()>::new(());
    masked::take_longest();
    // The timer may come in between; it takes no watched lock.
    cpu::without_interrupts(|| drop(lock.lock()));
    assert_eq!(masked::take_longest(), 0, "it was not the lock that masked");
    drop(lock.lock());
    assert!(masked::take_longest() > 0);
    assert_eq!(masked::take_longest(), 0, "asking forgets");

    // An attempt that fails has masked too.
    let guard = cpu::without_interrupts(|| lock.lock());
    assert!(cpu::are_enabled() && lock.try_lock().is_none());
    assert!(masked::take_longest() > 0 && cpu::are_enabled());
    drop(guard);

    // The heap's allocation runs under its lock.
    KernelHeap
        .with_fresh::<MaskingLock<MaskedTime>>(&mut |heap: &dyn GlobalAlloc| {
            let layout = Layout::new::<u64>();
            // SAFETY: the size is not zero.
            let pointer = unsafe { heap.alloc(layout) };
            assert!(masked::take_longest() > 0);
            // SAFETY: it was just allocated, with this layout.
            unsafe { heap.dealloc(pointer, layout) };
            assert!(masked::take_longest() > 0);
            Ok(())
        })
        .expect("the heap is whole");
}

fn interrupts_come_again_afterwards() {
    measure(&WORKLOADS[0]).expect("there is memory");
    assert!(cpu::are_enabled());
    let before = timer::ticks();
    while timer::ticks() < before + 2 {
        x86_64::instructions::hlt();
    }
}
