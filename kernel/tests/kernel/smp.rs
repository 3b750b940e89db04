//! What takes more than one CPU. A machine with one has none of these tests: `make kernel-test TESTS=smp SMP=4`.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use kernel::cpu::{self, MOST_CPUS, Own, PerCpu, translations};
use kernel::fault::{Fault, provoke};
use kernel::interrupts::vector::{CALL, TIMER};
use kernel::interrupts::{counts, timer};
use kernel::lock::InterruptMaskingLock;
use kernel::memory::guarded_stack::GuardedStack;
use kernel::memory::heap_source::HEAP;
use kernel::memory::mapper::{self, MOST_SINGLE_PAGES};
use kernel::memory::physical::{self, with_frames};
use kernel::memory::translation::mapping_of;
use kernel::testing::Test;
use kernel::{console, println, stacks, tasks, tests};
use lock_api::{Mutex, RawMutex};
use x86_64::instructions::interrupts;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "smp" on 2 cpus;
    every_cpu_ticks,
    every_cpu_has_guarded_stacks,
    a_cpu_that_sleeps_is_woken,
    a_lock_lets_one_cpu_in_at_a_time,
    a_lock_of_another_cpu_is_waited_for_and_lets_interrupts_in,
    trying_a_lock_of_another_cpu_fails,
    all_cpus_use_the_heap_at_once,
    what_one_cpu_allocates_another_frees,
    all_cpus_print_at_once,
    others_stand_still_while_one_is_alone,
    unmapped_pages_are_forgotten_everywhere,
    unmapping_while_others_wait_for_the_same_locks,
    breakpoints_on_all_cpus,
    panic_on_another_cpu => Panics("at work elsewhere\n  on CPU 1, in the handler of interrupt 240 (call by another CPU), while "),
    fault_on_another_cpu => Faults("page fault", "  on CPU 1, in the handler of interrupt 240"),
    overflow_on_another_cpu => Faults(
        "page fault (exception 14) at 0xffffffff", "  The call stack `CPU 1` has overflowed: the address is in the guard page below it.\n",
    ),
    double_fault_on_another_cpu => Faults("double fault", "  on CPU 1, "),
    others_are_stopped_before_a_report => Panics("panicked at ", "all others have stopped: true\n"),
    all_cpus_panic_at_once => Panics("all at once, and others have stopped: true\n"),
    panic_while_another_cpu_has_the_heaps_lock => Panics("the other one has it\n"),
    lock_taken_twice_on_another_cpu => Panics("a lock was taken again by the CPU that holds it"),
};

/// The last CPU that there is.
fn last() -> usize {
    cpu::count() - 1
}

fn every_cpu_ticks() {
    let before: Vec<u64> = (0..cpu::count())
        .map(|cpu| counts::of_cpu(cpu, TIMER))
        .collect();
    for (cpu, before) in before.into_iter().enumerate() {
        while counts::of_cpu(cpu, TIMER) < before + 3 {
            core::hint::spin_loop();
        }
    }
}

