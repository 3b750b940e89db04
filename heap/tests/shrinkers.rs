//! Functions that are asked to free memory before a request is answered with null.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use common::{Heap, Numbers, Object, allocate, assert_empty, assert_sound, heap, in_time, layout};
use stack_alloc::{BLOCK_SIZE, MOST_SHRINKERS, PAGE_SIZE, TooManyShrinkers};

thread_local! {
    /// The number of each shrinker that was asked on this thread, and for what.
    static ASKED: RefCell<Vec<(usize, Layout)>> = const { RefCell::new(Vec::new()) };
    /// What each shrinker does when it is asked.
    static WILL: RefCell<Vec<Action>> = const { RefCell::new(Vec::new()) };
    /// What the shrinkers can give back.
    static HOARD: RefCell<Vec<Object>> = const { RefCell::new(Vec::new()) };
    /// The heap of this test.
    static HEAP: Cell<Option<&'static Heap>> = const { Cell::new(None) };
}

/// What a shrinker does.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// Nothing, and says so.
    Nothing,
    /// Nothing, and says that it did something.
    Boasts,
    /// Gives one object of the hoard back and says so.
    Frees,
    /// Gives one object of the hoard back and says that it did not.
    FreesInSecret,
    /// Asks for a block's worth itself, in vain.
    Allocates,
    /// Looks at the heap and changes its settings.
    Meddles,
}

/// A shrinker that writes down that it was asked, and does its number in [`WILL`].
fn shrinker<const NUMBER: usize>(asked: Layout) -> bool {
    ASKED.with_borrow_mut(|list| list.push((NUMBER, asked)));
    let heap = HEAP.get().expect("the test has set it");
    match WILL.with_borrow(|will| will[NUMBER]) {
        Action::Nothing => false,
        Action::Boasts => true,
        Action::Frees => give_one_back(heap),
        Action::FreesInSecret => {
            give_one_back(heap);
            false
        }
        Action::Allocates => {
            assert!(allocate(heap, layout(63 * PAGE_SIZE, 8)).is_null());
            // SAFETY: the heap takes any layout.
            assert!(unsafe { heap.alloc_zeroed(layout(1 << 20, 8)) }.is_null());
            false
        }
        Action::Meddles => {
            assert_sound(heap);
            heap.trim();
            heap.set_reserve(0, || false);
            assert_eq!(heap.live_objects().count() as u64, heap.statistics().live());
            assert_eq!(heap.add_shrinker(|_| true), Ok(()));
            false
        }
    }
}

/// Gives one object of the hoard back. `false` when there is none.
fn give_one_back(heap: &Heap) -> bool {
    let object = HOARD.with_borrow_mut(Vec::pop);
    object.map(|object| object.free(heap)).is_some()
}

/// Gives `heap`, of so many blocks, four shrinkers that will do `actions`, and hoards all of its blocks.
fn hoard(heap: &'static Heap, actions: [Action; 4]) {
    HEAP.set(Some(heap));
    WILL.set(actions.into());
    for shrinker in [shrinker::<0>, shrinker::<1>, shrinker::<2>, shrinker::<3>] {
        assert_eq!(heap.add_shrinker(shrinker), Ok(()));
    }
    HOARD.set(fill_up(heap));
}

/// Takes all of the heap's blocks, without a request that fails.
fn fill_up(heap: &Heap) -> Vec<Object> {
    let mut blocks = Vec::new();
    while heap.source().left() >= BLOCK_SIZE {
        blocks.push(Object::new(heap, layout(63 * PAGE_SIZE, 8), 1));
    }
    blocks
}

/// Returns the numbers of the shrinkers asked since the last call.
fn asked() -> Vec<usize> {
    ASKED.take().into_iter().map(|(number, _)| number).collect()
}

/// Frees the hoard and asserts that nothing else is live.
fn end(heap: &Heap) {
    while give_one_back(heap) {}
    assert_empty(heap);
}

#[test]
fn each_is_asked_once_and_in_order() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    hoard(
        &HEAP,
        [
            Action::Nothing,
            Action::Boasts,
            Action::Nothing,
            Action::Boasts,
        ],
    );
    for round in 1..4 {
        assert!(allocate(&HEAP, layout(100, 8)).is_null());
        assert_eq!(asked(), [0, 1, 2, 3]);
        assert_eq!(
            HEAP.statistics().failures,
            round,
            "one request, one failure"
        );
        assert_sound(&HEAP);
    }
    end(&HEAP);
}

