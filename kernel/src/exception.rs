//! The exceptions of an x86-64 CPU, in words. Pure: numbers in, text out.
//!
//! What the CPU says is in its registers ([`crate::registers`]), and that is reported first, with what the kernel's own
//! variables tell of it ([`Exception`]). What the heap knows of the addresses in the registers comes behind it
//! ([`HeapPointers`]): it is read from memory that may be what is broken.
#![forbid(unsafe_code)]

use core::fmt;

use crate::failure_context::FailureContext;
use crate::registers::{Frame, RegisterTable};
use crate::stack_name::StackName;
use crate::whereabouts::Whereabouts;

pub mod codes;
mod heap_pointers;
pub mod vectors;

pub use heap_pointers::HeapPointers;
pub use vectors::{BREAKPOINT, NON_MASKABLE_INTERRUPT, PAGE_FAULT, name_and_meaning};

use codes::{PageFaultCode, SelectorCode};
use vectors::has_error_code;

/// What is known of an exception without the heap.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// All registers of the interrupted code.
    pub frame: Frame,
    /// The page table in use (register CR3).
    pub page_table: u64,
    /// Where the interrupted code was.
    pub context: FailureContext,
    /// The address whose access failed (register CR2), for a page fault; and what is there, if that is known.
    pub address: Option<(u64, Option<Whereabouts>)>,
}

impl Exception {
    /// Returns the number of the exception in the interrupt descriptor table.
    #[must_use]
    pub const fn vector(&self) -> u8 {
        // The entry pushes vectors, which have eight bits.
        self.frame.vector.to_le_bytes()[0]
    }

    /// Returns the name of the exception.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        name_and_meaning(self.vector()).0
    }

    /// Returns whether the instruction itself could not be fetched: the CPU was sent to a wrong address.
    #[must_use]
    pub fn is_of_fetch(&self) -> bool {
        (self.address).is_some_and(|(address, _)| address == self.frame.instruction_pointer)
    }

    /// Returns what the exception means, where that is more than the CPU says.
    fn hint(&self) -> Option<Hint> {
        let (_, whereabouts) = self.address?;
        let is_write = self.frame.error_code >> 1 & 1 == 1;
        match whereabouts {
            Some(Whereabouts::Guard(name)) => Some(Hint::Overflow(name)),
            Some(Whereabouts::NextToNull) if self.is_of_fetch() => Some(Hint::NullCall),
            Some(Whereabouts::NextToNull) => Some(Hint::NullPointer),
            _ if self.is_of_fetch() => Some(Hint::WildJump),
            Some(Whereabouts::CodeOrConstants) if is_write => Some(Hint::ReadOnly),
            _ => None,
        }
    }

    /// Writes the line of the error code, where there is one.
    fn write_error_code(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vector, code) = (self.vector(), self.frame.error_code);
        if !has_error_code(vector) {
            return Ok(());
        }
        write!(f, "  error code {code:#x}")?;
        match vector {
            PAGE_FAULT => writeln!(f, ": {}", PageFaultCode(code)),
            10..=13 => writeln!(f, ": {}", SelectorCode(code)),
            _ => writeln!(f),
        }
    }

    /// Writes the line of the address, where there is one.
    fn write_address(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => Ok(()),
            Some((address, Some(whereabouts))) => {
                writeln!(f, "  CR2 {address:#018x}: {whereabouts}")
            }
            Some((address, None)) => writeln!(
                f,
                "  CR2 {address:#018x}: neither on a call stack nor in the kernel's image"
            ),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, meaning) = name_and_meaning(self.vector());
        let (vector, instruction_pointer) = (self.vector(), self.frame.instruction_pointer);
        writeln!(
            f,
            "{name} (exception {vector}) at {instruction_pointer:#018x}"
        )?;
        writeln!(f, "  {meaning}")?;
        if let Some(hint) = self.hint() {
            writeln!(f, "  {hint}")?;
        }
        self.write_error_code(f)?;
        self.write_address(f)?;
        writeln!(f, "  {}", self.context)?;
        let table = RegisterTable {
            frame: &self.frame,
            page_table: self.page_table,
        };
        writeln!(f, "{table}")
    }
}

/// What an exception means beyond what the CPU says. Displays as a sentence.
#[derive(Clone, Copy, Debug)]
enum Hint {
    /// A call stack, of this name, is full.
    Overflow(StackName),
    /// A call through a null pointer.
    NullCall,
    /// An access through a null pointer.
    NullPointer,
    /// A jump to where no code is.
    WildJump,
    /// A write to what must not change.
    ReadOnly,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow(name) => write!(
                f,
                "The call stack `{name}` has overflowed: the address is in the guard page below it."
            ),
            Self::NullCall => f.write_str("A null function pointer was called."),
            Self::NullPointer => {
                f.write_str("The address is next to 0: a null pointer was followed.")
            }
            Self::WildJump => f.write_str(
                "The CPU was sent there to execute it, by a wrong function pointer or return address.",
            ),
            Self::ReadOnly => f.write_str("The kernel's code and constants cannot be written to."),
        }
    }
}

#[cfg(test)]
mod tests;
