//! The call stacks of the CPUs: the one the boot loader made, those for exceptions that must not trust it, and
//! [guarded](crate::memory::guarded_stack) ones.
//!
//! Exceptions have their stacks in the kernel's image at first, because they may come before there is any memory. Those lie side
//! by side; as soon as there is memory, guarded ones take their place (`gdt::guard_exception_stacks`).
//!
//! Who asks here is often a report of a failure, so nothing waits for a lock: the table of guarded stacks is made of atomics,
//! and a stack that comes or goes at that moment is seen whole or not at all. (Only where a stack goes and another one comes to
//! its place in the table and to its address, while the asker is interrupted, may the asker get the end or the name of the wrong
//! one of the two. Reports are written with interrupts masked, and the other CPUs stopped.)

use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use spin::Once;

use crate::cpu::MOST_CPUS;
use crate::memory::page::PAGE_SIZE;
use crate::stack_name::{NAME_WORDS, StackName};
use crate::tasks::MOST_TASKS;

/// Bytes of a stack for an exception: a debug build formats its report on it.
pub(crate) const EXCEPTION_STACK_BYTES: usize = 32 * 1024;

/// Exceptions that have a stack of their own, because they come when the ordinary one may be unusable, or at any moment.
/// The value is the index into the task state segment's table.
#[derive(Clone, Copy, Debug)]
pub enum ExceptionStack {
    /// A second exception while entering the handler of a first.
    DoubleFault = 0,
    /// Among them the overflow of the ordinary stack, which ends in a page that is not mapped.
    PageFault = 1,
    /// May interrupt anything, masked or not.
    NonMaskableInterrupt = 2,
    /// May interrupt anything, masked or not.
    MachineCheck = 3,
}

impl ExceptionStack {
    /// All of them, by index.
    pub const ALL: [Self; 4] = [
        Self::DoubleFault,
        Self::PageFault,
        Self::NonMaskableInterrupt,
        Self::MachineCheck,
    ];

    /// Returns its name, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoubleFault => "double fault",
            Self::PageFault => "page fault",
            Self::NonMaskableInterrupt => "non-maskable interrupt",
            Self::MachineCheck => "machine check",
        }
    }

    /// Returns a name that leaves room for that of a CPU before it.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::NonMaskableInterrupt => "NMI",
            other => other.name(),
        }
    }

    /// Returns the addresses of the stack that it has before there is memory; it grows down from their end.
    #[must_use]
    pub fn early_addresses(self) -> Range<u64> {
        let bottom = EXCEPTION_STACKS[self as usize].0.get().addr() as u64;
        bottom..bottom + EXCEPTION_STACK_BYTES as u64
    }
}

/// The memory of a stack for an exception, before there is other memory. Only the CPU touches it.
#[repr(C, align(4096))]
struct StackMemory(UnsafeCell<[u8; EXCEPTION_STACK_BYTES]>);

// SAFETY: no Rust code makes a reference to the bytes; they are the CPU's.
unsafe impl Sync for StackMemory {}

/// The stacks, by index.
static EXCEPTION_STACKS: [StackMemory; ExceptionStack::ALL.len()] =
    [const { StackMemory(UnsafeCell::new([0; EXCEPTION_STACK_BYTES])) }; ExceptionStack::ALL.len()];

/// The name of the ordinary stack.
const BOOT_STACK_NAME: &str = "boot";

/// Where the ordinary stack is.
static BOOT_STACK: Once<Range<u64>> = Once::new();

/// The most guarded stacks at a time: those of tasks, or so many; those of exceptions on each CPU; and that which each CPU has
/// where no task runs on it.
pub const MOST_GUARDED_STACKS: usize =
    MOST_TASKS + MOST_CPUS * ExceptionStack::ALL.len() + MOST_CPUS;

/// The entry's `start` while nobody has it.
const UNUSED: u64 = 0;

/// The entry's `start` while its stack is being written down.
const IN_WRITING: u64 = 1;

/// A guarded stack, written down.
struct GuardedEntry {
    /// Its lowest address, or [`UNUSED`] or [`IN_WRITING`].
    start: AtomicU64,
    /// The address behind it.
    end: AtomicU64,
    /// Its name.
    name: [AtomicU64; NAME_WORDS],
}

impl GuardedEntry {
    /// Makes an entry without a stack.
    const fn new() -> Self {
        Self {
            start: AtomicU64::new(UNUSED),
            end: AtomicU64::new(0),
            name: [const { AtomicU64::new(0) }; NAME_WORDS],
        }
    }