#[test]
fn the_first_that_helps_is_the_last_that_is_asked() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    hoard(
        &HEAP,
        [
            Action::Nothing,
            Action::Boasts,
            Action::Frees,
            Action::Frees,
        ],
    );
    let object = Object::new(&HEAP, layout(63 * PAGE_SIZE, 8), 2);
    assert_eq!(asked(), [0, 1, 2]);
    assert_eq!(HEAP.statistics().failures, 0);
    HOARD.with_borrow(|hoard| assert_eq!(hoard.len(), 1));
    // With memory at hand nobody is asked, and without it everybody again.
    object.free(&HEAP);
    let object = Object::new(&HEAP, layout(1000, 8), 2);
    assert_eq!(asked(), []);
    let second = Object::new(&HEAP, layout(63 * PAGE_SIZE, 8), 3);
    assert_eq!(asked(), [0, 1, 2]);
    object.free(&HEAP);
    second.free(&HEAP);
    end(&HEAP);
}

#[test]
fn one_that_gives_too_little_is_followed_by_the_next() {
    // A request for two blocks in a row, which the source has when both are back.
    static HEAP: Heap = heap(3 * BLOCK_SIZE);
    hoard(&HEAP, [Action::Frees; 4]);
    let region = Object::new(&HEAP, layout(2 * BLOCK_SIZE, 8), 2);
    assert_eq!(asked(), [0, 1, 2], "the third block is the record's");
    region.free(&HEAP);
    end(&HEAP);
}

#[test]
fn one_that_says_no_is_believed() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    let actions = [Action::FreesInSecret, Action::Nothing];
    hoard(&HEAP, [actions[1], actions[0], actions[1], actions[1]]);
    assert!(allocate(&HEAP, layout(100, 8)).is_null());
    assert_eq!(asked(), [0, 1, 2, 3]);
    Object::new(&HEAP, layout(100, 8), 1).free(&HEAP);
    assert_eq!(asked(), [], "now there is memory");
    end(&HEAP);
}

#[test]
fn they_are_told_what_was_asked_for() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    hoard(&HEAP, [Action::Nothing; 4]);
    let told = || {
        let list = ASKED.take();
        assert!(list.iter().all(|entry| entry.1 == list[0].1));
        list[0].1
    };
    for asked in [
        layout(0, 1),
        layout(100, 64),
        layout(50_000, 8),
        layout(1 << 20, 1 << 20),
        layout(isize::MAX as usize, 1),
    ] {
        assert!(allocate(&HEAP, asked).is_null());
        assert_eq!(told(), asked);
        // SAFETY: the heap takes any layout.
        assert!(unsafe { HEAP.alloc_zeroed(asked) }.is_null());
        assert_eq!(told(), asked);
    }
    let mut object = HOARD.with_borrow_mut(|hoard| hoard.pop().expect("a block"));
    assert!(!object.resize(&HEAP, 1 << 20, 1));
    assert_eq!(told(), layout(1 << 20, 8), "the layout with the new size");
    object.free(&HEAP);
    end(&HEAP);
}

#[test]
fn growing_gets_what_they_free() {
    static HEAP: Heap = heap(3 * BLOCK_SIZE);
    hoard(
        &HEAP,
        [
            Action::Nothing,
            Action::Frees,
            Action::Nothing,
            Action::Nothing,
        ],
    );
    let mut object = HOARD.with_borrow_mut(|hoard| hoard.pop().expect("a block"));
    // `resize` asserts that the contents came along.
    assert!(
        object.resize(&HEAP, 1000, 2),
        "into a block that was hoarded"
    );
    assert_eq!(asked(), [0, 1]);
    object.free(&HEAP);
    end(&HEAP);
}

#[test]
fn what_they_ask_for_themselves_is_answered_without_asking_again() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    in_time(|| {
        hoard(
            &HEAP,
            [
                Action::Allocates,
                Action::Allocates,
                Action::Nothing,
                Action::Frees,
            ],
        );
        let object = Object::new(&HEAP, layout(63 * PAGE_SIZE, 8), 2);
        assert_eq!(asked(), [0, 1, 2, 3]);
        assert_eq!(HEAP.statistics().failures, 4, "theirs, not the caller's");
        object.free(&HEAP);
        end(&HEAP);
    });
}

#[test]
fn they_may_use_all_of_the_heap() {
    static HEAP: Heap = heap(2 * BLOCK_SIZE);
    in_time(|| {
        hoard(
            &HEAP,
            [
                Action::Nothing,
                Action::Meddles,
                Action::Nothing,
                Action::Frees,
            ],
        );
        let object = Object::new(&HEAP, layout(1000, 8), 2);
        assert_eq!(asked(), [0, 1, 2, 3]);
        object.free(&HEAP);
        end(&HEAP);
    });
}

