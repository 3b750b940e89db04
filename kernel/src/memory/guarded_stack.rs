//! Call stacks for kernel threads: frames of their own, mapped in the kernel's window, between pages that are not mapped.
//!
//! ```text
//!   not mapped   │          mapped           │ not mapped
//!   ── guard ────┤◄── grows down ────── top ─┤
//! ```
//!
//! A thread that overflows its stack meets the guard at once, instead of writing into its neighbour's memory; the report of
//! the page fault then names the stack, because [`stacks`] knows it from here. (Functions with large frames touch every page
//! of them on the way down, so none steps over the guard.)

use core::arch::asm;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;

use x86_64::instructions::interrupts::without_interrupts;

use super::frame_allocator::OutOfFrames;
use super::mapper;
use super::page::PAGE_SIZE;
use super::window::LARGEST_MAPPING;
use crate::stack_name::StackName;
use crate::stacks::{self, GuardedStackEntry};

/// A call stack with a page below and above that is not mapped. Gives its frames back when it drops.
///
/// # Invariants
/// - `start` is a mapping of `pages` pages of the window that is this stack's alone.
pub struct GuardedStack {
    /// Its lowest address.
    start: NonNull<u8>,
    /// How many pages it has.
    pages: u64,
    /// What it is called.
    name: StackName,
    /// Where it is written down: until shortly before its pages go.
    entry: Option<GuardedStackEntry>,
}

/// Why there is no stack. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStack {
    /// There are not enough free frames.
    OutOfFrames,
    /// There are [`MOST_GUARDED_STACKS`](stacks::MOST_GUARDED_STACKS) already.
    TooMany,
    /// It would be more than [`LARGEST_MAPPING`] pages.
    TooLarge,
}

impl fmt::Display for NoStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFrames => f.write_str("there are not enough free frames for a call stack"),
            Self::TooMany => write!(
                f,
                "there are {} call stacks already, the most that can be",
                stacks::MOST_GUARDED_STACKS
            ),
            Self::TooLarge => {
                let mib = (LARGEST_MAPPING * PAGE_SIZE) >> 20;
                write!(f, "a call stack has at most {mib} MiB")
            }
        }
    }
}

impl core::error::Error for NoStack {}

impl From<OutOfFrames> for NoStack {
    fn from(_: OutOfFrames) -> Self {
        Self::OutOfFrames
    }
}

// SAFETY: the memory belongs to the value, wherever that goes; nothing of it belongs to a CPU or a thread.
unsafe impl Send for GuardedStack {}

impl GuardedStack {
    /// Makes a stack of `bytes` bytes, rounded up to whole pages (at least one). Its contents may be anything.
    ///
    /// # Errors
    ///
    /// [`NoStack`] says what is missing; nothing has changed then.
    pub fn new(name: impl Into<StackName>, bytes: usize) -> Result<Self, NoStack> {
        let pages = (bytes as u64).div_ceil(PAGE_SIZE).max(1);
        if pages > LARGEST_MAPPING {
            return Err(NoStack::TooLarge);
        }
        let name = name.into();
        // Mapped and written down in one step, with interrupts masked: whoever counts frames sees both or neither, because
        // other CPUs stand still for that where they have interrupts enabled.
        without_interrupts(|| {
            let start = mapper::map(pages, 1)?;
            // From here on, dropping it gives its pages back.
            let mut stack = Self {
                start,
                pages,
                name,
                entry: None,
            };
            stack.entry = stacks::add(&stack.addresses(), name);
            if stack.entry.is_none() {
                return Err(NoStack::TooMany);
            }
            Ok(stack)
        })
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> StackName {
        self.name
    }

    /// Returns the addresses of the stack.
    #[must_use]
    pub fn addresses(&self) -> Range<u64> {
        let start = self.start.addr().get() as u64;
        start..start + self.pages * PAGE_SIZE
    }

    /// Returns the stack pointer to begin with: the address behind the stack, a multiple of a page.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.addresses().end
    }

    /// Calls `function` on this stack, and comes back to the present one with its result.
    pub fn call_on<R>(&mut self, function: impl FnOnce() -> R) -> R {
        /// A function that waits for its call, and then its result.
        struct Call<F, R> {
            /// The function, until it is called.
            function: Option<F>,
            /// The result, once it has returned.
            result: Option<R>,
        }
        /// Makes the call. Panics end the kernel, so nothing unwinds out of here.
        extern "C" fn run<F: FnOnce() -> R, R>(call: &mut Call<F, R>) {
            call.result = call.function.take().map(|function| function());
        }
        /// Names the instance of [`run`] for a function whose type has no name.
        fn run_for<F: FnOnce() -> R, R>(_: &Call<F, R>) -> extern "C" fn(&mut Call<F, R>) {
            run
        }
        let mut call = Call {
            function: Some(function),
            result: None,
        };
        let run = run_for(&call);
        // SAFETY: the stack is mapped, ours (invariant), and borrowed mutably, so nobody else runs on it; its top is aligned to
        // 16 bytes. `run` keeps R12, which holds the stack pointer to come back to, and all else that the ABI says; it gets a
        // pointer to `call`, which nobody else uses meanwhile.
        unsafe {
            asm!(
                "xchg rsp, r12",
                "call {run}",
                "mov rsp, r12",
                run = in(reg) run,
                in("rdi") &raw mut call,
                inout("r12") self.top() => _,
                clobber_abi("C"),
            );
        };
        call.result
            .expect("the function was called and has returned")
    }
}

impl Drop for GuardedStack {
    fn drop(&mut self) {
        // One step, as in `new`.
        let unmapped = without_interrupts(|| {
            // Forgotten first, so that nobody believes its pages to be mapped when they are not.
            self.entry = None;
            // SAFETY: the mapping is ours and has so many pages (invariant); who runs on the stack borrows it.
            unsafe { mapper::unmap(self.start, self.pages) }
        });
        debug_assert_eq!(unmapped, Ok(()), "a stack's mapping is its own");
    }
}

impl fmt::Debug for GuardedStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses();
        write!(f, "GuardedStack({} at {addresses:#x?})", self.name)
    }
}
