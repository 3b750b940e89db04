//! Where the CPU finds an address: a walk through its page tables that only reads.
//!
//! ```text
//! CR3 ──▶ level 4 ──▶ level 3 ──▶ level 2 ──▶ level 1 ──▶ 4 KiB page
//!          9 bits      9 bits │    9 bits │    9 bits      12 bits of the address
//!                             └▶ 1 GiB    └▶ 2 MiB page
//! ```

use core::ptr;

use x86_64::registers::control::Cr3;

use super::frame::Frame;
use super::physical::frame_pointer;

/// Bits of an entry: the page, or the next table, is there.
const PRESENT: u64 = 1 << 0;
/// It may be written to.
const WRITABLE: u64 = 1 << 1;
/// It is a large page and not a table.
const LARGE: u64 = 1 << 7;
/// No code may run in it.
const NO_EXECUTE: u64 = 1 << 63;
/// The bits with the physical address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// How an address is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The physical address behind it.
    pub physical: u64,
    /// Bytes of the page that it is in.
    pub page_bytes: u64,
    /// The page may be written to.
    pub is_writable: bool,
    /// Code may run in the page.
    pub is_executable: bool,
}

/// Returns how `address` is mapped; `None` where it is not. Takes no lock: a mapping that is being changed is seen as it was
/// or as it will be.
#[must_use]
pub fn mapping_of(address: u64) -> Option<Mapping> {
    if !is_canonical(address) {
        return None;
    }
    let mut table = Cr3::read().0.start_address().as_u64();
    let mut rights = WRITABLE;
    let mut no_execute = 0;
    for shift in [39, 30, 21, 12] {
        let index = usize::try_from(address >> shift & 0x1ff).ok()?;
        let entry = read_entry(table, index);
        if entry & PRESENT == 0 {
            return None;
        }
        rights &= entry;
        no_execute |= entry & NO_EXECUTE;
        if shift == 12 || (shift < 39 && entry & LARGE != 0) {
            let page_bytes = 1 << shift;
            let offset = address & (page_bytes - 1);
            return Some(Mapping {
                physical: (entry & ADDRESS & !(page_bytes - 1)) + offset,
                page_bytes,
                is_writable: rights & WRITABLE != 0,
                is_executable: no_execute == 0,
            });
        }
        table = entry & ADDRESS;
    }
    None
}

/// Returns whether the upper 17 bits of `address` are all the same: others are no addresses.
const fn is_canonical(address: u64) -> bool {
    let upper = address.cast_signed() >> 47;
    upper == 0 || upper == -1
}

/// Reads entry number `index`, below 512, of the table at the physical address `table`.
fn read_entry(table: u64, index: usize) -> u64 {
    let entries = frame_pointer(Frame::containing_address(table)).cast::<[u64; 512]>();
    // SAFETY: page tables lie in physical memory, all of which is mapped; the pointer is only computed.
    let entry = unsafe { ptr::addr_of!((*entries.as_ptr())[index]) };
    // SAFETY: as above: mapped, aligned, and the index is inside. The CPU may write to it, so it is volatile.
    unsafe { entry.read_volatile() }
}
