//! What real programs ask of `malloc`, replayed: `rustc`, CPython and sqlite (see `traces/README.md`).
//!
//! Every object is full of noise that belongs to it, and all of its bytes are looked at when it is resized and freed. So a
//! byte that is lost in a move, or written into somebody else's object, shows.
//!
//! Two million operations are too many for Miri.
#![cfg(not(miri))]

mod common;
#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/trace.rs"]
mod trace;

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use std::thread;

use common::chosen_cpu::on;
use common::heap_under_test::ShardedHeap;
use common::{
    CountingSource, HeapUnderTest, Numbers, allocate, assert_empty, assert_empty_after_trim,
    assert_sound, give_back, heap, layout, reallocate,
};
use oracle::Oracle;
use stack_alloc::BLOCK_SIZE;
use trace::{Operation, Trace};

const RUSTC: &[u8] = include_bytes!("traces/rustc.pbt.zst");
const PYTHON: &[u8] = include_bytes!("traces/python.pbt.zst");
const SQLITE: &[u8] = include_bytes!("traces/sqlite.pbt.zst");

/// Operations between two walks through the whole heap.
const BETWEEN_CHECKS: usize = 10_000;

/// Memory without an end, for a program that shall not run out of it.
const PLENTY: usize = 1 << 30;

/// Unpacks a file of `traces`.
#[track_caller]
fn recorded(file: &[u8]) -> Trace {
    Trace::unpack(file).unwrap_or_else(|error| panic!("{error}"))
}

/// Random bytes, of which every object gets a stretch that begins at a place of its own.
struct Noise(Vec<u8>);

impl Noise {
    /// Places where objects begin.
    const PLACES: usize = 1 << 16;

    /// Creates noise for objects of up to `largest` bytes.
    fn new(largest: usize) -> Self {
        let mut numbers = Numbers::new(1);
        let byte = |_| u8::try_from(numbers.below(256)).expect("small");
        Self((0..largest + Self::PLACES).map(byte).collect())
    }

    /// Returns what byte numbers `range` of an object at `place` are.
    fn of(&self, place: usize, range: Range<usize>) -> &[u8] {
        &self.0[place + range.start..place + range.end]
    }
}

/// A live object.
#[derive(Clone, Copy, Debug)]
struct Item {
    pointer: *mut u8,
    layout: Layout,
    /// Where its contents begin in the noise.
    place: usize,
}

/// A program on its way, on the heap `H`.
struct Replay<'a, H> {
    heap: &'a H,
    noise: &'a Noise,
    /// Live objects, by slot.
    live: Vec<Option<Item>>,
    /// The sum of their sizes.
    bytes: usize,
    /// Operations done.
    steps: usize,
    /// Requests that the heap answered with null.
    failures: usize,
}

impl<'a, H: GlobalAlloc> Replay<'a, H> {
    fn new(heap: &'a H, noise: &'a Noise, trace: &Trace) -> Self {
        Self {
            heap,
            noise,
            live: vec![None; trace.slots],
            bytes: 0,
            steps: 0,
            failures: 0,
        }
    }

    /// Does one operation. What the heap has no memory for stays absent, or as it was.
    #[track_caller]
    fn step(&mut self, operation: Operation) {
        self.steps += 1;
        match operation {
            Operation::Allocate {
                slot,
                layout,
                zeroed,
            } => self.allocate(slot, layout, zeroed),
            Operation::Reallocate { slot, size } => self.reallocate(slot, size),
            Operation::Free { slot } => self.free(slot),
        }
    }

    #[track_caller]
    fn allocate(&mut self, slot: usize, layout: Layout, zeroed: bool) {
        let pointer = if zeroed {
            // SAFETY: recorded objects are not empty.
            unsafe { self.heap.alloc_zeroed(layout) }
        } else {
            allocate(self.heap, layout)
        };
        if pointer.is_null() {
            self.failures += 1;
            return;
        }
        let item = Item {
            pointer,
            layout,
            // Neighbours in time are far apart in the noise.
            place: self.steps * 40_503 % Noise::PLACES,
        };
        if zeroed {
            assert!(is_zero(self.written(&item)), "not cleared: {item:?}");
        }
        self.keep(slot, item, 0);
    }

    #[track_caller]
    fn reallocate(&mut self, slot: usize, size: usize) {
        let Some(item) = self.live[slot] else {
            return;
        };
        self.assert_intact(&item);
        let pointer = reallocate(self.heap, item.pointer, item.layout, size);
        if pointer.is_null() {
            self.failures += 1;
            self.assert_intact(&item);
            return;
        }
        let kept = item.layout.size().min(size);
        let moved = Item {
            pointer,
            layout: layout(kept, item.layout.align()),
            ..item
        };
        self.assert_intact(&moved);
        self.bytes -= item.layout.size();
        let resized = Item {
            layout: layout(size, item.layout.align()),
            ..moved
        };
        self.keep(slot, resized, kept);
    }

