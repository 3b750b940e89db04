//! The report, whole, and what serves what.

use std::string::ToString;

use stack_alloc::{Allocator, NoMemory, PageStatistics};

use super::*;

/// A heap's numbers, made up.
fn heap() -> Statistics {
    let mut heap = Allocator::<NoMemory>::new(NoMemory).statistics();
    for class in &mut heap.classes {
        let stacks = match class.chunk_size {
            64 => 1000,
            512 => 3000,
            1024 => 2000,
            _ => continue,
        };
        class.stacks = stacks;
        class.chunks_total = stacks * 8;
        class.chunks_used = stacks * 7;
        class.allocations = class.chunks_used as u64;
    }
    heap.runs.bytes = 1 << 20;
    heap.regions = PageStatistics {
        live: 1,
        bytes: 14 << 20,
        allocations: 1,
        frees: 0,
    };
    heap.free_in_pages = 12 << 10;
    heap.longest_free_run = 4 << 10;
    heap.bytes_held = 62 << 20;
    heap.bytes_requested = 50 << 20;
    heap.blocks_reserved = 2;
    heap
}

/// A frame allocator's numbers, made up.
const FRAMES: FrameStatistics = FrameStatistics {
    total: 15_872,
    free: 3,
    largest_run: 2,
    whole_blocks: 0,
};

/// A layout.
fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

#[test]
fn report_tells_request_class_and_who_has_it_all() {
    let report = OutOfMemoryReport {
        layout: layout(500, 8),
        heap: Some(heap()),
        frames: Some(FRAMES),
        unreported: 1234,
    };
    assert_eq!(
        report.to_string(),
        "out of memory: 500 bytes, aligned to 8, cannot be had; the answer is null\n\
         \x20 wanted     a 512-byte chunk, class 512\n\
         \x20 heap       62.0 MiB held, 50.0 MiB asked for by 42001 objects; 0 blocks idle, 2 in reserve\n\
         \x20 free       12.0 KiB in pages, the longest run 4.0 KiB; 3.4 MiB in chunks\n\
         \x20 held for   1024-byte chunks 15.6 MiB, regions 14.0 MiB, 512-byte chunks 11.7 MiB\n\
         \x20 frames     3 of 15872 free (12.0 KiB), the longest run 2, whole blocks 0\n\
         \x20 … and 1234 more requests since the report before this one\n"
    );
}

#[test]
fn report_of_a_request_beyond_the_machine_says_so() {
    let report = OutOfMemoryReport {
        layout: layout(1 << 45, 4096),
        heap: Some(Allocator::<NoMemory>::new(NoMemory).statistics()),
        frames: Some(FRAMES),
        unreported: 0,
    };
    assert_eq!(
        report.to_string(),
        "out of memory: 35184372088832 bytes, aligned to 4096, cannot be had; the answer is null\n\
         \x20 wanted     a region of 8589934592 frames: more than the machine's 62.0 MiB\n\
         \x20 heap       0 B held, 0 B asked for by 0 objects; 0 blocks idle, 0 in reserve\n\
         \x20 free       0 B in pages, the longest run 0 B; 0 B in chunks\n\
         \x20 held for   nothing\n\
         \x20 frames     3 of 15872 free (12.0 KiB), the longest run 2, whole blocks 0\n"
    );
}

#[test]
fn report_says_which_regions_need_neighbours() {
    for (mib, expected) in [
        (16, "  wanted     a region of 4096 frames\n"),
        (
            17,
            "  wanted     a region of 4352 frames side by side: only up to 4096 may lie anywhere\n",
        ),
    ] {
        let report = OutOfMemoryReport {
            layout: layout(mib << 20, 8),
            heap: Some(heap()),
            frames: Some(FRAMES),
            unreported: 0,
        };
        assert!(report.to_string().contains(expected), "{report}");
    }
}

#[test]
fn report_says_what_it_cannot_know() {
    let report = OutOfMemoryReport {
        layout: layout(8, 8),
        heap: None,
        frames: None,
        unreported: 1,
    };
    assert_eq!(
        report.to_string(),
        "out of memory: 8 bytes, aligned to 8, cannot be had; the answer is null\n\
         \x20 heap       busy: its lock is held\n\
         \x20 frames     none yet: the kernel is still booting\n\
         \x20 … and 1 more request since the report before this one\n"
    );
}

#[test]
fn servers_follow_size_and_alignment() {
    let classes = heap().classes;
    for (size, align, server) in [
        (1, 1, Server::Chunk(16)),
        (17, 1, Server::Chunk(32)),
        (65, 32, Server::Chunk(96)),
        (1, 4096, Server::Chunk(4096)),
        (16_384, 8, Server::Chunk(16_384)),
        (16_385, 8, Server::Run(5)),
        (1, 8192, Server::Run(1)),
        (62 * 4096, 8, Server::Run(62)),
        (62 * 4096, 8192, Server::Run(62)),
        (62 * 4096, 16384, Server::Region(62)),
        (62 * 4096 + 1, 8, Server::Region(63)),
        (1, 1 << 62, Server::Region(1)),
    ] {
        let found = Server::of(layout(size, align), &classes);
        assert_eq!(found, server, "{size} aligned to {align}");
    }
}
