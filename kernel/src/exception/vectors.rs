//! The numbers of the CPU's exceptions, and what they mean.
#![forbid(unsafe_code)]

/// The vector of the non-maskable interrupt.
pub const NON_MASKABLE_INTERRUPT: u8 = 2;

/// The vector of the breakpoint exception, the one to go on from.
pub const BREAKPOINT: u8 = 3;

/// The vector of the general protection fault.
pub const GENERAL_PROTECTION: u8 = 13;

/// The vector of the page fault.
pub const PAGE_FAULT: u8 = 14;

/// Returns whether the CPU pushes an error code for an exception.
#[must_use]
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_has_a_sentence() {
        assert!((0..=u8::MAX).all(|vector| name_and_meaning(vector).1.ends_with('.')));
    }
}
