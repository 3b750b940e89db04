//! Interrupts that nobody has asked for: what the firmware left pending, or a device that it left switched on. They are
//! counted, and ended where a controller waits for that; the interrupted code goes on.
//!
//! Every vector behind the exceptions has an entry here, and the table of vectors has these entries wherever no other
//! handler is put. A vector without any would be an exception, and the end of the kernel.

use core::arch::naked_asm;

use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

use super::handling::Handling;
use super::vector::FIRST_OF_PICS;
use super::{controller, exceptions};

/// Bytes from one entry to the next: two pushes and a jump take twelve.
const ENTRY_BYTES: u64 = 16;

/// The entries, one behind the other, each [`ENTRY_BYTES`] long. What they push looks like an exception.
#[unsafe(naked)]
extern "C" fn entries() -> ! {
    naked_asm!(
        ".set .Lunexpected, {first}",
        ".rept 256 - {first}",
        ".balign {entry_bytes}",
        "push 0",
        // `push` with four bytes behind it.
        ".byte 0x68",
        ".long .Lunexpected",
        "jmp {common}",
        ".set .Lunexpected, .Lunexpected + 1",
        ".endr",
        first = const FIRST_OF_PICS,
        entry_bytes = const ENTRY_BYTES,
        common = sym exceptions::common,
    )
}

/// Enters a handler for each vector that is no exception.
pub(super) fn fill(table: &mut InterruptDescriptorTable) {
    let first = VirtAddr::from_ptr(entries as *const ()).align_up(ENTRY_BYTES);
    for vector in FIRST_OF_PICS..=u8::MAX {
        let entry = first + u64::from(vector - FIRST_OF_PICS) * ENTRY_BYTES;
        // SAFETY: the entry is made for its vector; with it, the stack looks as for an exception without an error code, which
        // is what `common` wants, and what it takes off again.
        unsafe { table[vector].set_handler_addr(entry) };
    }
}

/// Counts an interrupt that nobody has asked for, and ends it.
pub(super) fn handle(vector: u8) {
    let _handling = Handling::begin(vector);
    controller::end_if_in_service(vector);
}