    #[track_caller]
    fn free(&mut self, slot: usize) {
        let Some(item) = self.live[slot].take() else {
            return;
        };
        self.assert_intact(&item);
        self.bytes -= item.layout.size();
        give_back(self.heap, item.pointer, item.layout);
    }

    /// Frees everything.
    #[track_caller]
    fn end(&mut self) {
        for slot in 0..self.live.len() {
            self.free(slot);
        }
        assert_eq!(self.bytes, 0);
    }

    /// Writes the noise of `item` from byte `from` on, and puts it into its slot.
    #[track_caller]
    fn keep(&mut self, slot: usize, item: Item, from: usize) {
        let size = item.layout.size();
        assert_eq!(
            item.pointer.addr() % item.layout.align(),
            0,
            "misaligned: {item:?}"
        );
        let noise = self.noise.of(item.place, from..size);
        let to = item.pointer.wrapping_add(from);
        // SAFETY: the object is live and ends where the noise does.
        unsafe { to.copy_from_nonoverlapping(noise.as_ptr(), noise.len()) };
        self.bytes += size;
        self.live[slot] = Some(item);
    }

    /// Returns the bytes of an object, all of which were written: by this program, or by the heap that cleared them.
    fn written(&self, item: &Item) -> &[u8] {
        // SAFETY: the object is live, and its bytes were written.
        unsafe { core::slice::from_raw_parts(item.pointer, item.layout.size()) }
    }

    /// Returns the bytes of the object in `slot`.
    fn bytes_in(&self, slot: usize) -> Option<&[u8]> {
        self.live[slot].as_ref().map(|item| self.written(item))
    }

    #[track_caller]
    fn assert_intact(&self, item: &Item) {
        let expected = self.noise.of(item.place, 0..item.layout.size());
        assert!(self.written(item) == expected, "contents changed: {item:?}");
    }

    /// Returns how many objects are live.
    fn count(&self) -> usize {
        self.live.iter().flatten().count()
    }
}

// SAFETY: the pointers are those of objects that this replay alone uses, on whichever thread.
unsafe impl<H: Sync> Send for Replay<'_, H> {}

