//! What is counted: short programs, the same on every machine.
//!
//! Sizes are picked with whole numbers alone: what a power comes to in floating point is the machine's business.
#![forbid(unsafe_code)]

use stack_alloc_benches::numbers::Numbers;
use stack_alloc_benches::operation::{Stream, StreamBuilder};
use stack_alloc_benches::trace;

/// Makes a workload.
type Make = fn() -> Stream;

/// Every workload, by name.
const ALL: [(&str, Make); 28] = [
    ("lifo-16", || last_first(16)),
    ("lifo-256", || last_first(256)),
    ("lifo-4096", || last_first(4096)),
    ("fifo-16", || first_first(16)),
    ("fifo-256", || first_first(256)),
    ("fifo-4096", || first_first(4096)),
    ("bulk-in-order", || bulk(|_| ())),
    ("bulk-reversed", || bulk(<[usize]>::reverse)),
    ("bulk-shuffled", || {
        bulk(|slots| Numbers::new(1).shuffle(slots))
    }),
    ("random-1k", || random(1000)),
    ("random-10k", || random(10_000)),
    ("random-100k", || random(100_000)),
    ("vec-exact", || grow_vectors(|size| size + 16)),
    ("vec-doubling", || grow_vectors(|size| size * 2)),
    ("vec-shrinking", shrink_vectors),
    ("aligned", aligned),
    ("zeroed-small", || zeroed(16, 9)),
    ("zeroed-pages", || zeroed(4096, 5)),
    ("pages", || sized(100, 4096, 5)),
    ("blocks", || sized(16, 64 << 10, 2)),
    ("regions", || sized(16, 512 << 10, 3)),
    ("live-1k", || live(1000)),
    ("live-10k", || live(10_000)),
    ("live-100k", || live(100_000)),
    ("live-1M", || live(1_000_000)),
    ("trace-rustc", || recorded("rustc")),
    ("trace-python", || recorded("python")),
    ("trace-sqlite", || recorded("sqlite")),
];

/// The heap for many processors.
const SHARDED: &str = "sharded";
/// Those that show what it adds to the heap with one lock: what that does besides, it does with the same code.
const OF_SHARDED: [&str; 12] = [
    "lifo-16",
    "lifo-256",
    "fifo-16",
    "fifo-256",
    "bulk-shuffled",
    "random-1k",
    "random-10k",
    "pages",
    "regions",
    "trace-rustc",
    "trace-python",
    "trace-sqlite",
];
/// The same, where what one shard allocates is given back by another.
const CROSSING: &str = "crossing";
/// Those that show what that takes.
const OF_CROSSING: [&str; 4] = ["fifo-16", "fifo-256", "bulk-shuffled", "random-10k"];

/// Returns the names of all workloads, in the order of tables.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// Returns the names of those that are counted of a heap.
pub(crate) fn names_for(heap: &str) -> Vec<&'static str> {
    match heap {
        SHARDED => OF_SHARDED.to_vec(),
        CROSSING => OF_CROSSING.to_vec(),
        _ => names().collect(),
    }
}

/// Returns a workload by its name.
pub(crate) fn by_name(name: &str) -> Option<Stream> {
    let (_, make) = ALL.iter().find(|(known, _)| *known == name)?;
    Some(make())
}

/// Returns a size: `least` times 1 up to two to the power of `doublings`, each doubling as likely as another.
fn size(numbers: &mut Numbers, least: usize, doublings: usize) -> usize {
    let base = least << numbers.below(doublings);
    base + numbers.below(base)
}

/// Objects of `size` bytes live for a moment, one after the other, above a hundred others.
fn last_first(size: usize) -> Stream {
    let mut builder = StreamBuilder::new();
    for slot in 0..100 {
        builder.allocate(slot, size, 8);
    }
    builder.setup_is_done();
    for _ in 0..10_000 {
        builder.allocate(100, size, 8);
        builder.free(100);
    }
    builder.finish()
}

/// A hundred objects of `size` bytes stand in a line: the first goes, and another comes to its end.
fn first_first(size: usize) -> Stream {
    let mut builder = StreamBuilder::new();
    for slot in 0..100 {
        builder.allocate(slot, size, 8);
    }
    builder.setup_is_done();
    for turn in 0..10_000 {
        builder.free(turn % 100);
        builder.allocate(turn % 100, size, 8);
    }
    builder.finish()
}

/// Ten thousand objects of 64 bytes come, and go in another order.
fn bulk(order: fn(&mut [usize])) -> Stream {
    let mut slots: Vec<usize> = (0..10_000).collect();
    let mut builder = StreamBuilder::new();
    for slot in &slots {
        builder.allocate(*slot, 64, 8);
    }
    order(&mut slots);
    for slot in slots {
        builder.free(slot);
    }
    builder.finish()
}

/// Of `live` objects of 16 bytes to 8 KiB, one is replaced after the other, by chance.
fn random(live: usize) -> Stream {
    replaced(live, 0, |numbers| (size(numbers, 16, 9), 8))
}

/// Of `live` objects of 16 to 256 bytes, one is replaced after the other, by chance. As many were before it counts: by then,
/// holes are everywhere, among a million as among a thousand.
fn live(live: usize) -> Stream {
    replaced(live, live, |numbers| (size(numbers, 16, 4), 8))
}

/// Of a thousand objects, aligned to anything up to a page, one is replaced after the other.
fn aligned() -> Stream {
    replaced(1000, 0, |numbers| {
        (size(numbers, 16, 9), 1 << numbers.below(13))
    })
}

