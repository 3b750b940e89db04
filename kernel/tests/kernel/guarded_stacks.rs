//! Call stacks with guards.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::interrupts::on_nmi;
use kernel::memory::guarded_stack::{GuardedStack, NoStack};
use kernel::memory::physical::{account, counts};
use kernel::memory::translation::mapping_of;
use kernel::stacks::{self, ExceptionStack};
use kernel::testing::Test;
use kernel::{tasks, tests};

use crate::scattered::Scattered;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "guarded_stacks";
    calls_on_a_stack_return_to_ours,
    stacks_are_known_while_they_live,
    stacks_take_frames_and_give_them_back,
    frames_balance_whenever_one_looks,
    too_many_stacks_are_refused,
    exceptions_have_guarded_stacks,
    stacks_that_are_too_large_are_refused,
    stacks_overflow_into_their_guard => Faults("call stack `deep` has overflowed"),
    large_frames_meet_the_guard => Faults("call stack `wide` has overflowed"),
    stack_has_a_guard_above => Faults("page fault"),
    stack_of_an_exception_overflows_into_its_guard => Faults(
        "  The call stack `non-maskable interrupt` has overflowed: the address is in the guard page below it.\n",
    ),
};

/// Makes a stack.
#[track_caller]
fn stack(name: &str, bytes: usize) -> GuardedStack {
    GuardedStack::new(name, bytes).expect("there are frames and room in the table")
}

/// Returns an address on the present stack.
#[inline(never)]
fn here() -> u64 {
    let local = core::hint::black_box(0_u8);
    (&raw const local).addr() as u64
}

fn calls_on_a_stack_return_to_ours() {
    let mut stack = stack("test", 64 * 1024);
    let ours = here();
    for number in 0..100_u64 {
        let text = alloc::format!("{number}");
        let (address, length) = stack.call_on(|| (here(), text.len()));
        assert!(stack.addresses().contains(&address));
        assert_eq!(length, if number < 10 { 1 } else { 2 });
    }
    assert_eq!(here(), ours);
    // The whole of it can be used.
    let sum = stack.call_on(|| {
        core::hint::black_box([7_u8; 60_000])
            .iter()
            .map(|&byte| u64::from(byte))
            .sum::<u64>()
    });
    assert_eq!(sum, 420_000);
}

fn stacks_are_known_while_they_live() {
    let before = stacks::guarded().count();
    let (first, second) = (stack("one", 5000), stack("two", 1));
    assert_eq!(first.top() - first.addresses().start, 8192);
    assert_eq!(second.top() - second.addresses().start, 4096);
    for (stack, name) in [(&first, "one"), (&second, "two")] {
        let (start, end) = (stack.addresses().start, stack.top());
        assert_eq!(stacks::containing(start), Some(start..end));
        assert_eq!(
            stacks::name_of(end - 1).map(|name| name == stack.name()),
            Some(true)
        );
        assert_eq!(
            stacks::guarded_by(start - 1)
                .expect("it is a guard")
                .as_str(),
            name
        );
        assert_eq!(
            stacks::guarded_by(start - 4096)
                .expect("it is a guard")
                .as_str(),
            name
        );
        assert_eq!(
            (stacks::guarded_by(start), stacks::guarded_by(start - 4097)),
            (None, None)
        );
        assert_eq!(stacks::containing(end), None);
    }
    let (start, boot) = (first.addresses().start, stacks::name_of(here()));
    assert_eq!(boot.expect("we are on a stack").as_str(), "boot");
    drop(first);
    assert_eq!(
        (stacks::containing(start), stacks::guarded_by(start - 1)),
        (None, None)
    );
    assert_eq!(stacks::guarded().count(), before + 1);
}

fn stacks_take_frames_and_give_them_back() {
    // What the heap holds does not change below.
    let mut all = Vec::with_capacity(10);
    let before = account();
    assert!(before.is_balanced(), "{before}");
    let of_exceptions = before.stacks;
    for number in 0..10 {
        all.push(stack("test", 4096 * (number + 1)));
    }
    let during = account();
    assert!(during.is_balanced(), "{during}");
    assert_eq!(during.stacks, of_exceptions + 55);
    let tables = during.tables - before.tables;
    assert_eq!(during.used(), before.used() + 55 + tables);
    all.clear();
    assert_eq!(account(), before);
}

