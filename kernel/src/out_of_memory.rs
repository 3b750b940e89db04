//! Out of memory, told: what was asked for, what there is, and who holds the most.
//!
//! The system goes on: the caller gets null, and `try_reserve` an error. (What cannot take null panics next, and its report
//! follows.) The text is pure and allocates nothing. [`handler`] is what the heap calls; it prints the first report in full, and
//! counts those that would follow within a second: programs that live with null ask again and again.

use core::alloc::Layout;
use core::fmt;

use stack_alloc::{ClassStatistics, PAGE_SIZE, Statistics};

use crate::bytes::Bytes;
use crate::counted::Counted;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::frame_allocator::FrameStatistics;
use crate::memory::window::LARGEST_MAPPING;

mod limit;

#[cfg(target_os = "none")]
mod machine;

#[cfg(target_os = "none")]
pub use machine::{handler, report, unreported};

/// What is known when a request was answered with null.
#[derive(Clone, Copy, Debug)]
pub struct OutOfMemoryReport {
    /// The request.
    pub layout: Layout,
    /// The heap's numbers; `None` where somebody holds its lock.
    pub heap: Option<Statistics>,
    /// The frame allocator's numbers; `None` before there is one.
    pub frames: Option<FrameStatistics>,
    /// Requests that were answered with null since the last report, and not reported.
    pub unreported: u64,
}

impl fmt::Display for OutOfMemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, align) = (self.layout.size(), self.layout.align());
        writeln!(
            f,
            "out of memory: {size} bytes, aligned to {align}, cannot be had; the answer is null"
        )?;
        match &self.heap {
            Some(heap) => self.write_heap(heap, f)?,
            None => writeln!(f, "  heap       busy: its lock is held")?,
        }
        match self.frames {
            Some(frames) => write_frames(frames, f)?,
            None => writeln!(f, "  frames     none yet: the kernel is still booting")?,
        }
        if self.unreported > 0 {
            let (count, plural) = (self.unreported, if self.unreported == 1 { "" } else { "s" });
            writeln!(
                f,
                "  … and {count} more request{plural} since the report before this one"
            )?;
        }
        Ok(())
    }
}

impl OutOfMemoryReport {
    /// Writes what would serve the request, and what the heap holds.
    fn write_heap(&self, heap: &Statistics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Server::of(self.layout, &heap.classes);
        write!(f, "  wanted     {server}")?;
        let all = self.frames.map(|frames| frames.total * FRAME_SIZE);
        match (all.filter(|all| *all < self.layout.size() as u64), server) {
            (Some(all), _) => writeln!(f, ": more than the machine's {}", frame_bytes(all))?,
            (None, Server::Region(frames)) if frames as u64 > LARGEST_MAPPING => writeln!(
                f,
                " side by side: only up to {LARGEST_MAPPING} may lie anywhere"
            )?,
            _ => writeln!(f)?,
        }
        writeln!(
            f,
            "  heap       {} held, {} asked for by {} objects; {} blocks idle, {} in reserve",
            Bytes(heap.bytes_held),
            Bytes(heap.bytes_requested),
            heap.live(),
            heap.blocks_idle,
            heap.blocks_reserved,
        )?;
        writeln!(
            f,
            "  free       {} in pages, the longest run {}; {} in chunks",
            Bytes(heap.free_in_pages),
            Bytes(heap.longest_free_run),
            Bytes(free_in_chunks(heap)),
        )?;
        write_holders(heap, f)
    }
}

/// Returns the bytes of chunks that are free.
fn free_in_chunks(heap: &Statistics) -> usize {
    let free = |class: &ClassStatistics| {
        let chunks = class.chunks_total.saturating_sub(class.chunks_used);
        chunks * class.chunk_size
    };
    heap.classes.iter().map(free).sum()
}

/// Writes what the frame allocator has.
fn write_frames(frames: FrameStatistics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "  frames     {} of {} free ({}), the longest run {}, whole blocks {}",
        frames.free,
        frames.total,
        frame_bytes(frames.free * FRAME_SIZE),
        frames.largest_run,
        frames.whole_blocks,
    )
}

