//! Objects of all sizes that die at random: what a heap looks like after a while.
#![forbid(unsafe_code)]

use crate::numbers::{Numbers, Sizes};
use crate::operation::{Stream, StreamBuilder};
use crate::workloads::{Extent, Workload};

/// How many objects are live.
const LIVE: [(&str, usize); 3] = [("1k", 1000), ("10k", 10_000), ("100k", 100_000)];
/// Up to a page, every doubling as likely.
pub(crate) const SIZES: Sizes = Sizes::Logarithmic(16, 4096);
/// How many objects are live, to see how an operation's time grows with them.
const GROWING: [(&str, usize); 7] = [
    ("1k", 1000),
    ("3k", 3000),
    ("10k", 10_000),
    ("30k", 30_000),
    ("100k", 100_000),
    ("300k", 300_000),
    ("1M", 1_000_000),
];
/// Small ones: a million of them have room.
pub(crate) const SMALL: Sizes = Sizes::Logarithmic(16, 256);
/// Objects that die and are replaced.
const REPLACED: usize = 200_000;

/// Returns those of this file.
pub(super) fn workloads(extent: Extent) -> Vec<Workload> {
    let replaced = match extent {
        Extent::Whole => REPLACED,
        Extent::Quick => REPLACED / 2,
    };
    let growing: &'static [_] = match extent {
        Extent::Whole => &GROWING,
        Extent::Quick => &GROWING[..5],
    };
    let of_each = |group, live: &'static [(&str, usize)], sizes| {
        let workload = move |(name, live): &(&str, usize)| {
            let live = *live;
            Workload::new(group, name, move |seed| stream(live, replaced, sizes, seed))
        };
        live.iter().map(workload)
    };
    of_each("random", &LIVE, SIZES)
        .chain(of_each("live_objects", growing, SMALL))
        .collect()
}

/// Replaces one of `live` objects after the other, whichever it hits, by one of another size.
#[must_use]
pub(crate) fn stream(live: usize, replaced: usize, sizes: Sizes, seed: u64) -> Stream {
    let mut numbers = Numbers::new(seed);
    let mut builder = StreamBuilder::new();
    for slot in 0..live {
        builder.allocate(slot, sizes.pick(&mut numbers), 8);
    }
    // The same again, untimed: by then, holes are everywhere.
    replace(&mut builder, &mut numbers, live, live, sizes);
    builder.setup_is_done();
    replace(&mut builder, &mut numbers, live, replaced, sizes);
    builder.finish()
}

/// Replaces `count` of the objects in the first `live` slots.
fn replace(
    builder: &mut StreamBuilder,
    numbers: &mut Numbers,
    live: usize,
    count: usize,
    sizes: Sizes,
) {
    for _ in 0..count {
        let slot = numbers.below(live);
        builder.free(slot);
        builder.allocate(slot, sizes.pick(numbers), 8);
    }
}

#[cfg(test)]
mod tests {
    use super::{SIZES, stream};

    #[test]
    fn as_many_are_live_all_the_time() {
        let stream = stream(1000, 5000, SIZES, 1);
        assert_eq!((stream.setup.len(), stream.body.len()), (3000, 10_000));
        assert_eq!((stream.peak_objects, stream.teardown.len()), (1000, 1000));
        let sizes = |from, to| {
            stream
                .body
                .iter()
                .filter(|one| (from..to).contains(&one.size()))
                .count()
        };
        let (small, large) = (sizes(16, 256), sizes(256, 4097));
        assert!(
            small.abs_diff(large) < 500,
            "{small} small ones, {large} large ones"
        );
    }
}
