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
//! whole inside a stack that is known to be mapped, and above the last one or on another stack. Between stacks there could be a
//! loop, which the most calls that are followed end.

use core::arch::asm;
use core::fmt;

use crate::memory::pointer::pointer_to;
use crate::registers::Frame;
use crate::stacks;

/// The most lines of a backtrace, less those that say how often the line above would come again.
const MOST_LINES: usize = 64;

/// The most calls that are followed, more than a stack has room for.
const MOST_CALLS: usize = 100_000;

/// Bytes of a saved RBP and a return address.
const FRAME_BYTES: u64 = 16;

/// A call stack. Displays one line a call, the innermost first: number and address, for the runner to translate. A function
/// that calls itself again and again is shown once, with a line that says how often.
///
/// The addresses are those of the call instructions' last bytes (a return address less one), so each can be looked up as
/// it is, even where a call that never returns ends its function.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    /// The interrupted instruction, for an exception.
    pub instruction_pointer: Option<u64>,
    /// The call that went to that instruction, where that is all that is known of it.
    pub call: Option<u64>,
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
            call: None,
            frame_pointer,
        }
    }

    /// Returns the call stack of interrupted code.
    ///
    /// Code that was sent to a wrong address has not made a frame there: what it was called with, a return address, is on top
    /// of the stack, while RBP still is the caller's.
    #[must_use]
    pub fn of_interrupted(frame: &Frame, was_sent_there: bool) -> Self {
        let on_top = was_sent_there
            .then(|| read_words(frame.stack_pointer))
            .flatten();
        Self {
            instruction_pointer: Some(frame.instruction_pointer),
            call: on_top.and_then(|[return_address, _]| return_address.checked_sub(1)),
            frame_pointer: frame.registers.rbp,
        }
    }

    /// Iterates over the addresses of the calls, the innermost first.
    fn calls(self) -> impl Iterator<Item = u64> {
        let mut frame_pointer = self.frame_pointer;
        core::iter::from_fn(move || {
            let (saved, return_address) = read_frame(frame_pointer)?;
            // Only upwards on one stack, so a loop there ends; from the stack of an exception to that of the interrupted code.
            let goes_on = saved > frame_pointer
                || stacks::containing(saved) != stacks::containing(frame_pointer);
            frame_pointer = if goes_on { saved } else { 0 };
            return_address.checked_sub(1)
        })
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interrupted = self.instruction_pointer.into_iter().chain(self.call);
        let mut addresses = interrupted
            .chain(self.calls())
            .take(MOST_CALLS)
            .enumerate()
            .peekable();
        for _ in 0..MOST_LINES {
            let Some((number, address)) = addresses.next() else {
                break;
            };
            writeln!(f, "{number:4}: {address:#018x}")?;
            let mut again = 0;
            while addresses.next_if(|&(_, next)| next == address).is_some() {
                again += 1;
            }
            match again {
                0 => {}
                1 => writeln!(f, "      … and once more")?,
                _ => writeln!(f, "      … and {again} times more")?,
            }
        }
        Ok(())
    }
}

/// Reads the saved RBP and the return address at `frame_pointer`; `None` where there cannot be any.
fn read_frame(frame_pointer: u64) -> Option<(u64, u64)> {
    let [saved, return_address] = read_words(frame_pointer)?;
    (return_address != 0).then_some((saved, return_address))
}

/// Reads two words on a stack; `None` where there cannot be any.
fn read_words(address: u64) -> Option<[u64; 2]> {
    let stack = stacks::containing(address)?;
    if !address.is_multiple_of(8) || stack.end - address < FRAME_BYTES {
        return None;
    }
    let words = pointer_to::<[u64; 2]>(address);
    // SAFETY: just checked: aligned, and all 16 bytes in a stack, which is mapped.
    Some(unsafe { words.read_volatile() })
}
