//! The exceptions of an x86-64 CPU, in words. Pure: numbers in, text out.
//!
//! What the CPU says is in its registers ([`crate::registers`]); what the kernel knows beyond that are the
//! [`Whereabouts`] of the addresses in them, which [`lookup`](crate::lookup) has found out when the report is written.
#![forbid(unsafe_code)]

use core::fmt;

use stack_alloc::Place;

use crate::failure_context::FailureContext;
use crate::registers::{Frame, GENERAL_REGISTERS, RegisterTable};
use crate::stack_name::StackName;
use crate::whereabouts::{HeapPlace, Whereabouts};

pub mod codes;
pub mod vectors;

pub use vectors::{BREAKPOINT, NON_MASKABLE_INTERRUPT, PAGE_FAULT, name_and_meaning};

use codes::{PageFaultCode, SelectorCode};
use vectors::has_error_code;

/// What is known of an exception.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// All registers of the interrupted code.
    pub frame: Frame,
    /// The page table in use (register CR3).
    pub page_table: u64,
    /// Where the interrupted code was.
    pub context: FailureContext,
    /// The address whose access failed (register CR2), and what is there, for a page fault.
    pub address: Option<(u64, Whereabouts)>,
    /// What the general registers point to in the heap, in the order of
    /// [`Registers::named`](crate::registers::Registers::named); `None` when somebody holds the heap's lock.
    pub heap_pointers: Option<[Option<Place>; GENERAL_REGISTERS]>,
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
            Whereabouts::Guard(name) => Some(Hint::Overflow(name)),
            Whereabouts::NextToNull if self.is_of_fetch() => Some(Hint::NullCall),
            Whereabouts::NextToNull => Some(Hint::NullPointer),
            _ if self.is_of_fetch() => Some(Hint::WildJump),
            Whereabouts::CodeOrConstants if is_write => Some(Hint::ReadOnly),
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

    /// Writes a line for each register that points into the heap.
    fn write_heap_pointers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(places) = self.heap_pointers else {
            return writeln!(f, "  {}", Whereabouts::HeapIsBusy);
        };
        if places.iter().any(Option::is_some) {
            writeln!(f, "  registers that point into the heap:")?;
        }
        let named = self.frame.registers.named();
        for ((name, _), place) in named.iter().zip(places) {
            if let Some(place) = place {
                writeln!(f, "    {name:<3} {}", HeapPlace(place))?;
            }
        }
        Ok(())
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
        if let Some((address, whereabouts)) = self.address {
            writeln!(f, "  CR2 {address:#018x}: {whereabouts}")?;
        }
        writeln!(f, "  {}", self.context)?;
        let table = RegisterTable {
            frame: &self.frame,
            page_table: self.page_table,
        };
        writeln!(f, "{table}")?;
        self.write_heap_pointers(f)
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
