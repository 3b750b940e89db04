//! Faults on purpose: for tests of the reports, and for whoever wants to see one (`fault` at the prompt).
//!
//! Names and sentences here are pure; [`provoke()`] does it.

#[cfg(target_os = "none")]
mod provoke;

#[cfg(target_os = "none")]
pub use provoke::provoke;

/// Something that the CPU does not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A read where no memory is.
    PageFault,
    /// A read through a null pointer.
    NullPointer,
    /// A write to the kernel's code.
    WriteToCode,
    /// A call of what is no code: bytes in the heap.
    WildCall,
    /// A read at an address that is none.
    GeneralProtection,
    /// An instruction that there is not.
    UndefinedInstruction,
    /// A division by zero.
    Division,
    /// A fault while the stack pointer is bad.
    DoubleFault,
    /// A recursion without end.
    StackOverflow,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::PageFault,
        Self::NullPointer,
        Self::WriteToCode,
        Self::WildCall,
        Self::GeneralProtection,
        Self::UndefinedInstruction,
        Self::Division,
        Self::DoubleFault,
        Self::StackOverflow,
    ];

    /// Returns what is typed for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PageFault => "pf",
            Self::NullPointer => "null",
            Self::WriteToCode => "code",
            Self::WildCall => "call",
            Self::GeneralProtection => "gp",
            Self::UndefinedInstruction => "ud",
            Self::Division => "de",
            Self::DoubleFault => "df",
            Self::StackOverflow => "stack",
        }
    }

    /// Returns what it does, in a few words.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::PageFault => "read where no memory is mapped",
            Self::NullPointer => "read through a null pointer",
            Self::WriteToCode => "write to the kernel's code",
            Self::WildCall => "call bytes in the heap",
            Self::GeneralProtection => "read at an address that is not canonical",
            Self::UndefinedInstruction => "execute `ud2`",
            Self::Division => "divide by zero",
            Self::DoubleFault => "fault with a bad stack pointer",
            Self::StackOverflow => "recurse without end",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for fault in Fault::ALL {
            assert_eq!(Fault::parse(fault.name()), Some(fault));
        }
        assert_eq!(Fault::parse("PF"), None);
        assert_eq!(Fault::parse(""), None);
    }
}
