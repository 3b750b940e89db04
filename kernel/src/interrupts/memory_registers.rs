//! Registers of a device that lie in physical memory.

use core::ptr::NonNull;

use crate::memory::frame::{FRAME_SIZE, Frame};
use crate::memory::physical::{frame_pointer, memory_map};

/// Registers of 32 bits at a physical address.
///
/// The boot loader's mapping of physical memory covers the first 4 GiB at least, which is where both kinds of APIC are. It is a
/// mapping for memory, which a CPU may cache; real machines have the firmware mark the addresses of devices as uncacheable
/// in the CPU's own registers (MTRRs), which takes precedence, and emulators do not care.
///
/// # Invariants
/// - `page` is mapped for [`FRAME_SIZE`] bytes, and is no memory, but has the registers of a device.
/// - `first` is a multiple of 4.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryRegisters {
    /// The page of the registers.
    page: NonNull<u8>,
    /// Where in the page the first one is, in bytes.
    first: u32,
}

// SAFETY: the address is the same for all, and each access is one instruction.
unsafe impl Send for MemoryRegisters {}

// SAFETY: as above.
unsafe impl Sync for MemoryRegisters {}

impl MemoryRegisters {
    /// Returns the registers at an address below 4 GiB; `None` where memory is, by the memory map, or the address is odd.
    ///
    /// # Safety
    ///
    /// If no memory is there, a device has registers there that may be read and written as its user does.
    pub(super) unsafe fn at(address: u32) -> Option<Self> {
        let frame = Frame::containing_address(u64::from(address));
        let (start, last) = (
            frame.start_address(),
            frame.start_address() + FRAME_SIZE - 1,
        );
        let map = memory_map()?;
        if map.has_memory_at(start) || map.has_memory_at(last) || !address.is_multiple_of(4) {
            return None;
        }
        // INVARIANT: checked just now; all below 4 GiB is mapped; and the caller says that there is a device.
        Some(Self {
            page: frame_pointer(frame),
            first: address % PAGE_BYTES,
        })
    }

    /// Reads the register `offset` bytes behind the first.
    ///
    /// # Panics
    ///
    /// If that is no register of this page.
    pub(super) fn read(self, offset: u32) -> u32 {
        // SAFETY: mapped, aligned and a device's (`register`): the callers' offsets are those of their device.
        unsafe { self.register(offset).read_volatile() }
    }

    /// Writes the register `offset` bytes behind the first.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub(super) fn write(self, offset: u32, value: u32) {
        // SAFETY: as for `read`; what a register does is its user's business.
        unsafe { self.register(offset).write_volatile(value) };
    }

    /// Returns where a register is: in the page, and aligned.
    fn register(self, offset: u32) -> NonNull<u32> {
        let in_page = self.first.saturating_add(offset);
        assert!(
            in_page < PAGE_BYTES && in_page.is_multiple_of(4),
            "the device's registers end before {offset:#x}"
        );
        // SAFETY: the offset stays in the page (checked), which is mapped (invariant).
        unsafe { self.page.add(in_page as usize) }.cast()
    }
}

/// Bytes of a page.
const PAGE_BYTES: u32 = 4096;
const _: () = assert!(PAGE_BYTES as u64 == FRAME_SIZE);