fn every_cpu_has_guarded_stacks() {
    static STACKS: PerCpu<AtomicU64> =
        PerCpu::new([const { Own::new(AtomicU64::new(0)) }; MOST_CPUS]);
    cpu::on_all(|| {
        let here = 0_u8;
        let address = ptr::from_ref(&here).addr() as u64;
        STACKS.here().store(address, Ordering::Relaxed);
    });
    for cpu in 1..cpu::count() {
        let address = STACKS.of(cpu).load(Ordering::Relaxed);
        let stack = stacks::containing(address).expect("each CPU is on a stack that is known");
        assert!(stacks::is_guard(stack.start - 1));
    }
    // Those of exceptions, and the one to begin with.
    let named = |cpu: usize| {
        let name = alloc::format!("CPU {cpu}");
        let is_named = move |stack: &stacks::Stack| {
            let rest = stack.name.as_str().strip_prefix(&name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        stacks::guarded().filter(is_named).count()
    };
    assert!((1..cpu::count()).all(|cpu| named(cpu) == stacks::ExceptionStack::ALL.len() + 1));
}

fn a_cpu_that_sleeps_is_woken() {
    for cpu in 0..cpu::count() {
        let before = counts::of_cpu(cpu, CALL);
        cpu::wake(cpu);
        while counts::of_cpu(cpu, CALL) == before {
            core::hint::spin_loop();
        }
    }
}

fn a_lock_lets_one_cpu_in_at_a_time() {
    const ROUNDS: usize = 2000;
    static COUNT: Mutex<InterruptMaskingLock, usize> = Mutex::new(0);
    static INSIDE: AtomicBool = AtomicBool::new(false);
    cpu::on_all(|| {
        for _ in 0..ROUNDS {
            let mut count = COUNT.lock();
            assert!(!INSIDE.swap(true, Ordering::Relaxed));
            *count += 1;
            INSIDE.store(false, Ordering::Relaxed);
        }
    });
    assert_eq!(*COUNT.lock(), ROUNDS * cpu::count());
}

/// A lock that the tests have another CPU hold.
static HELD: InterruptMaskingLock = InterruptMaskingLock::INIT;

/// How far a test is.
static STEP: AtomicUsize = AtomicUsize::new(0);

/// Waits until the test is so far.
fn wait_for(step: usize) {
    while STEP.load(Ordering::Acquire) < step {
        core::hint::spin_loop();
    }
}

/// The first CPU waits for a lock that the last one has, and that one gives it back only when the first was interrupted.
fn a_lock_of_another_cpu_is_waited_for_and_lets_interrupts_in() {
    static IS_RELEASED: AtomicBool = AtomicBool::new(false);
    STEP.store(0, Ordering::Relaxed);
    cpu::on(last(), || HELD.lock());
    timer::on_tick(|| {
        if HELD.is_locked() {
            STEP.fetch_add(1, Ordering::Release);
        }
    });
    let other = tasks::spawn("other", || {
        cpu::on(last(), || {
            wait_for(3);
            IS_RELEASED.store(true, Ordering::Relaxed);
            // SAFETY: this CPU has taken it.
            unsafe { HELD.unlock() };
        });
    });
    HELD.lock();
    assert!(IS_RELEASED.load(Ordering::Relaxed));
    // SAFETY: it was just taken.
    unsafe { HELD.unlock() };
    timer::on_tick(|| {});
    other.expect("there is room for a task").join();
}

fn trying_a_lock_of_another_cpu_fails() {
    assert!(HELD.try_lock());
    interrupts::enable();
    cpu::on(last(), || assert!(!HELD.try_lock() && HELD.is_locked()));
    // SAFETY: it was taken above, on this CPU: tests stay on it.
    unsafe { HELD.unlock() };
}

/// Allocates and frees in many sizes, and looks at the first byte and the last.
fn use_the_heap() {
    let own = u8::try_from(cpu::current()).expect("there are few CPUs");
    let is_own = |bytes: &Vec<u8>| bytes.first() == Some(&own) && bytes.last() == Some(&own);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for round in 0..150_usize {
        kept.push(vec![own; 1 + round * 37 % 9000]);
        if round % 3 == 2 {
            let some = kept.swap_remove(round % kept.len());
            assert!(is_own(&some));
        }
    }
    assert!(kept.iter().all(is_own));
}

fn all_cpus_use_the_heap_at_once() {
    let live = HEAP.statistics().live();
    for _ in 0..10 {
        cpu::on_all(use_the_heap);
    }
    assert_eq!(HEAP.statistics().live(), live);
    assert_eq!(HEAP.check(), Ok(()));
    assert!(physical::account().is_balanced());
}

fn what_one_cpu_allocates_another_frees() {
    static PLACES: PerCpu<AtomicPtr<[u64; 20]>> =
        PerCpu::new([const { Own::new(AtomicPtr::new(ptr::null_mut())) }; MOST_CPUS]);
    let live = HEAP.statistics().live();
    for _ in 0..50 {
        cpu::on_all(|| {
            let value = Box::new([cpu::current() as u64; 20]);
            let before = PLACES.here().swap(Box::into_raw(value), Ordering::AcqRel);
            assert!(before.is_null());
        });
        cpu::on_all(|| {
            let other = (cpu::current() + 1) % cpu::count();
            let found = PLACES.of(other).swap(ptr::null_mut(), Ordering::AcqRel);
            // SAFETY: it is a box's, and was taken out by nobody else.
            let value = unsafe { Box::from_raw(found) };
            assert_eq!(*value, [other as u64; 20]);
        });
    }
    assert_eq!(HEAP.statistics().live(), live);
}

fn all_cpus_print_at_once() {
    const LINES: usize = 20;
    let text = console::capture(64 * LINES * MOST_CPUS, || {
        cpu::on_all(|| {
            for line in 0..LINES {
                println!("line {line} of CPU {} is in one piece", cpu::current());
            }
        });
    });
    let text = core::str::from_utf8(&text).expect("it is text");
    assert_eq!(text.lines().count(), LINES * cpu::count());
    let is_whole = |line: &str| line.starts_with("line ") && line.ends_with(" is in one piece");
    assert!(text.lines().all(is_whole), "{text}");
}

fn others_stand_still_while_one_is_alone() {
    let before = cpu::alone(|| {
        let all = || counts::all();
        let (before, start) = (all(), timer::uptime());
        while timer::uptime() < start + core::time::Duration::from_millis(20) {
            core::hint::spin_loop();
        }
        assert_eq!(all(), before, "nobody is interrupted");
        // One more in it is no problem.
        cpu::alone(all)
    });
    // They go on.
    while counts::of(TIMER) < before[usize::from(TIMER)] + 3 * cpu::count() as u64 {
        core::hint::spin_loop();
    }
}

/// The memory that all CPUs look at.
static SHARED: AtomicPtr<u64> = AtomicPtr::new(ptr::null_mut());

/// What they have seen, added up.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Has all CPUs look at the first word of a mapping, and returns what they see, added up.
fn look(start: ptr::NonNull<u8>) -> u64 {
    SHARED.store(start.cast().as_ptr(), Ordering::Relaxed);
    SEEN.store(0, Ordering::Relaxed);
    cpu::on_all(|| {
        // SAFETY: it is mapped, aligned, and nobody writes to it meanwhile.
        let value = unsafe { SHARED.load(Ordering::Relaxed).read_volatile() };
        SEEN.fetch_add(value, Ordering::Relaxed);
    });
    SEEN.load(Ordering::Relaxed)
}

fn unmapped_pages_are_forgotten_everywhere() {
    let cpus = cpu::count() as u64;
    let times_asked = || -> u64 { (0..cpu::count()).map(translations::times).sum() };
    for pages in [1, 2, MOST_SINGLE_PAGES + 1] {
        let before = times_asked();
        let first = mapper::map(pages, 1).expect("there is memory");
        let frame = mapping_of(first.addr().get() as u64).expect("it is mapped");
        // SAFETY: it is mapped, and ours.
        unsafe { first.cast::<u64>().write_volatile(1) };
        assert_eq!(look(first), cpus);
        // SAFETY: it is a mapping of this length, which nobody uses any more.
        unsafe { mapper::unmap(first, pages) }.expect("it was mapped");
        // So that the next mapping gets other frames.
        let taken = with_frames(|frames| frames.allocate_frame()).expect("there are frames");
        let second = mapper::map(pages, 1).expect("there is memory");
        assert_eq!(second, first, "the lowest place is taken again");
        let other = mapping_of(second.addr().get() as u64).expect("it is mapped");
        assert_ne!(other, frame, "the test wants another frame there");
        // SAFETY: as above.
        unsafe { second.cast::<u64>().write_volatile(1000) };
        assert_eq!(look(second), 1000 * cpus, "each CPU sees the new frame");
        // SAFETY: as above.
        unsafe { mapper::unmap(second, pages) }.expect("it was mapped");
        with_frames(|frames| frames.free_frame(taken)).expect("it was taken");
        // All others, each time.
        assert_eq!(times_asked(), before + 2 * (cpus - 1));
    }
}

/// All CPUs map and unmap at once, with interrupts masked, and want the heap's lock in between: each waits for locks while
/// another one waits for it to forget.
fn unmapping_while_others_wait_for_the_same_locks() {
    cpu::on_all(|| {
        for round in 0..30 {
            let stack = GuardedStack::new("short-lived", 4096 * (1 + round % 40));
            let stack = stack.expect("there is room for a stack of each CPU");
            let boxed = Box::new(round);
            drop(stack);
            assert_eq!(*boxed, round);
        }
    });
    assert!(physical::account().is_balanced());
    // The hard case: the heap itself unmaps, with its lock held.
    HEAP.trim();
    assert_eq!(HEAP.check(), Ok(()));
}

fn breakpoints_on_all_cpus() {
    cpu::on_all(interrupts::int3);
}

fn panic_on_another_cpu() {
    cpu::on(1, || panic!("at work elsewhere"));
}

fn fault_on_another_cpu() {
    cpu::on(1, || provoke(Fault::PageFault));
}

fn overflow_on_another_cpu() {
    cpu::on(1, || provoke(Fault::StackOverflow));
}

fn double_fault_on_another_cpu() {
    cpu::on(1, || provoke(Fault::DoubleFault));
}

/// Says, in the middle of a report, whether all other CPUs have stopped.
struct OthersHaveStopped;

impl fmt::Display for OthersHaveStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_true = cpu::stop::stopped() == cpu::count() - 1;
        write!(f, "others have stopped: {is_true}")
    }
}

fn others_are_stopped_before_a_report() {
    cpu::on(last(), || panic!("all {OthersHaveStopped}"));
}

fn all_cpus_panic_at_once() {
    cpu::on_all(|| panic!("all at once, and {OthersHaveStopped}"));
}

fn panic_while_another_cpu_has_the_heaps_lock() {
    STEP.store(0, Ordering::Relaxed);
    cpu::on_all(|| match cpu::current() {
        0 => HEAP.with_source(|_| {
            STEP.store(1, Ordering::Release);
            loop {
                core::hint::spin_loop();
            }
        }),
        1 => {
            wait_for(1);
            panic!("the other one has it");
        }
        // These want it too.
        _ => drop(Box::new(1)),
    });
}

fn lock_taken_twice_on_another_cpu() {
    cpu::on(1, || {
        let lock = Mutex::<InterruptMaskingLock, ()>::new(());
        let _guard = lock.lock();
        drop(lock.lock());
    });
}
