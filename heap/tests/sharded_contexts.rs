//! Contexts that may not wait, in the middle of the heap's own work: frees there are legal and complete, allocations are given
//! what is at hand, and everything adds up afterwards.
//!
//! A source that uses the heap plays the interrupt: when it is called, the locks of a shard and of what all share are held. Then
//! signals do, which may come between any two instructions.

mod common;

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use common::chosen_cpu::{on, waiting};
use common::heap_under_test::{Counted, ShardedHeap};
use common::{
    CountingSource, Numbers, Object, assert_empty_after_trim, assert_sound, byte, give_back,
    in_time, layout, remember, seen,
};
use stack_alloc::{MemorySource, MisuseKind};

/// Shards of the heap under test.
const SHARDS: usize = 3;

/// A heap whose source is interrupted.
type Interrupted = ShardedHeap<InterruptedSource, SHARDS>;

/// A source during whose work [`INTERRUPT`] happens.
struct InterruptedSource(CountingSource);

thread_local! {
    /// What happens whenever a source is called, with the heap; taken out while it happens.
    static INTERRUPT: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    /// How often it did.
    static INTERRUPTS: Cell<usize> = const { Cell::new(0) };
}

/// Lets what was arranged happen, in a context that may not wait.
fn interrupt() {
    let work = INTERRUPT.take();
    if let Some(mut work) = work {
        INTERRUPTS.set(INTERRUPTS.get() + 1);
        waiting(false, &mut work);
        INTERRUPT.set(Some(work));
    }
}

// SAFETY: memory is passed on from a source that promises the same.
unsafe impl MemorySource for InterruptedSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        interrupt();
        self.0.get_block()
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        interrupt();
        // SAFETY: the caller's promise.
        unsafe { self.0.release_block(block) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        interrupt();
        self.0.get_region(size, align)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        interrupt();
        // SAFETY: the caller's promise.
        unsafe { self.0.release_region(region, size) };
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        interrupt();
        // SAFETY: the caller's promise.
        unsafe { self.0.resize_region(region, size, new_size) }
    }

    fn largest_region(&self) -> usize {
        self.0.largest_region()
    }
}

impl Counted for InterruptedSource {
    fn bytes_out(&self) -> usize {
        self.0.bytes_out()
    }

    fn pieces_out(&self) -> usize {
        self.0.pieces_out()
    }
}

/// Creates a heap that lives as long as the program, so that interrupts can get at it.
fn interrupted() -> &'static Interrupted {
    let heap = Interrupted::new(InterruptedSource(CountingSource::new(64 << 20)));
    heap.set_misuse_handler(remember);
    Box::leak(Box::new(heap))
}

/// Sizes of a few chunks, of runs, and of a region.
const SIZES: [usize; 7] = [16, 64, 1000, 5000, 20_000, 200_000, 1 << 20];

/// Makes objects of all sizes, on all CPUs.
fn objects_of_all(heap: &Interrupted, count: usize) -> Vec<Object> {
    let sizes = SIZES.into_iter().cycle().take(count).enumerate();
    sizes
        .map(|(n, size)| on(n % SHARDS, || Object::new(heap, layout(size, 8), byte(n))))
        .collect()
}

/// Goes through all of the source's calls: blocks and regions come, change, and go.
fn call_the_source(heap: &Interrupted) {
    for cpu in 0..SHARDS {
        on(cpu, || {
            let mut region = Object::new(heap, layout(3 << 20, 8), 1);
            assert!(region.resize(heap, 4 << 20, 2));
            let runs: Vec<_> = (0..8)
                .map(|n| Object::new(heap, layout(200_000, 8), n))
                .collect();
            runs.into_iter().for_each(|run| run.free(heap));
            region.free(heap);
        });
    }
    heap.trim();
}