/// Returns a number of bytes to display.
fn frame_bytes(bytes: u64) -> Bytes {
    Bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// What would serve a request, as `stack_alloc` documents it. Displays in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// A chunk of this many bytes, which is its class.
    Chunk(usize),
    /// A run of this many pages in a block.
    Run(usize),
    /// A region of this many pages from the frame allocator.
    Region(usize),
}

impl Server {
    /// Returns what serves `layout` in a heap with these classes: the smallest chunk that is large enough for the size rounded
    /// up to the alignment, else a run where a block can hold it (the first two pages are the heap's own), else a region.
    #[must_use]
    pub fn of(layout: Layout, classes: &[ClassStatistics]) -> Self {
        /// Pages of a block.
        const BLOCK_PAGES: usize = stack_alloc::BLOCK_SIZE / PAGE_SIZE;
        /// Those that are the heap's own: the block's header, and the page that other CPUs write.
        const OWN_PAGES: usize = 2;
        let (size, align) = (layout.size().max(1), layout.align());
        let rounded = size.checked_next_multiple_of(align).unwrap_or(usize::MAX);
        let mut fitting = classes.iter().filter(|class| class.chunk_size >= rounded);
        if let Some(class) = fitting.next().filter(|_| align <= PAGE_SIZE) {
            return Self::Chunk(class.chunk_size);
        }
        let (pages, align_pages) = (size.div_ceil(PAGE_SIZE), align.div_ceil(PAGE_SIZE));
        if pages <= BLOCK_PAGES - OWN_PAGES && align_pages <= BLOCK_PAGES - pages {
            Self::Run(pages)
        } else {
            Self::Region(pages)
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(size) => write!(f, "a {size}-byte chunk, class {size}"),
            Self::Run(pages) => write!(f, "a run of {pages} pages in a block"),
            Self::Region(pages) => write!(f, "a region of {}", Counted(*pages, "frame")),
        }
    }
}

/// Memory of one kind. Displays as the kind and how much is held for it.
#[derive(Clone, Copy, Debug)]
struct Holder {
    /// The kind.
    kind: Kind,
    /// Bytes held.
    bytes: usize,
}

/// A kind of memory.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Chunks of so many bytes.
    Chunks(usize),
    /// Runs of pages.
    Runs,
    /// Regions.
    Regions,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Bytes(self.bytes);
        match self.kind {
            Kind::Chunks(size) => write!(f, "{size}-byte chunks {bytes}"),
            Kind::Runs => write!(f, "runs of pages {bytes}"),
            Kind::Regions => write!(f, "regions {bytes}"),
        }
    }
}

/// How many of those that hold the most are named.
const NAMED_HOLDERS: usize = 3;

/// Writes what the most memory is held for.
fn write_holders(heap: &Statistics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let chunks = heap.classes.iter().map(|class| Holder {
        kind: Kind::Chunks(class.chunk_size),
        bytes: class.chunks_total * class.chunk_size,
    });
    let others = [(Kind::Runs, heap.runs), (Kind::Regions, heap.regions)];
    let pages = others.map(|(kind, pages)| Holder {
        kind,
        bytes: pages.bytes,
    });
    let mut largest: [Option<Holder>; NAMED_HOLDERS] = [None; NAMED_HOLDERS];
    for holder in chunks.chain(pages).filter(|holder| holder.bytes > 0) {
        insert(&mut largest, holder);
    }
    f.write_str("  held for   ")?;
    if largest[0].is_none() {
        return writeln!(f, "nothing");
    }
    for (number, holder) in largest.iter().flatten().enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        write!(f, "{separator}{holder}")?;
    }
    writeln!(f)
}

/// Puts a holder among the largest, which are sorted, where it belongs; the smallest falls out.
fn insert(largest: &mut [Option<Holder>; NAMED_HOLDERS], holder: Holder) {
    let mut falling = Some(holder);
    for place in largest {
        if falling.map(|holder| holder.bytes) > place.map(|holder| holder.bytes) {
            core::mem::swap(place, &mut falling);
        }
    }
}

#[cfg(test)]
mod tests;