/// Of `live` objects, from `least` bytes on and over some `doublings`, one is replaced after the other.
fn sized(live: usize, least: usize, doublings: usize) -> Stream {
    let mut numbers = Numbers::new(1);
    let mut builder = StreamBuilder::new();
    for turn in 0..5000 {
        let slot = numbers.below(live);
        if turn >= live && builder.size_in(slot).is_some() {
            builder.free(slot);
        }
        if builder.size_in(slot).is_none() {
            builder.allocate(slot, size(&mut numbers, least, doublings), 8);
        }
    }
    builder.finish()
}

/// Of `live` objects, whose sizes and alignments `pick` chooses, one is replaced after the other. The first `uncounted` ones
/// are replaced before it counts.
fn replaced(live: usize, uncounted: usize, pick: fn(&mut Numbers) -> (usize, usize)) -> Stream {
    let mut numbers = Numbers::new(1);
    let mut builder = StreamBuilder::new();
    for slot in 0..live {
        let (size, align) = pick(&mut numbers);
        builder.allocate(slot, size, align);
    }
    for turn in 0..uncounted + 50_000 {
        if turn == uncounted {
            builder.setup_is_done();
        }
        let slot = numbers.below(live);
        let (size, align) = pick(&mut numbers);
        builder.free(slot);
        builder.allocate(slot, size, align);
    }
    builder.finish()
}

/// Of a hundred objects that begin as zeros, one is replaced after the other.
fn zeroed(least: usize, doublings: usize) -> Stream {
    let mut numbers = Numbers::new(1);
    let mut builder = StreamBuilder::new();
    for slot in 0..100 {
        builder.allocate_zeroed(slot, size(&mut numbers, least, doublings), 8);
    }
    builder.setup_is_done();
    for _ in 0..10_000 {
        let slot = numbers.below(100);
        builder.free(slot);
        builder.allocate_zeroed(slot, size(&mut numbers, least, doublings), 8);
    }
    builder.finish()
}

/// Bytes that a vector grows to.
const VECTOR: usize = 64 << 10;

/// Four vectors at a time grow from 16 bytes, in turn, each step as `next` says.
fn grow_vectors(next: fn(usize) -> usize) -> Stream {
    let mut builder = StreamBuilder::new();
    while builder.len() < 16_000 {
        for slot in 0..4 {
            builder.allocate(slot, 16, 8);
        }
        let mut size = next(16);
        while size <= VECTOR {
            for slot in 0..4 {
                builder.reallocate(slot, size);
            }
            size = next(size);
        }
        for slot in 0..4 {
            builder.free(slot);
        }
    }
    builder.finish()
}

/// Vectors grew too far, and are made to fit.
fn shrink_vectors() -> Stream {
    let mut numbers = Numbers::new(1);
    let mut builder = StreamBuilder::new();
    for turn in 0..5000 {
        let slot = turn % 100;
        if builder.size_in(slot).is_some() {
            builder.free(slot);
        }
        let capacity = size(&mut numbers, 32, 10);
        builder.allocate(slot, capacity, 8);
        builder.reallocate(slot, capacity - numbers.below(capacity / 2));
    }
    builder.finish()
}

/// What a program of `heap/tests/traces` asked for.
fn recorded(name: &str) -> Stream {
    trace::stream(name).expect("there is a trace of this name")
}

#[cfg(test)]
mod tests {
    use super::{CROSSING, SHARDED, by_name, names, names_for, size};
    use stack_alloc_benches::numbers::Numbers;
    use std::collections::HashSet;

    #[test]
    fn every_workload_has_a_name_of_its_own_and_operations() {
        let different: HashSet<_> = names().collect();
        assert_eq!(different.len(), names().count());
        for name in names() {
            let stream = by_name(name).expect("its own name");
            assert!(stream.body.len() >= 5000, "{name}: {}", stream.body.len());
        }
        assert!(by_name("lifo").is_none());
        for heap in [SHARDED, CROSSING] {
            let known = names_for(heap);
            assert!(known.len() < different.len(), "{heap}");
            assert!(known.iter().all(|name| different.contains(name)), "{heap}");
        }
        assert_eq!(names_for("ours").len(), different.len());
    }

    #[test]
    fn as_many_are_live_as_the_name_says_and_all_were_replaced_once() {
        for (name, live) in [("live-1k", 1000), ("live-100k", 100_000)] {
            let stream = by_name(name).expect("it is there");
            let lengths = [stream.setup.len(), stream.body.len()];
            assert_eq!(lengths, [3 * live, 100_000], "{name}");
            assert_eq!([stream.peak_objects, stream.teardown.len()], [live, live]);
            let mut sizes = stream.body.iter().map(|one| one.size());
            assert!(sizes.all(|size| (16..256).contains(&size)), "{name}");
            let again = by_name(name).expect("it is there");
            assert!(stream.body == again.body, "{name}");
        }
    }

    #[test]
    fn sizes_stay_in_their_doublings() {
        let mut numbers = Numbers::new(1);
        let sizes: Vec<_> = (0..10_000).map(|_| size(&mut numbers, 16, 9)).collect();
        assert_eq!(sizes.iter().min(), Some(&16));
        assert!(sizes.iter().all(|size| (16..8192).contains(size)));
        assert!(sizes.iter().any(|size| *size > 8000));
    }
}
