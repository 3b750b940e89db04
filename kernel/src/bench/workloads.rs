//! What the bench does to a heap: the same operations to every heap, in every run.
//!
//! Each workload starts with an empty heap and ends whenever it likes: what still lives is freed for it.

use core::ops::Range;

use super::run::BenchError;
use super::trial::{Trial, layout_of};

/// The alignment of most objects.
const ALIGN: usize = 8;

/// Bytes of a page.
const PAGE: usize = 4096;

/// Objects of a bulk.
const BULK: usize = 4000;

/// Objects of 64 bytes that fill a page: in a heap that counts its objects in words, as many as a word has bits.
const NEIGHBOURS: usize = 64;

/// A sequence of operations.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name in tables.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(&mut Trial<'_>) -> Result<(), BenchError>,
}

/// Names a workload.
const fn workload(
    name: &'static str,
    run: fn(&mut Trial<'_>) -> Result<(), BenchError>,
) -> Workload {
    Workload { name, run }
}

/// All of them, in the order of the tables.
pub const WORKLOADS: &[Workload] = &[
    workload("LIFO pairs, 16 B", |trial| lifo_pairs(trial, 16)),
    workload("LIFO pairs, 64 B", |trial| lifo_pairs(trial, 64)),
    workload("LIFO pairs, 256 B", |trial| lifo_pairs(trial, 256)),
    workload("LIFO pairs, 1 KiB", |trial| lifo_pairs(trial, 1024)),
    workload("FIFO of 64, 16 B", |trial| fifo(trial, 16, 64)),
    workload("FIFO of 64, 64 B", |trial| fifo(trial, 64, 64)),
    workload("FIFO of 64, 256 B", |trial| fifo(trial, 256, 64)),
    workload("FIFO of 64, 1 KiB", |trial| fifo(trial, 1024, 64)),
    workload("bulk, freed in order", |trial| {
        bulk(trial, Order::AsAllocated)
    }),
    workload("bulk, freed in reverse", |trial| {
        bulk(trial, Order::Reversed)
    }),
    workload("bulk, freed shuffled", |trial| bulk(trial, Order::Shuffled)),
    workload("random mix, 1k live", |trial| random_mix(trial, 1000)),
    workload("random mix, 10k live", |trial| random_mix(trial, 10_000)),
    workload("Vec, doubling to 1 MiB", doubling_vec),
    workload("Vec, growing by 64 B", creeping_vec),
    workload("realloc to random sizes", random_reallocs),
    workload("pages, freed shuffled", pages),
    workload("last object of a stack", last_of_neighbours),
    workload("LIFO pairs, 200 KiB", |trial| lifo_pairs(trial, 200 << 10)),
    workload("FIFO of 8, 200 KiB", |trial| fifo(trial, 200 << 10, 8)),
    workload("LIFO pairs, 1 MiB", |trial| lifo_pairs(trial, 1 << 20)),
    workload("random runs, 16-256 KiB", random_runs),
    workload("random, 256 KiB-1 MiB", random_regions),
    workload("aligned among holes", aligned_among_holes),
];

/// The same operations beside ever more live objects: what is masked must not take longer for it.
pub const GROWTH: &[Workload] = &[
    workload("100 live", |trial| beside(trial, 100)),
    workload("1,000 live", |trial| beside(trial, 1000)),
    workload("10,000 live", |trial| beside(trial, 10_000)),
    workload("100,000 live", |trial| beside(trial, 100_000)),
    workload("freed by another CPU", taken_in),
];

/// What one CPU allocates and another one frees: for heaps that tell CPUs apart.
pub const CROSSING: &[Workload] = &[
    workload("other CPU, bulk of 64 B", crossing_bulk),
    workload("other CPU, many stacks", crossing_stacks),
    workload("other CPU, dry", crossing_dry),
    workload("other CPU, 200 KiB", |trial| {
        crossing_large(trial, 200 << 10, 16)
    }),
    workload("other CPU, 1 MiB", |trial| {
        crossing_large(trial, 1 << 20, 16)
    }),
];

/// Each object is freed before the next is allocated.
fn lifo_pairs(trial: &mut Trial<'_>, size: usize) -> Result<(), BenchError> {
    for _ in 0..trial.scaled(1000) {
        trial.allocate(0, layout_of(size, ALIGN))?;
        trial.free(0);
    }
    Ok(())
}

/// Always `length` objects live; the oldest is freed for each new one.
fn fifo(trial: &mut Trial<'_>, size: usize, length: usize) -> Result<(), BenchError> {
    let layout = layout_of(size, ALIGN);
    trial.unrecorded(|trial| (0..length).try_for_each(|slot| trial.allocate(slot, layout)))?;
    for round in 0..trial.scaled(2000) {
        // The slot behind the queue takes the new one; then it is exchanged for the oldest.
        trial.allocate(length, layout)?;
        trial.swap(round % length, length);
        trial.free(length);
    }
    Ok(())
}

/// The order in which objects are freed.
#[derive(Clone, Copy)]
enum Order {
    /// The oldest first.
    AsAllocated,
    /// The newest first.
    Reversed,
    /// Any.
    Shuffled,
}

/// Many objects of 64 bytes are allocated, then all of them freed.
fn bulk(trial: &mut Trial<'_>, order: Order) -> Result<(), BenchError> {
    let count = trial.scaled(BULK);
    allocate_many(trial, count, 64, ALIGN)?;
    match order {
        Order::AsAllocated => (0..count).for_each(|slot| trial.free(slot)),
        Order::Reversed => (0..count).rev().for_each(|slot| trial.free(slot)),
        Order::Shuffled => free_shuffled(trial, count),
    }
    Ok(())
}

/// Pages, aligned as such: all allocated, then all freed in any order.
fn pages(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let count = trial.scaled(1000);
    allocate_many(trial, count, PAGE, PAGE)?;
    free_shuffled(trial, count);
    Ok(())
}

/// Fills the slots below `count`.
fn allocate_many(
    trial: &mut Trial<'_>,
    count: usize,
    size: usize,
    align: usize,
) -> Result<(), BenchError> {
    (0..count).try_for_each(|slot| trial.allocate(slot, layout_of(size, align)))
}

/// Frees the slots below `count` in any order.
fn free_shuffled(trial: &mut Trial<'_>, count: usize) {
    for slot in (0..count).rev() {
        let chosen = trial.random.below(slot + 1);
        trial.swap(chosen, slot);
        trial.free(slot);
    }
}

/// About `live` objects of 16 bytes to 4 KiB; a coin says whether one more is allocated or one of them is freed.
fn random_mix(trial: &mut Trial<'_>, live: usize) -> Result<(), BenchError> {
    mix(trial, live, 10_000, 4, 12)
}

/// The same with up to 48 objects that take many pages each.
fn random_runs(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    mix(trial, 48, 2000, 14, 18)
}

/// The same with up to 10 objects that are larger than a block of our heap.
fn random_regions(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    mix(trial, 10, 1000, 18, 20)
}

/// Up to `live` objects of 2^`low` to 2^`high` bytes, each doubling as often as any other.
fn mix(
    trial: &mut Trial<'_>,
    live: usize,
    operations: usize,
    low: u32,
    high: u32,
) -> Result<(), BenchError> {
    let most = trial.scaled(live);
    trial.unrecorded(|trial| {
        (0..most).try_for_each(|slot| allocate_random(trial, slot, low, high))
    })?;
    // The slots below `live` are taken.
    let mut live = most;
    for _ in 0..trial.scaled(operations) {
        let wants_more = trial.random.below(2) == 0;
        if live == 0 || (wants_more && live < most) {
            allocate_random(trial, live, low, high)?;
            live += 1;
        } else {
            let chosen = trial.random.below(live);
            live -= 1;
            trial.swap(chosen, live);
            trial.free(live);
        }
    }
    Ok(())
}

/// Objects of all kinds come, change and go, while `live` others of 16 to 512 bytes stay.
fn beside(trial: &mut Trial<'_>, live: usize) -> Result<(), BenchError> {
    /// How many come and go.
    const GUESTS: usize = 32;
    let live = trial.scaled(live).max(2 * GUESTS);
    trial.unrecorded(|trial| {
        (0..live).try_for_each(|slot| allocate_random(trial, slot, 4, 9))?;
        // Holes, so that guests find stacks of every fill.
        (0..live).step_by(3).for_each(|slot| trial.free(slot));
        Ok(())
    })?;
    for _ in 0..trial.scaled(6000) {
        // A multiple of 3 is a hole, or a guest's.
        let slot = trial.random.below(GUESTS) * 3;
        let (low, high) = match trial.random.below(16) {
            0 => (18, 20),
            1..=3 => (12, 18),
            _ => (4, 12),
        };
        match trial.random.below(3) {
            0 => trial.free(slot),
            1 => {
                let size = trial.random.log_distributed(low, high);
                trial.reallocate(slot, size)?;
            }
            _ => {
                trial.free(slot);
                allocate_random(trial, slot, low, high)?;
            }
        }
    }
    Ok(())
}

/// Allocates an object of 2^`low` to 2^`high` bytes.
fn allocate_random(
    trial: &mut Trial<'_>,
    slot: usize,
    low: u32,
    high: u32,
) -> Result<(), BenchError> {
    let size = trial.random.log_distributed(low, high);
    trial.allocate(slot, layout_of(size, ALIGN))
}

/// A `Vec` that doubles its capacity whenever it is full.
fn doubling_vec(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    for _ in 0..trial.scaled(50) {
        trial.allocate(0, layout_of(64, ALIGN))?;
        for doublings in 7..=20 {
            trial.reallocate(0, 1 << doublings)?;
        }
        trial.free(0);
    }
    Ok(())
}

/// A `Vec` that grows by as much as it needs, and each time beside another one.
fn creeping_vec(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    for round in 0..trial.scaled(20) {
        let slot = round % 2;
        trial.free(slot);
        trial.allocate(slot, layout_of(64, ALIGN))?;
        for length in 2..=256 {
            trial.reallocate(slot, length * 64)?;
        }
    }
    Ok(())
}

/// Objects of 16 bytes to 4 KiB become shorter and longer.
fn random_reallocs(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let count = trial.scaled(1000);
    trial
        .unrecorded(|trial| (0..count).try_for_each(|slot| allocate_random(trial, slot, 4, 12)))?;
    for _ in 0..trial.scaled(4000) {
        let (slot, size) = (
            trial.random.below(count),
            trial.random.log_distributed(4, 12),
        );
        trial.reallocate(slot, size)?;
    }
    Ok(())
}

/// Objects of 20 KiB that must begin at a multiple of 32 KiB, where every second of 400 neighbours of 20 KiB has left a hole:
/// long enough, and nearly never in the right place.
fn aligned_among_holes(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let (count, size) = (trial.scaled(400), 20 << 10);
    trial.unrecorded(|trial| {
        allocate_many(trial, count, size, ALIGN)?;
        (0..count).step_by(2).for_each(|slot| trial.free(slot));
        Ok(())
    })?;
    let aligned = count..count + trial.scaled(100);
    for slot in aligned.clone() {
        trial.allocate(slot, layout_of(size, 32 << 10))?;
    }
    aligned.for_each(|slot| trial.free(slot));
    Ok(())
}

/// Of each 64 neighbours of 64 bytes, the last one to be freed: that which makes a stack of our heap empty.
fn last_of_neighbours(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let count = trial.scaled(128) * NEIGHBOURS;
    let is_last = |slot: usize| slot % NEIGHBOURS == NEIGHBOURS - 1;
    trial.unrecorded(|trial| {
        allocate_many(trial, count, 64, ALIGN)?;
        (0..count)
            .filter(|&slot| !is_last(slot))
            .for_each(|slot| trial.free(slot));
        Ok(())
    })?;
    (0..count)
        .filter(|&slot| is_last(slot))
        .for_each(|slot| trial.free(slot));
    Ok(())
}

/// Another CPU frees a bulk; then as many are allocated again.
fn crossing_bulk(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let count = trial.scaled(BULK);
    for _ in 0..3 {
        allocate_many(trial, count, 64, ALIGN)?;
        trial.on_another_cpu(|trial| {
            (0..count).for_each(|slot| trial.free(slot));
            Ok(())
        })?;
    }
    Ok(())
}

/// Stacks of 64 objects of 16 bytes: most live objects at once.
const STACKS: usize = 1500;

/// Fills stacks, unrecorded.
fn fill_stacks(trial: &mut Trial<'_>, stacks: usize) -> Result<(), BenchError> {
    trial.unrecorded(|trial| allocate_many(trial, stacks * NEIGHBOURS, 16, ALIGN))
}

/// Has another CPU free some objects of each stack: all first ones, then all second ones.
fn free_of_each_stack(
    trial: &mut Trial<'_>,
    stacks: usize,
    objects: Range<usize>,
) -> Result<(), BenchError> {
    trial.on_another_cpu(|trial| {
        for object in objects {
            (0..stacks).for_each(|stack| trial.free(stack * NEIGHBOURS + object));
        }
        Ok(())
    })
}

/// Another CPU has freed all but one object of each stack; then it empties one after the other.
fn crossing_stacks(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let stacks = trial.scaled(STACKS);
    fill_stacks(trial, stacks)?;
    trial.unrecorded(|trial| free_of_each_stack(trial, stacks, 1..NEIGHBOURS))?;
    free_of_each_stack(trial, stacks, 0..1)
}

/// Another CPU has freed one object of each stack, when the first one needs some of another class, and then as many of this one.
fn crossing_dry(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let stacks = trial.scaled(STACKS);
    fill_stacks(trial, stacks)?;
    trial.unrecorded(|trial| free_of_each_stack(trial, stacks, 0..1))?;
    let other = stacks * NEIGHBOURS;
    (other..other + stacks).try_for_each(|slot| trial.allocate(slot, layout_of(32, ALIGN)))?;
    (0..stacks).try_for_each(|stack| trial.allocate(stack * NEIGHBOURS, layout_of(16, ALIGN)))
}

/// Another CPU frees one object of each of 400 stacks, and the first one allocates as many; then the other one frees all.
fn taken_in(trial: &mut Trial<'_>) -> Result<(), BenchError> {
    let stacks = trial.scaled(400);
    fill_stacks(trial, stacks)?;
    trial.unrecorded(|trial| free_of_each_stack(trial, stacks, 0..1))?;
    (0..stacks).try_for_each(|stack| trial.allocate(stack * NEIGHBOURS, layout_of(16, ALIGN)))?;
    trial.unrecorded(|trial| free_of_each_stack(trial, stacks, 1..NEIGHBOURS))?;
    free_of_each_stack(trial, stacks, 0..1)
}

/// Another CPU frees many large objects, one after the other; then as many are allocated again.
fn crossing_large(trial: &mut Trial<'_>, size: usize, count: usize) -> Result<(), BenchError> {
    for _ in 0..3 {
        allocate_many(trial, count, size, ALIGN)?;
        trial.on_another_cpu(|trial| {
            (0..count).for_each(|slot| trial.free(slot));
            Ok(())
        })?;
    }
    Ok(())
}
