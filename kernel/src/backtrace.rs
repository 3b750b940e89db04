//! Who called whom, read from the chain of frame pointers. Allocates nothing, and cannot fault.
//!
//! The kernel is compiled with frame pointers everywhere: each function saves its caller's RBP and points RBP to that place;
//! the return address lies above it.
//!
//! ```text
//!   RBP ──► saved RBP ──► saved RBP ──► …      8 bytes each, on one stack, towards higher addresses
//!           return address  return address
//! ```
//!
//! A broken chain (that is when backtraces are wanted) must not do more harm: a frame is read only where it is aligned, lies
//! whole inside a stack that is known to be mapped, and above the last one.

use core::arch::asm;
use core::fmt;
use core::ptr;

use crate::stacks;

/// The most lines of a backtrace.
const MOST_FRAMES: usize = 64;

/// Bytes of a saved RBP and a return address.
const FRAME_BYTES: u64 = 16;

/// A call stack. Displays one line a call, the innermost first: number and address, for the runner to translate.
///
/// The addresses are those of the call instructions' last bytes (a return address less one), so each can be looked up as
/// it is, even where a call that never returns ends its function.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    /// The interrupted instruction, for an exception.
    pub instruction_pointer: Option<u64>,
    /// The frame pointer to begin with.
    pub frame_pointer: u64,
}

impl Backtrace {
    /// Returns the call stack of the caller.
    #[must_use]
    #[inline(always)]
    pub fn here() -> Self {
        let frame_pointer;
        // SAFETY: copies a register.
        unsafe {
            asm!("mov {}, rbp", out(reg) frame_pointer, options(nomem, nostack, preserves_flags));
        };
        Self {
            instruction_pointer: None,
            frame_pointer,
        }
    }

    /// Iterates over the addresses of the calls, the innermost first.
    fn calls(self) -> impl Iterator<Item = u64> {
        let mut frame_pointer = self.frame_pointer;
        core::iter::from_fn(move || {
            let (saved, return_address) = read_frame(frame_pointer)?;
            // Only upwards, so a loop in the chain ends; anything else is the end of the chain.
            frame_pointer = if saved > frame_pointer { saved } else { 0 };
            return_address.checked_sub(1)
        })
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.instruction_pointer.into_iter().chain(self.calls());
        for (number, address) in addresses.take(MOST_FRAMES).enumerate() {
            writeln!(f, "{number:4}: {address:#018x}")?;
        }
        Ok(())
    }
}

/// Reads the saved RBP and the return address at `frame_pointer`; `None` where there cannot be any.
fn read_frame(frame_pointer: u64) -> Option<(u64, u64)> {
    let stack = stacks::containing(frame_pointer)?;
    if !frame_pointer.is_multiple_of(8) || stack.end - frame_pointer < FRAME_BYTES {
        return None;
    }
    let frame = ptr::with_exposed_provenance::<[u64; 2]>(usize::try_from(frame_pointer).ok()?);
    // SAFETY: just checked: aligned, and all 16 bytes in a stack, which is mapped.
    let [saved, return_address] = unsafe { frame.read_volatile() };
    (return_address != 0).then_some((saved, return_address))
}
