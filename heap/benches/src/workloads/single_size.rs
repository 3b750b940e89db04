//! Objects of one size: how long an allocation and a free take where nothing else is asked.
#![forbid(unsafe_code)]

use crate::numbers::Numbers;
use crate::operation::{Stream, StreamBuilder};
use crate::workloads::{Extent, Workload};

/// Sizes in bytes.
const SIZES: [usize; 9] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Those of a quick run.
const QUICK_SIZES: [usize; 4] = [16, 64, 512, 4096];
/// Objects that are live all the time in the pairs.
const LIVE: usize = 1000;
/// Pairs of an allocation and a free.
const PAIRS: usize = 50_000;
/// Objects of a bulk.
const BULK: usize = 5000;
/// An alignment that any object has.
const ALIGN: usize = 8;

/// In which order a bulk dies.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// As it came.
    Arrival,
    /// The last one first.
    Reversed,
    /// In none.
    Shuffled,
}

/// Returns those of this file.
pub(super) fn workloads(extent: Extent) -> Vec<Workload> {
    let sizes = match extent {
        Extent::Whole => &SIZES[..],
        Extent::Quick => &QUICK_SIZES,
    };
    let of_each_size = |group, make: fn(usize, u64) -> Stream| {
        sizes
            .iter()
            .map(move |size| Workload::new(group, size, move |seed| make(*size, seed)))
    };
    of_each_size("lifo", |size, _| lifo(size))
        .chain(of_each_size("fifo", |size, _| fifo(size)))
        .chain(of_each_size("bulk_in_order", |size, seed| {
            bulk(size, Order::Arrival, seed)
        }))
        .chain(of_each_size("bulk_reversed", |size, seed| {
            bulk(size, Order::Reversed, seed)
        }))
        .chain(of_each_size("bulk_shuffled", |size, seed| {
            bulk(size, Order::Shuffled, seed)
        }))
        .collect()
}

/// The newest object dies first: one after the other comes and goes, above a thousand that stay.
fn lifo(size: usize) -> Stream {
    let mut builder = StreamBuilder::new();
    for slot in 0..LIVE {
        builder.allocate(slot, size, ALIGN);
    }
    builder.setup_is_done();
    for _ in 0..PAIRS {
        builder.allocate(LIVE, size, ALIGN);
        builder.free(LIVE);
    }
    builder.finish()
}

/// The oldest object dies first: a queue of a thousand.
fn fifo(size: usize) -> Stream {
    let mut builder = StreamBuilder::new();
    for slot in 0..LIVE {
        builder.allocate(slot, size, ALIGN);
    }
    builder.setup_is_done();
    for pair in 0..PAIRS {
        builder.allocate((pair + LIVE) % (LIVE + 1), size, ALIGN);
        builder.free(pair % (LIVE + 1));
    }
    builder.finish()
}

/// Thousands come, then all of them go; again and again.
fn bulk(size: usize, order: Order, seed: u64) -> Stream {
    let mut numbers = Numbers::new(seed);
    let mut slots: Vec<usize> = (0..BULK).collect();
    let mut builder = StreamBuilder::new();
    while builder.len() < 2 * PAIRS {
        for slot in 0..BULK {
            builder.allocate(slot, size, ALIGN);
        }
        match order {
            Order::Arrival => {}
            Order::Reversed => slots.sort_by(|a, b| b.cmp(a)),
            Order::Shuffled => numbers.shuffle(&mut slots),
        }
        for slot in &slots {
            builder.free(*slot);
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::{BULK, LIVE, Order, PAIRS, bulk, fifo, lifo};
    use crate::operation::{Kind, Stream};

    /// Returns the slots in which objects die, first to last.
    fn deaths(stream: &Stream) -> Vec<usize> {
        let frees = stream
            .body
            .iter()
            .filter(|operation| operation.kind() == Kind::Free);
        frees.map(|operation| operation.slot()).collect()
    }

    #[test]
    fn the_newest_or_the_oldest_dies() {
        let (lifo, fifo) = (lifo(16), fifo(16));
        assert!(deaths(&lifo).iter().all(|slot| *slot == LIVE));
        assert_eq!(deaths(&fifo)[..3], [0, 1, 2]);
        assert_eq!(deaths(&fifo)[LIVE + 1], 0);
        for stream in [lifo, fifo] {
            assert_eq!(stream.body.len(), 2 * PAIRS);
            assert_eq!(stream.peak_objects, LIVE + 1);
        }
    }

    #[test]
    fn a_bulk_dies_in_its_order() {
        let deaths = [Order::Arrival, Order::Reversed, Order::Shuffled].map(|order| {
            let stream = bulk(64, order, 1);
            assert_eq!((stream.peak_objects, stream.teardown.len()), (BULK, 0));
            deaths(&stream)
        });
        assert!(deaths[0][..BULK].is_sorted());
        assert!(deaths[1][..BULK].is_sorted_by(|a, b| a > b));
        assert_ne!(deaths[2][..BULK], deaths[2][BULK..2 * BULK]);
    }
}
