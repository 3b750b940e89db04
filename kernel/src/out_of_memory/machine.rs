//! Asks the machine for the numbers, and prints them.

use core::alloc::Layout;

use super::OutOfMemoryReport;
use super::limit::Limit;
use crate::console;
use crate::interrupts::timer;
use crate::memory::frame_allocator::FrameStatistics;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;

/// A report a second.
static LIMIT: Limit = Limit::new();

/// Called by the heap after a request was answered with null, without its lock: prints what there is.
///
/// Where the console is busy, because what is being printed wanted memory, there is no report now, but one more to count.
pub fn handler(layout: Layout) {
    if !LIMIT.admits(timer::ticks(), u64::from(timer::FREQUENCY_HZ)) {
        return;
    }
    let unreported = LIMIT.take_held_back();
    let report = report(layout, unreported);
    if !console::try_print(format_args!("{report}")) {
        LIMIT.hold_back(unreported + 1);
    }
}

/// Gathers what there is, for a request that cannot be met; `unreported` others were not reported.
#[must_use]
pub fn report(layout: Layout, unreported: u64) -> OutOfMemoryReport {
    OutOfMemoryReport {
        layout,
        heap: HEAP.try_statistics(),
        frames: frames(),
        unreported,
    }
}

/// Returns how many requests were answered with null since the last report.
#[must_use]
pub fn unreported() -> u64 {
    LIMIT.held_back()
}

/// Asks the frame allocator, if there is one yet.
fn frames() -> Option<FrameStatistics> {
    physical::try_with_frames(|_| ())?;
    Some(physical::statistics())
}
