//! The memory that firmware left its tables in.

use core::slice;

use super::tables::Memory;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::frame::Frame;
use crate::memory::physical::{frame_pointer, memory_map};

/// The boot loader maps at least so much physical memory, whatever of it exists.
const ALWAYS_MAPPED: u64 = 4 << 30;

/// Physical memory that is mapped and not the kernel's: it never writes there.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirmwareMemory;

impl Memory<'static> for FirmwareMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&'static [u8]> {
        let end = address.checked_add(u64::try_from(length).ok()?)?;
        let map = memory_map()?;
        if address == 0 || length == 0 || !is_mapped(end) || map.is_kernels(address, end) {
            return None;
        }
        let frame = frame_pointer(Frame::containing_address(address));
        let offset = usize::try_from(address % FRAME_SIZE).ok()?;
        // SAFETY: all of it is mapped (checked above), in one piece.
        let start = unsafe { frame.add(offset) };
        // SAFETY: as above, and any bytes are bytes. No part is usable, which the frame allocator would hand out, or the boot
        // loader's, where the image, its variables, the first stack and the page tables are (checked above): so the kernel never
        // writes there. Firmware and devices do not write to tables while the kernel runs, by the specification of ACPI.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
    }
}

/// Returns whether physical memory is mapped up to `end`: as far as the memory map goes, and 4 GiB at least.
fn is_mapped(end: u64) -> bool {
    let regions = memory_map()
        .into_iter()
        .flat_map(|map| map.merged_regions());
    let last = regions.map(|region| region.end).max();
    end <= last.unwrap_or(0).max(ALWAYS_MAPPED)
}
