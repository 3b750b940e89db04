//! The CPU's registers at the moment of an exception, and how they read. Pure: numbers in, text out.
#![forbid(unsafe_code)]

use core::fmt;

/// The general registers, in the order in which the entry of exceptions leaves them on the stack: the last one pushed has the
/// lowest address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the CPU's")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
}

/// How many general registers there are, without the stack pointer.
pub const GENERAL_REGISTERS: usize = 15;

impl Registers {
    /// Returns the registers with their names, in the order of the CPU's manual.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); GENERAL_REGISTERS] {
        [
            ("RAX", self.rax),
            ("RBX", self.rbx),
            ("RCX", self.rcx),
            ("RDX", self.rdx),
            ("RSI", self.rsi),
            ("RDI", self.rdi),
            ("RBP", self.rbp),
            ("R8", self.r8),
            ("R9", self.r9),
            ("R10", self.r10),
            ("R11", self.r11),
            ("R12", self.r12),
            ("R13", self.r13),
            ("R14", self.r14),
            ("R15", self.r15),
        ]
    }
}

/// What stands on the stack when the entry of exceptions has done its part: all registers of the interrupted code. What the
/// CPU itself pushed begins with the error code, or behind it where an exception has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Frame {
    /// The general registers.
    pub registers: Registers,
    /// The number of the exception in the interrupt descriptor table.
    pub vector: u64,
    /// The error code; 0 for exceptions that have none.
    pub error_code: u64,
    /// The interrupted instruction (RIP).
    pub instruction_pointer: u64,
    /// The code segment of that instruction (CS).
    pub code_segment: u64,
    /// The flags at that instruction (RFLAGS).
    pub flags: u64,
    /// The stack pointer at that instruction (RSP).
    pub stack_pointer: u64,
    /// The stack segment at that instruction (SS).
    pub stack_segment: u64,
}

/// The registers of an exception as a table: 16 digits each, without `0x`, so that the runner, which names addresses,
/// leaves them alone.
#[derive(Clone, Copy, Debug)]
pub struct RegisterTable<'a> {
    /// The registers.
    pub frame: &'a Frame,
    /// The page table in use (CR3).
    pub page_table: u64,
}

/// Registers in a row of the table.
const COLUMNS: usize = 3;

impl fmt::Display for RegisterTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let general = self.frame.registers.named();
        // The stack pointer stands beside the frame pointer.
        let (first, rest) = general.split_at(7);
        let others = [
            ("RSP", self.frame.stack_pointer),
            ("RIP", self.frame.instruction_pointer),
            ("CR3", self.page_table),
        ];
        let (stack_pointer, last) = others.split_at(1);
        let all = first.iter().chain(stack_pointer).chain(rest).chain(last);
        for (number, (name, value)) in all.enumerate() {
            let before = if number % COLUMNS == 0 { "  " } else { "   " };
            let behind = if (number + 1) % COLUMNS == 0 {
                "\n"
            } else {
                ""
            };
            write!(f, "{before}{name:<3} {value:016x}{behind}")?;
        }
        let (code_segment, flags) = (self.frame.code_segment, self.frame.flags);
        write!(f, "  CS  {code_segment:#06x}   RFLAGS {}", Flags(flags))
    }
}

/// The register RFLAGS. Displays as its value and the names of the flags that are set.
#[derive(Clone, Copy, Debug)]
pub struct Flags(pub u64);

impl Flags {
    /// The bits that have a name, with it.
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
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}:", self.0)?;
        let mut set = Self::NAMES
            .iter()
            .filter(|(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .peekable();
        if set.peek().is_none() {
            f.write_str(" none")?;
        }
        set.try_for_each(|name| write!(f, " {name}"))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// A frame whose registers all differ.
    fn frame() -> Frame {
        Frame {
            registers: Registers {
                r15: 15,
                r14: 14,
                r13: 13,
                r12: 12,
                r11: 11,
                r10: 10,
                r9: 9,
                r8: 8,
                rbp: 7,
                rdi: 6,
                rsi: 5,
                rdx: 4,
                rcx: 3,
                rbx: 2,
                rax: 0xffff_ffff_ffff_ffff,
            },
            vector: 14,
            error_code: 2,
            instruction_pointer: 0xffff_ffff_8000_1234,
            code_segment: 8,
            flags: 0x246,
            stack_pointer: 0xffff_8080_0000_5678,
            stack_segment: 16,
        }
    }

    #[test]
    fn every_register_is_in_the_table() {
        let frame = frame();
        let table = RegisterTable {
            frame: &frame,
            page_table: 0x10_1000,
        };
        assert_eq!(
            table.to_string(),
            "  RAX ffffffffffffffff   RBX 0000000000000002   RCX 0000000000000003\n\
             \x20 RDX 0000000000000004   RSI 0000000000000005   RDI 0000000000000006\n\
             \x20 RBP 0000000000000007   RSP ffff808000005678   R8  0000000000000008\n\
             \x20 R9  0000000000000009   R10 000000000000000a   R11 000000000000000b\n\
             \x20 R12 000000000000000c   R13 000000000000000d   R14 000000000000000e\n\
             \x20 R15 000000000000000f   RIP ffffffff80001234   CR3 0000000000101000\n\
             \x20 CS  0x0008   RFLAGS 0x00000246: PF ZF IF"
        );
    }

    #[test]
    fn flags_are_named() {
        assert_eq!(Flags(0).to_string(), "0x00000000: none");
        assert_eq!(
            Flags(0x4_0ed5 | 1 << 8).to_string(),
            "0x00040fd5: CF PF AF ZF SF TF IF DF OF AC"
        );
    }
}
