//! The scope: objects apart and aligned, pieces as documented, and all of it back at the end.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::alloc::System;
use std::thread;

use common::{Heap, Numbers, assert_empty, heap, layout};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::{collection, proptest};
use stack_alloc::{FaultInjector, LARGEST_PIECE, SMALLEST_PIECE, Scope};

/// Bytes of a piece that are its header: a link, and a layout.
const HEADER_SIZE: usize = 3 * size_of::<usize>();

/// Returns what a scope can tell of itself.
fn figures(scope: &Scope<'_, impl GlobalAlloc>) -> (usize, usize, usize) {
    (scope.bytes_allocated(), scope.bytes_held(), scope.pieces())
}

#[test]
fn a_scope_that_is_not_used_needs_no_memory() {
    let heap = heap(0);
    let mut scope = Scope::new(&heap);
    scope.reset();
    assert_eq!(figures(&scope), (0, 0, 0));
    drop(scope);
    assert_eq!(heap.source().requests(), 0);
}

#[test]
fn objects_keep_their_values_and_all_goes_back_at_once() {
    let heap = heap(4 << 20);
    let scope = Scope::new(&heap);
    let number = if cfg!(miri) { 200 } else { 5000 };
    let mut objects: Vec<&mut [usize; 3]> = (0..number)
        .map(|index| scope.alloc([index; 3]).expect("there is memory"))
        .collect();
    for object in &mut objects {
        object[1] += 1;
    }
    for (index, object) in objects.iter().enumerate() {
        assert_eq!(**object, [index, index + 1, index]);
    }
    assert_eq!(scope.bytes_allocated(), number * 3 * size_of::<usize>());
    assert_eq!(heap.statistics().live(), scope.pieces() as u64);
    let pieces = scope.pieces() as u64;
    drop(scope);
    assert_eq!(heap.statistics().frees(), pieces);
    assert_empty(&heap);
}