#[test]
fn urgent_requests_do_not_wait_for_them() {
    static HEAP: Heap = heap(3 * BLOCK_SIZE);
    assert_eq!(HEAP.set_reserve(1, || true), 1);
    hoard(&HEAP, [Action::Frees; 4]);
    let whole = layout(63 * PAGE_SIZE, 8);
    let first = Object::new(&HEAP, whole, 2);
    assert_eq!(HEAP.statistics().blocks_reserved, 0, "it took the reserve");
    assert!(allocate(&HEAP, whole).is_null());
    assert_eq!(asked(), []);
    assert_eq!(HEAP.statistics().failures, 1);
    // Once nothing is urgent any more, they are asked.
    HEAP.set_reserve(0, || false);
    let second = Object::new(&HEAP, whole, 3);
    assert_eq!(asked(), [0]);
    first.free(&HEAP);
    second.free(&HEAP);
    end(&HEAP);
}

#[test]
fn there_is_room_for_a_few_alone() {
    static HEAP: Heap = heap(0);
    for _ in 0..MOST_SHRINKERS {
        assert_eq!(
            HEAP.add_shrinker(|_| COUNTED.fetch_add(1, Ordering::Relaxed) > 99),
            Ok(())
        );
    }
    for _ in 0..3 {
        assert_eq!(
            HEAP.add_shrinker(|_| unreachable!("it was refused")),
            Err(TooManyShrinkers)
        );
    }
    assert!(allocate(&HEAP, layout(1, 1)).is_null());
    assert_eq!(COUNTED.load(Ordering::Relaxed), MOST_SHRINKERS);
    assert_eq!(
        TooManyShrinkers.to_string(),
        "a heap asks at most 8 shrinkers"
    );
}

/// Calls of a shrinker that only counts.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// What threads share in the next test: a heap, and a cache that any of them may be asked to empty.
static SHARED: Heap = heap(4 * BLOCK_SIZE);
static CACHE: Mutex<Vec<Object>> = Mutex::new(Vec::new());
static IS_BUSY: AtomicBool = AtomicBool::new(false);
static EMPTIED: AtomicUsize = AtomicUsize::new(0);

/// Empties half of the cache, if nobody else has it in hand.
fn empty_cache(_: Layout) -> bool {
    assert!(
        !IS_BUSY.swap(true, Ordering::AcqRel),
        "asked from two sides at a time"
    );
    let half = CACHE.try_lock().map(|mut cache| {
        let half = cache.len().div_ceil(2);
        cache.drain(..half).collect::<Vec<Object>>()
    });
    let mut any = false;
    for object in half.into_iter().flatten() {
        object.free(&SHARED);
        any = true;
    }
    EMPTIED.fetch_add(usize::from(any), Ordering::Relaxed);
    IS_BUSY.store(false, Ordering::Release);
    any
}

#[test]
fn threads_that_run_out_together_ask_one_at_a_time() {
    assert_eq!(SHARED.add_shrinker(empty_cache), Ok(()));
    let rounds = if cfg!(miri) { 60 } else { 20_000 };
    let work = move |seed| {
        let mut numbers = Numbers::new(seed);
        for _ in 0..rounds {
            let asked = layout(numbers.size(14), 8);
            let Some(object) = Object::try_new(&SHARED, asked, 7) else {
                continue;
            };
            let mut cache = CACHE.lock().expect("no test failed");
            cache.push(object);
        }
    };
    in_time(move || {
        let threads: Vec<_> = (1..5)
            .map(|seed| thread::spawn(move || work(seed)))
            .collect();
        for thread in threads {
            thread.join().expect("the work was done");
        }
    });
    assert!(EMPTIED.load(Ordering::Relaxed) > 0 || cfg!(miri));
    assert_sound(&SHARED);
    for object in CACHE.lock().expect("no test failed").drain(..) {
        object.free(&SHARED);
    }
    assert_empty(&SHARED);
}

#[test]
fn one_that_unwinds_ends_the_program() {
    const CHILD: &str = "STACK_ALLOC_UNWINDING_SHRINKER";
    static HEAP: Heap = heap(0);
    if std::env::var_os(CHILD).is_some() {
        HEAP.add_shrinker(|_| panic!("unwinding"))
            .expect("room for one");
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
            allocate(&HEAP, layout(8, 8));
        }));
        // Reached by a panic alone that came through the allocator.
        println!("it came through: {unwound:?}");
        std::process::exit(0);
    }
    if cfg!(miri) {
        // There are no processes.
        return;
    }
    let program = std::env::current_exe().expect("a running program has a file");
    let output = Command::new(program)
        .args([
            "--exact",
            "one_that_unwinds_ends_the_program",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .expect("the program starts again");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("what a heap calls must not unwind out of it"),
        "{said}"
    );
}
