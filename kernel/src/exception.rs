//! The exceptions of an x86-64 CPU, in words. Pure: numbers in, text out.
#![forbid(unsafe_code)]

use core::fmt;

use crate::stack_name::StackName;

/// What the CPU said about an exception.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// Its number in the interrupt descriptor table.
    pub vector: u8,
    /// The error code, for those that have one.
    pub error_code: Option<u64>,
    /// The address whose access failed (register CR2), for a page fault.
    pub address: Option<u64>,
    /// The interrupted instruction.
    pub instruction_pointer: u64,
    /// The stack pointer at that instruction.
    pub stack_pointer: u64,
    /// The flags at that instruction.
    pub flags: u64,
    /// The code segment of that instruction.
    pub code_segment: u16,
    /// What the kernel knows beyond the CPU.
    pub hint: Option<Hint>,
}

/// What the kernel knows of the address of a page fault. Displays as a sentence.
#[derive(Clone, Copy, Debug)]
pub enum Hint {
    /// It lies in the guard of the call stack of this name.
    Overflow(StackName),
    /// It lies next to 0.
    NullPointer,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow(name) => write!(
                f,
                "The call stack `{name}` has overflowed: the address is in the guard page below it."
            ),
            Self::NullPointer => {
                f.write_str("The address is next to 0: a null pointer was followed.")
            }
        }
    }
}

/// The vector of the non-maskable interrupt.
pub const NON_MASKABLE_INTERRUPT: u8 = 2;

/// The vector of the breakpoint exception, the one to go on from.
pub const BREAKPOINT: u8 = 3;

/// The vector of the page fault.
pub const PAGE_FAULT: u8 = 14;

/// Returns the name of an exception and what it means, as one sentence.
#[must_use]
pub const fn name_and_meaning(vector: u8) -> (&'static str, &'static str) {
    match vector {
        0 => (
            "divide error",
            "A division was by zero, or its result does not fit its register.",
        ),
        1 => (
            "debug",
            "A debug register or single-stepping stopped the CPU.",
        ),
        NON_MASKABLE_INTERRUPT => (
            "non-maskable interrupt",
            "The machine reports a hardware failure, or somebody sent an NMI on purpose.",
        ),
        BREAKPOINT => ("breakpoint", "The code has an `int3` instruction here."),
        4 => (
            "overflow",
            "An `into` instruction found the overflow flag set.",
        ),
        5 => (
            "bound range exceeded",
            "A `bound` instruction found its index out of bounds.",
        ),
        6 => (
            "invalid opcode",
            "The bytes at RIP are not an instruction of this CPU (`ud2` marks code that must not be reached).",
        ),
        7 => (
            "device not available",
            "The code uses the floating-point unit, which the kernel leaves switched off.",
        ),
        8 => (
            "double fault",
            "A second exception came while the CPU was entering the handler of a first one, often because the stack pointer is bad.",
        ),
        10 => (
            "invalid TSS",
            "A task state segment that was switched to is not valid.",
        ),
        11 => (
            "segment not present",
            "A segment or gate is marked as not present.",
        ),
        12 => (
            "stack-segment fault",
            "The stack pointer, or an access through it, is not a canonical address.",
        ),
        13 => (
            "general protection fault",
            "The code did what its segment, its privilege or the form of an address forbids.",
        ),
        PAGE_FAULT => (
            "page fault",
            "The code accessed an address that is not mapped that way.",
        ),
        16 => (
            "x87 floating point",
            "The floating-point unit reports an error.",
        ),
        17 => (
            "alignment check",
            "An access was not aligned, and alignment is being checked.",
        ),
        18 => ("machine check", "The hardware reports an internal error."),
        19 => (
            "SIMD floating point",
            "A vector instruction reports a floating-point error.",
        ),
        20 => (
            "virtualization",
            "The second level of page tables does not allow this access.",
        ),
        21 => (
            "control protection",
            "A return or jump went somewhere that control-flow protection forbids.",
        ),
        28 => ("hypervisor injection", "The hypervisor injected an event."),
        29 => (
            "VMM communication",
            "The hypervisor must be asked to do this.",
        ),
        30 => ("security", "The CPU reports a security event."),
        _ => (
            "reserved exception",
            "This CPU knows an exception that the kernel does not.",
        ),
    }
}

