//! A heap of many shards under many threads: as many as there are shards, and more.
//!
//! What is checked is what must hold in any order of events: contents, counts, and that memory goes home. Nothing is timed.

mod common;

use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

use common::chosen_cpu::on;
use common::heap_under_test::ShardedHeap;
use common::{
    CountingSource, Numbers, Object, allocate, assert_empty_after_trim, byte, give_back, layout,
    remember, seen,
};
use stack_alloc::MisuseKind;

/// Shards of the heap under test.
const SHARDS: usize = 3;

/// Threads: one shard has two of them, or three.
const THREADS: usize = 5;

/// A heap of so many shards.
type Sharded = ShardedHeap<CountingSource, SHARDS>;

/// How much is done: less in Miri, which takes its time.
const ROUNDS: usize = if cfg!(miri) { 5 } else { 20_000 };

/// How often somebody looks at the heap meanwhile: in Miri, where that takes longest, once in every way.
const MOST_LOOKS: usize = if cfg!(miri) { 6 } else { usize::MAX };

/// Memory without an end.
const PLENTY: usize = 1 << 30;

/// Creates a heap whose source gives at most `limit` bytes at a time.
fn heap(limit: usize) -> Sharded {
    let heap = Sharded::new(CountingSource::new(limit));
    heap.set_misuse_handler(remember);
    heap
}

/// Runs `work` on as many threads as are wanted, each on the CPU of its number, and asserts that none of them saw a misuse.
fn on_threads(threads: usize, work: impl Fn(usize, Numbers) + Sync) {
    thread::scope(|scope| {
        for cpu in 0..threads {
            let work = &work;
            scope.spawn(move || {
                on(cpu, || work(cpu, Numbers::new(1 + cpu as u64)));
                assert_eq!(seen(), [], "a right free was called a misuse");
            });
        }
    });
}

/// Runs `work` on [`THREADS`] threads while one more looks at the heap in every way, and has it trimmed. Asserts that the heap is empty
/// then.
fn while_looked_at(heap: &Sharded, work: impl Fn(usize, Numbers) + Sync) {
    let running = AtomicUsize::new(THREADS);
    on_threads(THREADS + 1, |cpu, numbers| {
        if cpu < THREADS {
            let _done = Done(&running);
            return work(cpu, numbers);
        }
        for number in 0..MOST_LOOKS {
            look_at(heap, number);
            if running.load(Ordering::Relaxed) == 0 {
                break;
            }
        }
    });
    assert_empty_after_trim(heap);
}

/// Counts a thread out, also when it panics.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks at a heap in one way or another.
fn look_at(heap: &Sharded, number: usize) {
    match number % 6 {
        0 => heap.check().expect("the heap is sound"),
        1 => heap.trim(),
        2 => assert!(heap.statistics().bytes_held <= PLENTY),
        3 => {
            heap.take_over(number / 6 % SHARDS);
        }
        4 => assert!(heap.live_objects().all(|object| object.size > 0)),
        _ => {
            for address in heap.source().addresses() {
                heap.what_is(address + 20_000);
            }
        }
    }
    thread::yield_now();
}

/// Returns a layout: mostly of a few bytes, at times of some pages or a region. (To fill a MiB takes long in Miri.)
fn any_layout(numbers: &mut Numbers) -> Layout {
    let [region, pages] = if cfg!(miri) { [18, 13] } else { [20, 16] };
    let log = match numbers.below(40) {
        0 => region,
        1..4 => pages,
        _ => 9,
    };
    layout(numbers.size(log), 1 << numbers.below(5))
}

/// Returns a byte to fill objects with.
fn fill(numbers: &mut Numbers) -> u8 {
    u8::try_from(numbers.below(256)).expect("a byte")
}