    /// Writes a stack down, if the entry has none.
    fn claim(&self, addresses: &Range<u64>, name: StackName) -> bool {
        let claimed =
            self.start
                .compare_exchange(UNUSED, IN_WRITING, Ordering::Acquire, Ordering::Relaxed);
        if claimed.is_err() {
            return false;
        }
        self.end.store(addresses.end, Ordering::Relaxed);
        for (place, word) in self.name.iter().zip(name.to_words()) {
            place.store(word, Ordering::Relaxed);
        }
        self.start.store(addresses.start, Ordering::Release);
        true
    }

    /// Reads the stack.
    fn read(&self) -> Option<Stack> {
        let start = self.start.load(Ordering::Acquire);
        if start == UNUSED || start == IN_WRITING {
            return None;
        }
        let end = self.end.load(Ordering::Relaxed);
        let words = core::array::from_fn(|word| self.name[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_the_same = self.start.load(Ordering::Relaxed) == start;
        is_the_same.then(|| Stack {
            name: StackName::from_words(words),
            addresses: start..end,
        })
    }
}

/// All guarded stacks.
static GUARDED_STACKS: [GuardedEntry; MOST_GUARDED_STACKS] =
    [const { GuardedEntry::new() }; MOST_GUARDED_STACKS];

/// A call stack that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: StackName,
    /// Its addresses; it grows down from their end.
    pub addresses: Range<u64>,
}

/// Remembers the stack that the boot loader made: `length` bytes from `bottom`; the page below it is not mapped.
pub fn init(bottom: u64, length: u64) {
    BOOT_STACK.call_once(|| bottom..bottom + length);
}

/// Remembers a guarded stack; the page below it is not mapped. `None` where there are too many.
pub(crate) fn add(addresses: &Range<u64>, name: StackName) -> Option<GuardedStackEntry> {
    let claims = |entry: &&GuardedEntry| entry.claim(addresses, name);
    GUARDED_STACKS.iter().find(claims).map(GuardedStackEntry)
}

/// The entry of a guarded stack, which is forgotten when it drops.
pub(crate) struct GuardedStackEntry(&'static GuardedEntry);

impl Drop for GuardedStackEntry {
    fn drop(&mut self) {
        self.0.start.store(UNUSED, Ordering::Release);
    }
}

/// Iterates over the guarded stacks.
pub fn guarded() -> impl Iterator<Item = Stack> {
    GUARDED_STACKS.iter().filter_map(GuardedEntry::read)
}

/// Returns how many frames the guarded stacks take.
#[must_use]
pub fn guarded_frames() -> u64 {
    let frames = |stack: Stack| (stack.addresses.end - stack.addresses.start) / PAGE_SIZE;
    guarded().map(frames).sum()
}

/// Iterates over the stacks that have an unmapped page below: the ordinary one and the guarded ones.
fn with_guard() -> impl Iterator<Item = Stack> {
    let boot_stack = BOOT_STACK.get().map(|addresses| Stack {
        name: StackName::new(BOOT_STACK_NAME),
        addresses: addresses.clone(),
    });
    boot_stack.into_iter().chain(guarded())
}

/// Iterates over all stacks that are known.
fn all() -> impl Iterator<Item = Stack> {
    let early_stacks = ExceptionStack::ALL.into_iter().map(|stack| Stack {
        name: StackName::new(stack.name()),
        addresses: stack.early_addresses(),
    });
    with_guard().chain(early_stacks)
}

/// Returns the addresses of the stack that has `address`; `None` where no known one has it.
#[must_use]
pub fn containing(address: u64) -> Option<Range<u64>> {
    all()
        .map(|stack| stack.addresses)
        .find(|addresses| addresses.contains(&address))
}

/// Returns the name of the stack that has `address`.
#[must_use]
pub fn name_of(address: u64) -> Option<StackName> {
    all()
        .find(|stack| stack.addresses.contains(&address))
        .map(|stack| stack.name)
}

/// Returns the name of the stack that ends in the unmapped page with `address`: what it has overflowed into.
#[must_use]
pub fn guarded_by(address: u64) -> Option<StackName> {
    let is_guard = |stack: &Stack| {
        let start = stack.addresses.start;
        (start - PAGE_SIZE..start).contains(&address)
    };
    with_guard().find(is_guard).map(|stack| stack.name)
}

/// Returns whether `address` lies in the unmapped page below a stack.
#[must_use]
pub fn is_guard(address: u64) -> bool {
    guarded_by(address).is_some()
}
