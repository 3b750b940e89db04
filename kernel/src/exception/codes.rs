//! The error codes of exceptions, in words.
#![forbid(unsafe_code)]

use core::fmt;

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
}