impl Exception {
    /// Returns the name of the exception.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        name_and_meaning(self.vector).0
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, meaning) = name_and_meaning(self.vector);
        writeln!(
            f,
            "{name} (exception {}) at {:#018x}",
            self.vector, self.instruction_pointer
        )?;
        writeln!(f, "  {meaning}")?;
        if let Some(hint) = self.hint {
            writeln!(f, "  {hint}")?;
        }
        if let Some(address) = self.address {
            writeln!(f, "  CR2 {address:#018x}")?;
        }
        match (self.vector, self.error_code) {
            (_, None) => {}
            (PAGE_FAULT, Some(code)) => {
                writeln!(f, "  error code {code:#x}: {}", PageFaultCode(code))?;
            }
            (10..=13, Some(code)) => writeln!(f, "  error code {code:#x}: {}", SelectorCode(code))?,
            (_, Some(code)) => writeln!(f, "  error code {code:#x}")?,
        }
        writeln!(
            f,
            "  RIP {:#018x}  CS     {:#06x}",
            self.instruction_pointer, self.code_segment
        )?;
        write!(
            f,
            "  RSP {:#018x}  RFLAGS {:#010x}: {}",
            self.stack_pointer,
            self.flags,
            Flags(self.flags)
        )
    }
}

/// The error code of a page fault. Displays as what was tried, by whom, and why not.
#[derive(Clone, Copy, Debug)]
pub struct PageFaultCode(pub u64);

impl fmt::Display for PageFaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit: u32| self.0 >> bit & 1 == 1;
        let tried = match (has(4), has(1)) {
            (true, _) => "fetch of an instruction",
            (false, true) => "write",
            (false, false) => "read",
        };
        let by = if has(2) { "user code" } else { "the kernel" };
        let why = if has(0) {
            "the page's rights forbid it"
        } else {
            "no page is mapped there"
        };
        write!(f, "a {tried} by {by}, and {why}")?;
        let others = [
            (3, "a reserved bit of a page table entry is set"),
            (5, "its protection key forbids it"),
            (6, "it was a shadow-stack access"),
        ];
        for (_, text) in others.iter().filter(|&&(bit, _)| has(bit)) {
            write!(f, "; {text}")?;
        }
        Ok(())
    }
}

/// The error code of an exception about a segment.
#[derive(Clone, Copy, Debug)]
pub struct SelectorCode(pub u64);

impl fmt::Display for SelectorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no segment is to blame");
        }
        let table = match self.0 >> 1 & 3 {
            0 => "global descriptor table",
            2 => "local descriptor table",
            _ => "interrupt descriptor table",
        };
        write!(f, "entry {} of the {table}", self.0 >> 3 & 0x1fff)?;
        if self.0 & 1 == 1 {
            f.write_str(", met while delivering an interrupt or exception")
        } else {
            Ok(())
        }
    }
}

/// The register RFLAGS. Displays as the names of the flags that are set.
#[derive(Clone, Copy, Debug)]
pub struct Flags(pub u64);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u32, &str); 10] = [
            (0, "CF"),
            (2, "PF"),
            (4, "AF"),
            (6, "ZF"),
            (7, "SF"),
            (8, "TF"),
            (9, "IF"),
            (10, "DF"),
            (11, "OF"),
            (18, "AC"),
        ];
        let mut set = NAMES
            .iter()
            .filter(|(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| *name);
        f.write_str(set.next().unwrap_or("none"))?;
        set.try_for_each(|name| write!(f, " {name}"))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn page_fault_codes_say_who_tried_what() {
        assert_eq!(
            PageFaultCode(0).to_string(),
            "a read by the kernel, and no page is mapped there"
        );
        assert_eq!(
            PageFaultCode(0b11).to_string(),
            "a write by the kernel, and the page's rights forbid it"
        );
        assert_eq!(
            PageFaultCode(0b10101).to_string(),
            "a fetch of an instruction by user code, and the page's rights forbid it"
        );
        assert!(
            PageFaultCode(0b1001)
                .to_string()
                .ends_with("; a reserved bit of a page table entry is set")
        );
    }

    #[test]
    fn selector_codes_name_table_and_entry() {
        assert_eq!(SelectorCode(0).to_string(), "no segment is to blame");
        assert_eq!(
            SelectorCode(0x10).to_string(),
            "entry 2 of the global descriptor table"
        );
        assert_eq!(
            SelectorCode(0x403).to_string(),
            "entry 128 of the interrupt descriptor table, met while delivering an interrupt or exception"
        );
    }

    #[test]
    fn reports_name_the_exception_and_the_registers() {
        let exception = Exception {
            vector: PAGE_FAULT,
            error_code: Some(2),
            address: Some(0xdead_b000),
            instruction_pointer: 0x1234,
            stack_pointer: 0x5678,
            flags: 0x246,
            code_segment: 8,
            hint: Some(Hint::Overflow(StackName::new("boot"))),
        };
        let text = exception.to_string();
        for part in [
            "page fault (exception 14) at 0x0000000000001234",
            "The call stack `boot` has overflowed",
            "CR2 0x00000000deadb000",
            "a write by the kernel",
            "PF ZF IF",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn every_vector_has_a_sentence() {
        assert!((0..=u8::MAX).all(|vector| name_and_meaning(vector).1.ends_with('.')));
    }
}