#[test]
fn frees_are_complete_in_the_middle_of_the_source_s_work() {
    in_time(|| {
        for cpu in 0..SHARDS {
            let heap = interrupted();
            let mut objects = objects_of_all(heap, 210);
            let live = 210;
            INTERRUPTS.set(0);
            let free = move || {
                for object in objects.drain(objects.len().saturating_sub(5)..) {
                    let (pointer, layout) = (object.pointer(), object.layout());
                    // On the CPU whose shard is entered, or another one.
                    on(cpu, || object.free(heap));
                    assert_eq!(seen(), []);
                    on(cpu, || give_back(heap, pointer, layout));
                    assert_eq!(seen().len(), 1, "a second free of {layout:?}");
                }
            };
            INTERRUPT.set(Some(Box::new(free)));
            let mut rounds = 0..100;
            while INTERRUPTS.get() * 5 < live && rounds.next().is_some() {
                call_the_source(heap);
            }
            assert!(INTERRUPTS.get() * 5 >= live);
            INTERRUPT.set(None);
            assert_empty_after_trim(heap);
        }
    });
}

#[test]
fn allocations_are_given_what_is_at_hand_or_null() {
    in_time(|| {
        let heap = interrupted();
        let rest = objects_of_all(heap, 21);
        let mut numbers = Numbers::new(3);
        let (given, refused) = (
            &*Box::leak(Box::new(Cell::new(0))),
            &*Box::leak(Box::new(Cell::new(0))),
        );
        let mut objects: Vec<Object> = Vec::new();
        let mut work = move |is_last: bool| {
            for _ in 0..10 {
                let size = layout(SIZES[numbers.below(SIZES.len())], 8);
                match on(numbers.below(SHARDS), || Object::try_new(heap, size, 9)) {
                    Some(object) => {
                        given.set(given.get() + 1);
                        objects.push(object);
                    }
                    None => refused.set(refused.get() + 1),
                }
                if let Some(mut object) = numbers.pick(&mut objects) {
                    let size = SIZES[numbers.below(SIZES.len())];
                    // It keeps its contents, whether it gets another size or not.
                    on(numbers.below(SHARDS), || object.resize(heap, size, 8));
                    objects.push(object);
                }
            }
            if is_last || objects.len() > 20 {
                objects.drain(..).for_each(|object| object.free(heap));
            }
        };
        let is_last = &*Box::leak(Box::new(Cell::new(false)));
        INTERRUPT.set(Some(Box::new(move || work(is_last.get()))));
        for _ in 0..20 {
            call_the_source(heap);
            heap.check().expect("the heap is sound");
        }
        is_last.set(true);
        call_the_source(heap);
        INTERRUPT.set(None);
        assert!(given.get() > 100 && refused.get() > 100);
        assert_eq!(seen(), []);
        assert_eq!(heap.statistics().live(), rest.len() as u64);
        assert_sound(heap);
        rest.into_iter().for_each(|object| object.free(heap));
        assert_empty_after_trim(heap);
    });
}

#[test]
fn what_cannot_be_looked_at_is_not_waited_for() {
    in_time(|| {
        let heap = interrupted();
        let object = on(1, || Object::new(heap, layout(64, 8), 1));
        let pointer = object.pointer();
        let work = move || {
            // The shard of CPU 0 is entered, and what all share is locked.
            assert_eq!(heap.try_statistics(), None);
            assert!(heap.try_what_is(pointer.addr()).is_some());
            assert!(heap.try_what_is(8).is_none());
            on(1, || {
                give_back(heap, pointer.wrapping_add(16), layout(64, 8));
            });
            let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
            assert_eq!(kinds, [MisuseKind::Interior]);
        };
        INTERRUPTS.set(0);
        INTERRUPT.set(Some(Box::new(work)));
        on(0, || Object::new(heap, layout(64, 8), 1).free(heap));
        INTERRUPT.set(None);
        assert_eq!(INTERRUPTS.get(), 1);
        on(1, || object.free(heap));
        assert_empty_after_trim(heap);
    });
}