/// Returns whether all bytes are 0.
fn is_zero(bytes: &[u8]) -> bool {
    // Each byte like the one before it: one comparison of memory, where a loop takes long.
    bytes.is_empty() || (bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

/// Asserts that the heap is sound and counts what the replay counts.
#[track_caller]
fn assert_agrees(replay: &Replay<'_, impl HeapUnderTest>) {
    assert_sound(replay.heap);
    let statistics = replay.heap.statistics();
    assert_eq!(statistics.live(), replay.count() as u64);
    assert_eq!(statistics.bytes_requested, replay.bytes);
    assert_eq!(statistics.failures, replay.failures as u64);
}

/// Replays `trace` on a heap of its own that gets at most `limit` bytes, and returns how many requests failed.
#[track_caller]
fn replay_within(limit: usize, trace: &Trace) -> usize {
    let heap = heap(limit);
    let noise = Noise::new(trace.largest);
    let mut replay = Replay::new(&heap, &noise, trace);
    for operations in trace.operations.chunks(BETWEEN_CHECKS) {
        for operation in operations {
            replay.step(*operation);
        }
        assert_agrees(&replay);
    }
    if replay.failures == 0 {
        // What moves is live twice while it is copied.
        let peaks = trace.peak..=trace.peak + trace.largest;
        assert!(peaks.contains(&heap.statistics().bytes_requested_peak));
    }
    replay.end();
    assert_empty(&heap);
    replay.failures
}

/// A heap of three shards.
type Sharded = ShardedHeap<CountingSource, 3>;

/// Replays `trace` on a heap of many shards that gets at most `limit` bytes: each operation on another CPU than the one before, so
/// that most objects are freed and resized by others than who has them. Returns how many requests failed.
#[track_caller]
fn replay_on_all_cpus(limit: usize, trace: &Trace) -> usize {
    let heap = Sharded::over(CountingSource::new(limit));
    let noise = Noise::new(trace.largest);
    let mut replay = Replay::new(&heap, &noise, trace);
    let mut cpus = (0..Sharded::CPUS).cycle();
    for operations in trace.operations.chunks(BETWEEN_CHECKS) {
        for (operation, cpu) in operations.iter().zip(&mut cpus) {
            on(cpu, || replay.step(*operation));
        }
        assert_agrees(&replay);
    }
    replay.end();
    assert_empty_after_trim(&heap);
    replay.failures
}

/// Asserts that nothing fails while there is memory, whoever allocates and frees; and that the program gets on with a tenth less
/// than it ever has live.
#[track_caller]
fn runs_on_all_cpus(file: &[u8]) {
    let trace = recorded(file);
    assert_eq!(replay_on_all_cpus(PLENTY, &trace), 0);
    let failures = replay_on_all_cpus(trace.peak - trace.peak / 10, &trace);
    assert!(failures > 0, "memory was not short");
}

/// Asserts the row of the table in `traces/README.md`, and that nothing fails while there is memory.
#[track_caller]
fn runs_to_its_end(file: &[u8], [operations, slots, peak, largest]: [usize; 4]) {
    let trace = recorded(file);
    assert_eq!(trace.operations.len(), operations);
    assert_eq!(
        [trace.slots, trace.peak, trace.largest],
        [slots, peak, largest]
    );
    assert_eq!(replay_within(PLENTY, &trace), 0);
}

/// Asserts that the program gets on when memory is short: first with a tenth more than it ever has live, then with a tenth
/// less. A tenth more is enough for all but a few requests in a thousand.
#[track_caller]
fn outlives_a_shortage(file: &[u8]) {
    let trace = recorded(file);
    let more = replay_within(trace.peak + trace.peak / 10, &trace);
    let less = replay_within(trace.peak - trace.peak / 10, &trace);
    assert!(
        more * 100 < trace.operations.len(),
        "{more} requests failed"
    );
    assert!(less > more, "memory was not short");
}

#[test]
fn rustc_runs_to_its_end() {
    runs_to_its_end(RUSTC, [857_282, 20_191, 21_875_871, 589_840]);
}

#[test]
fn python_runs_to_its_end() {
    runs_to_its_end(PYTHON, [1_014_512, 69_287, 6_271_028, 277_280]);
}

#[test]
fn sqlite_runs_to_its_end() {
    runs_to_its_end(SQLITE, [444_157, 2944, 5_424_970, 2_048_008]);
}

#[test]
fn rustc_runs_on_all_cpus() {
    runs_on_all_cpus(RUSTC);
}

#[test]
fn python_runs_on_all_cpus() {
    runs_on_all_cpus(PYTHON);
}

#[test]
fn sqlite_runs_on_all_cpus() {
    runs_on_all_cpus(SQLITE);
}

#[test]
fn rustc_outlives_a_shortage() {
    outlives_a_shortage(RUSTC);
}

#[test]
fn python_outlives_a_shortage() {
    outlives_a_shortage(PYTHON);
}

#[test]
fn sqlite_outlives_a_shortage() {
    outlives_a_shortage(SQLITE);
}

/// Runs all three programs at once on `heap`, each in a thread and on a CPU of its own.
fn run_three_at_once(heap: &impl HeapUnderTest) {
    let traces = [RUSTC, PYTHON, SQLITE].map(recorded);
    let largest = traces.iter().map(|trace| trace.largest).max();
    let noise = Noise::new(largest.expect("three of them"));
    thread::scope(|scope| {
        for (cpu, trace) in traces.iter().enumerate() {
            let mut replay = Replay::new(heap, &noise, trace);
            scope.spawn(move || {
                on(cpu, || {
                    for operation in &trace.operations {
                        replay.step(*operation);
                    }
                    assert_eq!(replay.failures, 0);
                    replay.end();
                });
            });
        }
    });
}

#[test]
fn three_programs_share_a_heap() {
    let heap = heap(PLENTY);
    run_three_at_once(&heap);
    assert_empty(&heap);
}

#[test]
fn three_programs_share_a_heap_of_many_shards() {
    let heap = Sharded::over(CountingSource::new(PLENTY));
    run_three_at_once(&heap);
    assert_empty_after_trim(&heap);
}

/// Operations that are done in step with the oracle, which walks along all holes for each.
const IN_STEP: usize = 20_000;

/// Does the first operations of a program on this heap and on the oracle, and asserts that both have the same.
#[track_caller]
fn is_alike_on_the_oracle(file: &[u8]) {
    let trace = recorded(file);
    let noise = Noise::new(trace.largest);
    let memory = (4 * trace.peak).next_multiple_of(BLOCK_SIZE);
    let (our_heap, their_heap) = (heap(memory), Oracle::new(memory));
    let mut ours = Replay::new(&our_heap, &noise, &trace);
    let mut theirs = Replay::new(&their_heap, &noise, &trace);
    for operation in &trace.operations[..IN_STEP] {
        ours.step(*operation);
        theirs.step(*operation);
        let slot = operation.slot();
        assert!(
            ours.bytes_in(slot) == theirs.bytes_in(slot),
            "slot {slot} differs after {operation:?}"
        );
    }
    assert_agrees(&ours);
    assert_eq!([ours.failures, theirs.failures], [0, 0]);
    assert!(their_heap.used() >= ours.bytes);
    for slot in 0..trace.slots {
        assert!(
            ours.bytes_in(slot) == theirs.bytes_in(slot),
            "slot {slot} differs at the end"
        );
    }
    ours.end();
    theirs.end();
    assert_empty(&our_heap);
    assert_eq!(their_heap.used(), 0);
}

#[test]
fn rustc_is_alike_on_the_oracle() {
    is_alike_on_the_oracle(RUSTC);
}

#[test]
fn python_is_alike_on_the_oracle() {
    is_alike_on_the_oracle(PYTHON);
}

#[test]
fn sqlite_is_alike_on_the_oracle() {
    is_alike_on_the_oracle(SQLITE);
}
