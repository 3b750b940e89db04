//! Registers of a device that lie in physical memory.

use core::ptr::NonNull;

use crate::memory::frame::Frame;
use crate::memory::physical::frame_pointer;

/// Registers of 32 bits at a physical address.
///
/// The boot loader's mapping of physical memory covers the first 4 GiB at least, which is where both kinds of APIC are. It is a
/// mapping for memory, which a CPU may cache; real machines have the firmware mark the addresses of devices as uncacheable
/// in the CPU's own registers (MTRRs), which takes precedence, and emulators do not care.
///
/// # Invariants
/// - `start` is mapped, to the registers of a device, for one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryRegisters {
    /// The first register.
    start: NonNull<u32>,
}

// SAFETY: the address is the same for all, and each access is one instruction.
unsafe impl Send for MemoryRegisters {}

// SAFETY: as above.
unsafe impl Sync for MemoryRegisters {}

impl MemoryRegisters {
    /// Returns the registers at an address below 4 GiB.
    ///
    /// # Safety
    ///
    /// A device has registers there, and nothing else is in their page.
    pub(super) unsafe fn at(address: u32) -> Self {
        let page = frame_pointer(Frame::containing_address(u64::from(address)));
        let offset = (address % 4096 / 4) as usize;
        // SAFETY: the offset stays in the page, which is mapped as are all below 4 GiB.
        let start = unsafe { page.cast::<u32>().add(offset) };
        Self { start }
    }

    /// Reads the register `offset` bytes behind the first.
    pub(super) fn read(self, offset: u32) -> u32 {
        // SAFETY: mapped (invariant): the callers' offsets are those of their device.
        unsafe { self.register(offset).read_volatile() }
    }

    /// Writes the register `offset` bytes behind the first.
    pub(super) fn write(self, offset: u32, value: u32) {
        // SAFETY: as for `read`; what a register does is its user's business.
        unsafe { self.register(offset).write_volatile(value) };
    }

    /// Returns where a register is.
    fn register(self, offset: u32) -> NonNull<u32> {
        debug_assert!(offset < 4096 && offset.is_multiple_of(4));
        // SAFETY: the offset stays in the page (checked).
        unsafe { self.start.add((offset / 4) as usize) }
    }
}