fn frames_balance_whenever_one_looks() {
    /// How often another task has looked, and how often that did not add up.
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    static WRONG: AtomicU64 = AtomicU64::new(0);
    let looker = tasks::spawn("looker", || {
        while LOOKS.load(Ordering::Relaxed) < 100 {
            LOOKS.fetch_add(1, Ordering::Relaxed);
            if !account().is_balanced() {
                WRONG.fetch_add(1, Ordering::Relaxed);
            }
            // Most of a round below is masked, so most ticks, which give this task its next turn, come right behind a step of it.
            tasks::yield_now();
        }
    });
    while LOOKS.load(Ordering::Relaxed) < 100 {
        drop(stack("test", 64 * 1024));
    }
    looker.expect("there is room for a task").join();
    let wrong = WRONG.load(Ordering::Relaxed);
    assert_eq!(wrong, 0, "looks at which frames did not balance");
}

fn too_many_stacks_are_refused() {
    let before = counts();
    let mut all = Vec::with_capacity(stacks::MOST_GUARDED_STACKS);
    let free = account().free;
    for _ in stacks::guarded().count()..stacks::MOST_GUARDED_STACKS {
        all.push(stack("one of many", 4096));
    }
    let during = counts();
    let error = GuardedStack::new("one too many", 4096).expect_err("the table is full");
    assert_eq!(error, NoStack::TooMany);
    assert_eq!(counts(), during);
    drop(all);
    assert!(counts().free >= free && counts().total == before.total);
}

fn exceptions_have_guarded_stacks() {
    for exception in ExceptionStack::ALL {
        let mut stacks = stacks::guarded().filter(|stack| stack.name.as_str() == exception.name());
        let stack = stacks.next().expect("it has one");
        let addresses = stack.addresses;
        assert!(mapping_of(addresses.start - 1).is_none() && mapping_of(addresses.end).is_none());
        assert!(mapping_of(addresses.start).is_some_and(|mapping| mapping.is_writable));
        assert!(stacks.next().is_none());
    }
}

fn stack_of_an_exception_overflows_into_its_guard() {
    on_nmi(|| {
        core::hint::black_box(recurse(0));
    });
    // SAFETY: the vector has a handler.
    unsafe { core::arch::asm!("int 2") };
}

fn stacks_that_are_too_large_are_refused() {
    let before = counts();
    for bytes in [usize::MAX, 1 << 40, (16 << 20) + 1] {
        let error = GuardedStack::new("huge", bytes).expect_err("it is too large");
        assert_eq!(error, NoStack::TooLarge);
        assert_eq!(alloc::format!("{error}"), "a call stack has at most 16 MiB");
    }
    drop(stack("large", 16 << 20));
    assert_eq!(counts(), before);
    let scattered = Scattered::new();
    scattered.keep(100);
    let error = GuardedStack::new("large", 100 << 12).expect_err("there are no frames for tables");
    assert_eq!(error, NoStack::OutOfFrames);
    drop(scattered);
    assert_eq!(counts().total, before.total);
}

#[expect(unconditional_recursion, reason = "that is the test")]
fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 8]);
    recurse(depth + 1) + frame[0]
}

fn stacks_overflow_into_their_guard() {
    let _neighbour = stack("neighbour", 16 * 1024);
    stack("deep", 16 * 1024).call_on(|| core::hint::black_box(recurse(0)));
}

fn large_frames_meet_the_guard() {
    stack("wide", 16 * 1024).call_on(|| core::hint::black_box([1_u8; 100_000])[7]);
}

fn stack_has_a_guard_above() {
    let stack = stack("test", 4096);
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { core::arch::asm!("mov al, [{}]", in(reg) stack.top(), out("al") _) };
}