#[test]
fn each_thread_has_objects_of_its_own() {
    let heap = heap(PLENTY);
    while_looked_at(&heap, |_, mut numbers| {
        let mut objects = Vec::new();
        for _ in 0..ROUNDS {
            if objects.len() < 200 && numbers.below(2) == 0 {
                let (layout, fill) = (any_layout(&mut numbers), fill(&mut numbers));
                objects.push(Object::new(&heap, layout, fill));
            } else if let Some(object) = numbers.pick(&mut objects) {
                object.free(&heap);
            }
        }
        objects.into_iter().for_each(|object| object.free(&heap));
    });
}

#[test]
fn what_one_thread_makes_the_next_one_frees() {
    let heap = heap(PLENTY);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS)
        .map(|_| mpsc::sync_channel::<Object>(64))
        .map(|(sender, receiver)| (Mutex::new(Some(sender)), Mutex::new(receiver)))
        .unzip();
    while_looked_at(&heap, |cpu, mut numbers| {
        // A thread produces for the next one, and the last one for nobody.
        let sender = senders[cpu].lock().expect("no test failed").take();
        let consume = |object: Object| object.free(&heap);
        for _ in 0..ROUNDS {
            let object = Object::new(&heap, any_layout(&mut numbers), byte(cpu));
            match &sender {
                Some(sender) if cpu + 1 < THREADS => sender.send(object).expect("it is received"),
                _ => consume(object),
            }
            if cpu > 0 {
                let receiver = receivers[cpu - 1].lock().expect("no test failed");
                receiver.try_iter().take(2).for_each(consume);
            }
        }
        drop(sender);
        if cpu > 0 {
            let receiver = receivers[cpu - 1].lock().expect("no test failed");
            receiver.iter().for_each(consume);
        }
    });
}

/// Objects that whoever comes along takes out and puts in.
struct Slots(Vec<Mutex<Option<Object>>>);

impl Slots {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Mutex::new(None)).collect())
    }

    /// Puts an object, or none, into a slot at random, and returns what was there.
    fn exchange(&self, numbers: &mut Numbers, object: Option<Object>) -> Option<Object> {
        let slot = &self.0[numbers.below(self.0.len())];
        core::mem::replace(&mut *slot.lock().expect("no test failed"), object)
    }

    /// Frees what is there. If everybody does so who puts something in, nothing is left by the last one.
    fn free(&self, heap: &Sharded) {
        for slot in &self.0 {
            let object = slot.lock().expect("no test failed").take();
            object.into_iter().for_each(|object| object.free(heap));
        }
    }
}

#[test]
fn objects_are_freed_by_whoever_comes_along() {
    let heap = heap(PLENTY);
    let slots = Slots::new(500);
    while_looked_at(&heap, |cpu, mut numbers| {
        for _ in 0..ROUNDS {
            let object = Object::new(&heap, any_layout(&mut numbers), byte(cpu));
            if let Some(object) = slots.exchange(&mut numbers, Some(object)) {
                object.free(&heap);
            }
        }
        slots.free(&heap);
    });
}

#[test]
fn objects_are_resized_by_whoever_comes_along() {
    let heap = heap(PLENTY);
    let slots = Slots::new(100);
    while_looked_at(&heap, |cpu, mut numbers| {
        for _ in 0..ROUNDS {
            let object = slots.exchange(&mut numbers, None);
            let mut object =
                object.unwrap_or_else(|| Object::new(&heap, any_layout(&mut numbers), byte(cpu)));
            let size = any_layout(&mut numbers).size();
            assert!(object.resize(&heap, size, byte(cpu)));
            if let Some(object) = slots.exchange(&mut numbers, Some(object)) {
                object.free(&heap);
            }
        }
        slots.free(&heap);
    });
}

/// An object that all threads free at once, again and again: the layout, and which of them allocates it.
struct Race {
    layout: Layout,
    owner: usize,
    /// The owner is one of those who free it.
    owner_frees: bool,
}

