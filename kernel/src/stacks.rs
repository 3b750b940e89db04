//! The call stacks of the CPU: the one the boot loader made, and those for exceptions that must not trust it.

use core::cell::UnsafeCell;
use core::ops::Range;

use spin::Once;

/// Bytes of a stack for an exception: a debug build formats its report on it.
const EXCEPTION_STACK_BYTES: usize = 32 * 1024;

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

    /// Returns the addresses of the stack; it grows down from their end.
    #[must_use]
    pub fn addresses(self) -> Range<u64> {
        let bottom = EXCEPTION_STACKS[self as usize].0.get().addr() as u64;
        bottom..bottom + EXCEPTION_STACK_BYTES as u64
    }
}

/// The memory of a stack. Only the CPU touches it.
#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; EXCEPTION_STACK_BYTES]>);

// SAFETY: no Rust code makes a reference to the bytes; they are the CPU's.
unsafe impl Sync for Stack {}

/// The stacks, by index.
static EXCEPTION_STACKS: [Stack; ExceptionStack::ALL.len()] =
    [const { Stack(UnsafeCell::new([0; EXCEPTION_STACK_BYTES])) }; ExceptionStack::ALL.len()];

/// Where the ordinary stack is.
static BOOT_STACK: Once<Range<u64>> = Once::new();

/// Remembers the stack that the boot loader made: `length` bytes from `bottom`; the page below it is not mapped.
pub fn init(bottom: u64, length: u64) {
    BOOT_STACK.call_once(|| bottom..bottom + length);
}

/// Returns the stack that has `address`; `None` where no known one has it.
#[must_use]
pub fn containing(address: u64) -> Option<Range<u64>> {
    let exception_stacks = ExceptionStack::ALL
        .into_iter()
        .map(ExceptionStack::addresses);
    BOOT_STACK
        .get()
        .cloned()
        .into_iter()
        .chain(exception_stacks)
        .find(|stack| stack.contains(&address))
}

/// Returns whether `address` lies in the unmapped page below the ordinary stack.
#[must_use]
pub fn is_guard(address: u64) -> bool {
    BOOT_STACK
        .get()
        .is_some_and(|stack| (stack.start - 4096..stack.start).contains(&address))
}