#[test]
fn objects_follow_each_other_without_a_gap() {
    let heap = heap(1 << 20);
    let scope = Scope::new(&heap);
    let mut next = None;
    for size in [8, 16, 40, 8] {
        let object = scope.alloc_layout(layout(size, 8)).expect("memory");
        assert!(next.is_none_or(|next| next == object.addr().get()));
        next = Some(object.addr().get() + size);
    }
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn pieces_double_up_to_the_largest() {
    let heap = heap(4 << 20);
    let scope = Scope::new(&heap);
    let mut sizes = Vec::new();
    for _ in 0..9 {
        let before = scope.bytes_held();
        scope.alloc(1_u64).expect("there is memory");
        let size = scope.bytes_held() - before;
        sizes.push(size);
        // All of the piece but its header is for objects.
        let rest = layout(size - HEADER_SIZE - 8, 8);
        assert!(scope.alloc_layout(rest).is_some());
        assert_eq!(scope.bytes_held(), before + size);
    }
    let kib = sizes.iter().map(|size| size >> 10).collect::<Vec<_>>();
    assert_eq!(kib, [1, 2, 4, 8, 16, 32, 32, 32, 32]);
    assert_eq!((SMALLEST_PIECE, LARGEST_PIECE), (1 << 10, 32 << 10));
    assert_eq!(scope.pieces(), sizes.len());
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn a_piece_is_at_once_as_large_as_an_object_needs() {
    let heap = heap(4 << 20);
    let scope = Scope::new(&heap);
    assert!(scope.alloc_layout(layout(5000, 8)).is_some());
    assert_eq!(figures(&scope), (5000, 8 << 10, 1));
    // The same piece serves what comes next, and the next one is twice as large.
    assert!(scope.alloc_layout(layout(3000, 8)).is_some());
    assert_eq!(scope.pieces(), 1);
    assert!(scope.alloc_layout(layout(3000, 8)).is_some());
    assert_eq!(figures(&scope), (11_000, 24 << 10, 2));
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn an_object_larger_than_a_piece_gets_its_own() {
    let heap = heap(16 << 20);
    let scope = Scope::new(&heap);
    scope.alloc(1_u64).expect("there is memory");
    let largest = LARGEST_PIECE - HEADER_SIZE;
    for size in [largest + 1, 100_000, 3 << 20] {
        let before = scope.bytes_held();
        assert!(scope.alloc_layout(layout(size, 8)).is_some());
        let rounded = size.next_multiple_of(8) + HEADER_SIZE;
        assert_eq!(scope.bytes_held(), before + rounded);
    }
    assert_eq!(scope.pieces(), 4);
    // The first piece is still in use, and the next one as large as it would have been.
    scope.alloc(2_u64).expect("there is memory");
    assert_eq!(scope.pieces(), 4);
    let before = scope.bytes_held();
    assert!(scope.alloc_layout(layout(1000, 8)).is_some());
    assert_eq!(scope.bytes_held(), before + 2 * SMALLEST_PIECE);
    assert!(scope.alloc_layout(layout(largest, 8)).is_some());
    assert_eq!(
        scope.bytes_held(),
        before + 2 * SMALLEST_PIECE + LARGEST_PIECE
    );
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn every_alignment_is_kept() {
    let heap = heap(64 << 20);
    for log in 0..=if cfg!(miri) { 13 } else { 21 } {
        let align = 1 << log;
        let scope = Scope::new(&heap);
        for size in [1, 7, 64, 1000, 40_000] {
            for align in [align, 1, 8] {
                let object = scope.alloc_layout(layout(size, align)).expect("memory");
                assert_eq!(object.addr().get() % align, 0);
                // SAFETY: the object has that many bytes. A header that lies in it would show at the end.
                unsafe { object.write_bytes(0xff, size) };
            }
        }
        drop(scope);
        assert_empty(&heap);
    }
}

#[test]
fn a_large_alignment_costs_no_second_one() {
    let heap = heap(16 << 20);
    let scope = Scope::new(&heap);
    let align = 1 << 20;
    assert!(scope.alloc_layout(layout(align, align)).is_some());
    assert_eq!(scope.bytes_held(), align + HEADER_SIZE);
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn nothing_is_aligned_too_and_costs_nothing() {
    let heap = heap(0);
    let scope = Scope::new(&heap);
    #[repr(align(4096))]
    #[derive(Debug, PartialEq)]
    struct Nothing;
    assert_eq!(scope.alloc(Nothing), Ok(&mut Nothing));
    assert_eq!(scope.alloc(()), Ok(&mut ()));
    assert_eq!(scope.alloc_slice_copy::<u64>(&[]), Some(&mut [][..]));
    let object = scope.alloc_layout(layout(0, 1 << 20)).expect("no bytes");
    assert_eq!(object.addr().get() % (1 << 20), 0);
    assert_eq!(figures(&scope), (0, 0, 0));
}

#[test]
fn slices_are_copied() {
    let heap = heap(1 << 20);
    let scope = Scope::new(&heap);
    let mut source = [1_u32, 2, 3];
    let copy = scope.alloc_slice_copy(&source).expect("there is memory");
    source[0] = 9;
    copy[2] = 7;
    assert_eq!((source, &*copy), ([9, 2, 3], &[1, 2, 7][..]));
    let text = scope.alloc_slice_copy(b"text").expect("there is memory");
    assert_eq!((&*text, &*copy), (&b"text"[..], &[1, 2, 7][..]));
    let large = vec![5_u16; 100_000];
    assert_eq!(scope.alloc_slice_copy(&large).expect("memory"), &large[..]);
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn no_destructor_runs() {
    struct Loud<'c>(&'c Cell<usize>);
    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let heap = heap(1 << 20);
    let dropped = Cell::new(0);
    let mut scope = Scope::new(&heap);
    for _ in 0..3 {
        let object = scope.alloc(ManuallyDrop::new(Loud(&dropped)));
        assert_eq!(object.map_err(|_| "no memory").unwrap().0.get(), 0);
    }
    scope.reset();
    drop(scope);
    assert_eq!(dropped.get(), 0);
    // Where one shall run, the user runs it.
    let scope = Scope::new(&heap);
    let object = scope.alloc(ManuallyDrop::new(Loud(&dropped)));
    // SAFETY: it is not used afterwards.
    unsafe { ManuallyDrop::drop(object.map_err(|_| "no memory").unwrap()) };
    assert_eq!(dropped.get(), 1);
    drop(scope);
    assert_eq!(dropped.get(), 1);
    assert_empty(&heap);
}

#[test]
fn a_reset_scope_begins_again_in_its_newest_piece() {
    let heap = heap(4 << 20);
    let mut scope = Scope::new(&heap);
    for round in 0..5 {
        for _ in 0..4000 {
            scope.alloc([round; 3]).expect("there is memory");
        }
        assert!(scope.alloc_layout(layout(100_000, 8)).is_some());
        scope.reset();
        assert_eq!(scope.bytes_allocated(), 0);
        assert_eq!(scope.pieces(), 1);
        assert_eq!(heap.statistics().live(), 1);
    }
    assert_eq!(scope.bytes_held(), LARGEST_PIECE);
    // All of it is to be had, without the heap.
    heap.source().set_left(0);
    let all = layout(LARGEST_PIECE - HEADER_SIZE, 8);
    for _ in 0..3 {
        assert!(scope.alloc_layout(all).is_some());
        scope.reset();
    }
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn a_scope_with_large_objects_alone_is_reset_to_nothing() {
    let heap = heap(4 << 20);
    let mut scope = Scope::new(&heap);
    assert!(scope.alloc_layout(layout(100_000, 8)).is_some());
    scope.reset();
    assert_eq!(figures(&scope), (0, 0, 0));
    assert_empty(&heap);
    assert!(scope.alloc_layout(layout(100, 8)).is_some());
    drop(scope);
    assert_empty(&heap);
}

#[test]
fn without_memory_the_scope_stays_as_it_was() {
    let heap: FaultInjector<Heap> = FaultInjector::new(heap(4 << 20));
    let scope = Scope::new(&heap);
    for held in [0, SMALLEST_PIECE] {
        heap.fail_every(1);
        let before = figures(&scope);
        assert_eq!(before.1, held);
        assert_eq!(scope.alloc([7_u8; 1001]), Err([7; 1001]));
        assert!(scope.alloc_slice_copy(&[0_u8; 2000]).is_none());
        assert!(scope.alloc_layout(layout(100_000, 8)).is_none());
        assert!(scope.alloc_layout(layout(1, 4096)).is_none());
        assert_eq!(figures(&scope), before);
        heap.clear();
        scope.alloc(1_u64).expect("there is memory");
    }
    // What is left of a piece is there even so.
    heap.fail_every(1);
    assert!(scope.alloc_layout(layout(900, 8)).is_some());
    drop(scope);
    assert_empty(heap.heap());
}

#[test]
fn impossible_layouts_are_refused() {
    let heap = heap(4 << 20);
    let scope = Scope::new(&heap);
    let largest = isize::MAX as usize;
    for align in [1, 8, 1 << 20, 1 << 62] {
        let size = largest / align * align;
        for size in [size, size - size / 7, align.min(size)] {
            let Ok(layout) = Layout::from_size_align(size, align) else {
                continue;
            };
            if size > 4 << 20 {
                assert!(scope.alloc_layout(layout).is_none());
            }
        }
    }
    assert_eq!(figures(&scope), (0, 0, 0));
}

#[test]
fn smaller_pieces_are_tried_when_memory_is_short() {
    let heap: FaultInjector<Heap> = FaultInjector::new(heap(4 << 20));
    let scope = Scope::new(&heap);
    assert!(scope.alloc_layout(layout(20_000, 8)).is_some());
    assert!(scope.alloc_layout(layout(12_000, 8)).is_some());
    heap.fail_above(3000);
    let (requests, held) = (heap.requests(), scope.bytes_held());
    assert!(scope.alloc_layout(layout(1500, 8)).is_some());
    assert_eq!(scope.bytes_held(), held + 2048);
    assert_eq!(heap.requests(), requests + 5, "32, 16, 8, 4, 2 KiB");
    // Not less than the object needs.
    let requests = heap.requests();
    assert!(scope.alloc_layout(layout(5000, 8)).is_none());
    assert_eq!(heap.requests(), requests + 1);
    heap.fail_above(0);
    assert!(scope.alloc_layout(layout(1500, 8)).is_none());
    drop(scope);
    assert_empty(heap.heap());
}

/// A program that uses a scope of some MiB. Returns how often there was no memory.
fn workload(heap: &impl GlobalAlloc, rounds: usize) -> usize {
    let mut numbers = Numbers::new(11);
    let mut scope = Scope::new(heap);
    let mut failures = 0;
    for _ in 0..2 {
        for _ in 0..rounds {
            let before = figures(&scope);
            let layout = layout(numbers.size(16), 1 << numbers.below(7));
            if scope.alloc_layout(layout).is_some() {
                assert_eq!(scope.bytes_allocated(), before.0 + layout.size());
            } else {
                failures += 1;
                assert_eq!(figures(&scope), before);
            }
        }
        scope.reset();
    }
    failures
}

#[test]
fn a_source_that_fails_at_any_time_loses_nothing() {
    let rounds = if cfg!(miri) { 15 } else { 300 };
    for refused in 1.. {
        let heap = heap(64 << 20);
        heap.source().refuse(refused);
        // The heap or the scope may make do with other memory: no request need fail.
        workload(&heap, rounds);
        assert_empty(&heap);
        if heap.source().requests() < refused {
            assert!(refused > 1, "the workload needs blocks");
            break;
        }
    }
}

#[test]
fn a_heap_that_fails_at_any_time_loses_nothing() {
    let rounds = if cfg!(miri) { 15 } else { 300 };
    let mut failures = 0;
    for nth in 1.. {
        let heap: FaultInjector<Heap> = FaultInjector::new(heap(64 << 20));
        heap.fail_nth(nth);
        failures += workload(&heap, rounds);
        assert_empty(heap.heap());
        if heap.failures() == 0 {
            assert_eq!(heap.requests(), nth - 1);
            assert!(nth > 3 && failures > 0, "the workload needs memory");
            break;
        }
    }
}

#[test]
fn a_scope_may_go_to_another_thread() {
    let heap = heap(1 << 20);
    let scope = Scope::new(&heap);
    scope.alloc(1_u64).expect("there is memory");
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut scope = scope;
            scope.alloc(2_u64).expect("there is memory");
            scope.reset();
        });
    });
    assert_empty(&heap);
}

#[test]
fn is_send_if_the_heap_is_sync_and_never_sync() {
    /// Whether a type is `Send` and `Sync`: the constants of `No` are found if those of `Probe` do not apply.
    struct Probe<T>(PhantomData<T>);
    trait No {
        const SEND: bool = false;
        const SYNC: bool = false;
    }
    impl<T> No for Probe<T> {}
    impl<T: Send> Probe<T> {
        const SEND: bool = true;
    }
    impl<T: Sync> Probe<T> {
        const SYNC: bool = true;
    }
    /// A heap that belongs to one thread.
    struct Local(PhantomData<*mut u8>);
    // SAFETY: null is an answer.
    unsafe impl GlobalAlloc for Local {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }
    const {
        assert!(Probe::<Scope<'_, System>>::SEND && !Probe::<Scope<'_, System>>::SYNC);
        assert!(!Probe::<Scope<'_, Local>>::SEND && !Probe::<Scope<'_, Local>>::SYNC);
        assert!(Probe::<u8>::SYNC, "the probe can say yes");
    }
}

/// One step of a random program.
#[derive(Clone, Debug)]
enum Action {
    /// Hand out so many bytes, so aligned.
    Allocate(Layout),
    /// Free all.
    Reset,
    /// The next so many requests of the heap fail.
    Fail(usize),
}

fn actions() -> impl Strategy<Value = Action> {
    let sizes = (0_u32..17, 0_usize..1 << 17);
    let sizes = sizes.prop_map(|(log, noise)| (1 << log) - 1 + noise % (1 << log));
    let aligns = prop_oneof![8 => 0_u32..5, 1 => 5_u32..15];
    prop_oneof![
        40 => (sizes, aligns).prop_map(|(size, log)| Action::Allocate(layout(size, 1 << log))),
        1 => Just(Action::Reset),
        1 => (1_usize..8).prop_map(Action::Fail),
    ]
}

/// A scope, and what it should have handed out.
struct Shadow<'h> {
    scope: Scope<'h, FaultInjector<Heap>>,
    live: Vec<(NonNull<u8>, Layout, u8)>,
}

impl Shadow<'_> {
    /// Asks for memory and fills it.
    fn allocate(&mut self, layout: Layout, fill: u8) {
        let before = figures(&self.scope);
        let Some(object) = self.scope.alloc_layout(layout) else {
            assert_eq!(figures(&self.scope), before);
            return;
        };
        assert_eq!(object.addr().get() % layout.align(), 0);
        // SAFETY: the object has that many bytes.
        unsafe { object.write_bytes(fill, layout.size()) };
        self.live.push((object, layout, fill));
    }

    /// Asserts that the objects are apart, and as they were filled.
    fn check(&self) {
        let mut ranges = Vec::new();
        for (object, layout, fill) in &self.live {
            // SAFETY: the object has that many bytes, all of which were written.
            let bytes = unsafe { core::slice::from_raw_parts(object.as_ptr(), layout.size()) };
            // Each byte like the one before it: one comparison of memory, where a loop takes minutes under Miri.
            let intact = bytes
                .split_first()
                .is_none_or(|(first, rest)| first == fill && rest == &bytes[..rest.len()]);
            assert!(intact, "contents changed");
            ranges.push((object.addr().get(), layout.size()));
        }
        ranges.retain(|(_, size)| *size > 0);
        ranges.sort_unstable();
        let apart = |pair: &[(usize, usize)]| pair[0].0 + pair[0].1 <= pair[1].0;
        assert!(ranges.windows(2).all(apart), "objects overlap");
        let bytes: usize = ranges.iter().map(|(_, size)| size).sum();
        assert_eq!(self.scope.bytes_allocated(), bytes);
        assert!(self.scope.bytes_held() >= bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_its_shadow(actions in collection::vec(actions(), 1..if cfg!(miri) { 40 } else { 200 })) {
        let heap: FaultInjector<Heap> = FaultInjector::new(heap(256 << 20));
        let mut shadow = Shadow { scope: Scope::new(&heap), live: Vec::new() };
        let mut failing = 0;
        for (fill, action) in (1_u8..=250).cycle().zip(actions) {
            match action {
                Action::Allocate(layout) => shadow.allocate(layout, fill),
                Action::Fail(requests) => failing = heap.requests() + requests,
                Action::Reset => {
                    shadow.check();
                    shadow.live.clear();
                    shadow.scope.reset();
                }
            }
            heap.fail_every(usize::from(heap.requests() < failing));
        }
        shadow.check();
        drop(shadow);
        assert_empty(heap.heap());
    }
}