impl Race {
    /// Runs the race `rounds` times, and returns what was reported in each round. Nothing else is allocated between, so that the
    /// memory stays what it is.
    fn run(&self, heap: &Sharded, rounds: usize) -> Vec<Vec<MisuseKind>> {
        let pointer = AtomicPtr::new(ptr::null_mut());
        let (reports, barrier) = (Mutex::new(Vec::new()), Barrier::new(THREADS));
        let note = || {
            let kinds = seen().into_iter().map(|misuse| misuse.kind);
            reports.lock().expect("no test failed").extend(kinds);
        };
        let rival = || {
            for _ in 0..rounds {
                barrier.wait();
                give_back(heap, pointer.load(Ordering::Relaxed), self.layout);
                note();
                barrier.wait();
            }
        };
        let mut all = Vec::new();
        thread::scope(|scope| {
            for cpu in (0..THREADS).filter(|cpu| *cpu != self.owner) {
                let rival = &rival;
                scope.spawn(move || on(cpu, rival));
            }
            on(self.owner, || {
                for _ in 0..rounds {
                    pointer.store(allocate(heap, self.layout), Ordering::Relaxed);
                    barrier.wait();
                    if self.owner_frees {
                        give_back(heap, pointer.load(Ordering::Relaxed), self.layout);
                    }
                    barrier.wait();
                    // One of the owner's and one of another may both seem right at first.
                    heap.trim();
                    note();
                    all.push(core::mem::take(
                        &mut *reports.lock().expect("no test failed"),
                    ));
                }
            });
        });
        all
    }

    /// Asserts that each time one of all frees is right, and the others are reported.
    fn assert_one_wins(&self) {
        let heap = heap(PLENTY);
        // So that the block stays.
        let neighbour = on(self.owner, || Object::new(&heap, self.layout, 7));
        let frees = if self.owner_frees {
            THREADS
        } else {
            THREADS - 1
        };
        for (round, kinds) in self.run(&heap, ROUNDS.div_ceil(20)).into_iter().enumerate() {
            let right = |kind: &MisuseKind| {
                // Of what went home at once, nothing is left to look at.
                matches!(kind, MisuseKind::DoubleFree | MisuseKind::GoneBack)
            };
            assert!(
                kinds.len() == frees - 1 && kinds.iter().all(right),
                "in round {round}, of {frees} frees of {:?}: {kinds:?}",
                self.layout
            );
        }
        heap.check().expect("the heap is sound");
        assert_eq!(heap.statistics().live(), 1);
        on(self.owner, || neighbour.free(&heap));
        assert_empty_after_trim(&heap);
    }
}

/// Sizes of a chunk, of a run, and of a region.
const SIZES: [usize; 4] = [64, 4096, 40_000, 1 << 20];

#[test]
fn of_frees_that_race_one_wins() {
    for (size, owner_frees) in SIZES
        .into_iter()
        .flat_map(|size| [(size, false), (size, true)])
    {
        let race = Race {
            layout: layout(size, 8),
            owner: 1,
            owner_frees,
        };
        race.assert_one_wins();
    }
}

#[test]
fn nobody_starves_while_others_have_room() {
    // Memory for so much and half as much again, of which everybody keeps what he once had.
    const MOST: usize = 60;
    let size = layout(3000, 8);
    let heap = heap(THREADS * MOST * 4096 * 3 / 2);
    let slots = Slots::new(THREADS * MOST);
    let live = AtomicUsize::new(0);
    on_threads(THREADS, |cpu, mut numbers| {
        for _ in 0..ROUNDS {
            // Never more than there are slots.
            let object = if live.fetch_add(1, Ordering::Relaxed) < THREADS * MOST {
                Some(Object::new(&heap, size, byte(cpu)))
            } else {
                live.fetch_sub(1, Ordering::Relaxed);
                None
            };
            if let Some(object) = slots.exchange(&mut numbers, object) {
                object.free(&heap);
                live.fetch_sub(1, Ordering::Relaxed);
            }
        }
        slots.free(&heap);
    });
    assert_eq!(heap.statistics().failures, 0);
    assert_empty_after_trim(&heap);
}
