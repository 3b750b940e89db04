//! Who is told of a request that was answered with null, and how.

mod common;

use core::alloc::Layout;
use core::cell::{Cell, RefCell};

use common::{Heap, Object, allocate, assert_empty, heap, layout};
use stack_alloc::{BLOCK_SIZE, PAGE_SIZE};

thread_local! {
    /// What the handler was told of on this thread.
    static TOLD: RefCell<Vec<Layout>> = const { RefCell::new(Vec::new()) };
    /// The heap of this test.
    static HEAP: Cell<Option<&'static Heap>> = const { Cell::new(None) };
}

/// A heap of one block whose handler remembers.
fn telling_heap() -> &'static Heap {
    let heap = Box::leak(Box::new(heap(BLOCK_SIZE)));
    heap.set_out_of_memory_handler(|layout| TOLD.with_borrow_mut(|told| told.push(layout)));
    heap
}

#[test]
fn each_null_is_told_once_with_its_layout() {
    let heap = telling_heap();
    let mut object = Object::new(heap, layout(100, 8), 1);
    assert_eq!(TOLD.take(), []);
    let asked = [
        layout(2 * BLOCK_SIZE, 8),
        layout(1, 1 << 40),
        layout(isize::MAX as usize, 1),
    ];
    for asked in asked {
        assert!(allocate(heap, asked).is_null());
    }
    assert_eq!(TOLD.take(), asked);
    assert!(!object.resize(heap, 3 * BLOCK_SIZE, 1));
    assert_eq!(TOLD.take(), [layout(3 * BLOCK_SIZE, 8)]);
    assert_eq!(heap.statistics().failures, 4);
    object.free(heap);
    assert_eq!(TOLD.take(), []);
    assert_empty(heap);
}

#[test]
fn what_a_shrinker_makes_possible_is_not_told() {
    let heap = telling_heap();
    thread_local! {
        /// What the shrinker can give back.
        static SPARE: RefCell<Option<Object>> = const { RefCell::new(None) };
    }
    HEAP.set(Some(heap));
    SPARE.set(Some(Object::new(heap, layout(63 * PAGE_SIZE, 8), 1)));
    let shrinker = |_| {
        let heap = HEAP.get().expect("the test has set it");
        SPARE.take().map(|spare| spare.free(heap)).is_some()
    };
    assert_eq!(heap.add_shrinker(shrinker), Ok(()));
    let object = Object::new(heap, layout(100, 8), 1);
    assert_eq!(TOLD.take(), []);
    object.free(heap);
    assert!(allocate(heap, layout(BLOCK_SIZE, 8)).is_null());
    assert_eq!(TOLD.take(), [layout(BLOCK_SIZE, 8)]);
}

#[test]
fn the_handler_may_use_the_heap_and_is_not_called_from_within_itself() {
    let heap = Box::leak(Box::new(heap(BLOCK_SIZE)));
    HEAP.set(Some(heap));
    heap.set_out_of_memory_handler(|asked| {
        let heap = HEAP.get().expect("the test has set it");
        TOLD.with_borrow_mut(|told| told.push(asked));
        Object::new(heap, layout(500, 8), 1).free(heap);
        assert!(allocate(heap, layout(BLOCK_SIZE + 1, 8)).is_null());
        assert!(heap.statistics().failures > 0);
        heap.check().expect("sound");
    });
    assert!(allocate(heap, layout(BLOCK_SIZE, 8)).is_null());
    assert_eq!(TOLD.take(), [layout(BLOCK_SIZE, 8)]);
    assert_eq!(heap.statistics().failures, 2);
    // And again.
    assert!(allocate(heap, layout(BLOCK_SIZE, 8)).is_null());
    assert_eq!(TOLD.take(), [layout(BLOCK_SIZE, 8)]);
}

#[test]
fn without_a_handler_null_is_all() {
    let heap = heap(BLOCK_SIZE);
    assert!(allocate(&heap, layout(BLOCK_SIZE, 8)).is_null());
    assert_eq!(heap.statistics().failures, 1);
    assert_empty(&heap);
}
