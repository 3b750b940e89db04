//! What a misuse says of itself, and the handler that gets it: called without the lock, and never unwound through.

mod common;

use core::panic::AssertUnwindSafe;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::process::{Command, Output};

use common::{
    Heap, Object, allocate, assert_empty, give_back, heap, in_time, layout, reallocate, remember,
};
use stack_alloc::{Misuse, MisuseKind, ObjectKind, ObjectState, Place};

/// Returns the sentence of a misuse at 0x5010.
fn sentence(kind: MisuseKind, place: Place) -> String {
    let misuse = Misuse {
        kind,
        address: 0x5010,
        layout: layout(40, 8),
        place,
    };
    misuse.to_string()
}

/// Returns a place `offset` bytes into a chunk of 48 bytes.
fn in_chunk(offset: usize, state: ObjectState) -> Place {
    let object = stack_alloc::Object {
        address: 0x5010 - offset,
        size: 48,
        kind: ObjectKind::Chunk,
        state,
    };
    Place::Object { object, offset }
}

#[test]
fn sentences_say_what_is_wrong_and_what_is_there() {
    let live = |offset| in_chunk(offset, ObjectState::Live);
    let free = in_chunk(0, ObjectState::Free);
    let waiting = in_chunk(0, ObjectState::Quarantined);
    let gone = Place::GoneBack {
        address: 0x4000,
        size: 0x4000,
    };
    for (kind, place, words) in [
        (MisuseKind::Null, Place::Foreign, "the pointer is null"),
        (
            MisuseKind::Foreign,
            Place::Foreign,
            "it was not handed out here; the address is not in the memory of this heap",
        ),
        (
            MisuseKind::Foreign,
            Place::Own,
            "it was not handed out here; the address is in the heap's own records",
        ),
        (
            MisuseKind::GoneBack,
            gone,
            "all that was there has been freed; the address is in the 16384 bytes at 0x4000 that went back to the source",
        ),
        (
            MisuseKind::Interior,
            live(16),
            "it is not where an object begins; the address is 16 bytes into a live 48-byte chunk at 0x5000",
        ),
        (
            MisuseKind::DoubleFree,
            free,
            "it is free already; the address is the start of a free 48-byte chunk",
        ),
        (
            MisuseKind::DoubleFree,
            waiting,
            "it is free already; the address is the start of a freed, quarantined 48-byte chunk",
        ),
        (
            MisuseKind::DoubleFree,
            Place::FreePage,
            "it is free already; the address is in a free page",
        ),
        (
            MisuseKind::WrongSize,
            live(0),
            "a layout of that size gets another kind of object; the address is the start of a live 48-byte chunk",
        ),
        (
            MisuseKind::WrongAlignment,
            live(0),
            "the size is right, but not with that alignment; the address is the start of a live 48-byte chunk",
        ),
    ] {
        let expected = format!("wrong free of 0x5010 (size 40, align 8): {words}");
        assert_eq!(sentence(kind, place), expected);
    }
}

#[test]
fn sentences_about_the_source_blame_the_source() {
    assert_eq!(
        sentence(MisuseKind::SourceMisaligned, Place::Foreign),
        "wrong memory from the source at 0x5010 (size 40, align 8): it is not aligned as asked; \
         the address is not in the memory of this heap"
    );
    assert_eq!(
        sentence(MisuseKind::SourceOverlaps, Place::FreePage),
        "wrong memory from the source at 0x5010 (size 40, align 8): the heap holds some of it already; \
         the address is in a free page"
    );
}

#[test]
fn the_handler_may_use_the_heap() {
    static HEAP: Heap = heap(64 << 20);
    static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
    fn use_the_heap(misuse: Misuse) {
        assert_eq!(misuse.kind, MisuseKind::DoubleFree);
        assert_eq!(HEAP.statistics().live(), 1);
        HEAP.check().expect("the heap is sound");
        Object::new(&HEAP, layout(1000, 8), 1).free(&HEAP);
        HEAP.trim();
        HEAP.set_misuse_handler(remember);
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
    }
    // With the lock held, the handler would wait forever.
    in_time(|| {
        let small = layout(48, 8);
        let kept = Object::new(&HEAP, small, 1);
        let pointer = allocate(&HEAP, small);
        give_back(&HEAP, pointer, small);
        HEAP.set_misuse_handler(use_the_heap);
        give_back(&HEAP, pointer, small);
        HEAP.set_misuse_handler(use_the_heap);
        assert!(reallocate(&HEAP, pointer, small, 100).is_null());
        kept.free(&HEAP);
    });
    assert_eq!(ALLOCATED.load(Ordering::Relaxed), 2);
    assert_empty(&HEAP);
}

/// The variable that tells this program to misuse a heap, and how.
const CHILD: &str = "STACK_ALLOC_MISUSE";

/// Runs the test `name` of this program alone in another process, with [`CHILD`] set.
fn run_as_child(name: &str) -> Output {
    let program = std::env::current_exe().expect("a running program has a file");
    Command::new(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .output()
        .expect("the program starts again")
}

/// Returns whether this process was started by [`run_as_child`].
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn the_default_handler_panics_with_the_sentence() {
    let heap = heap(64 << 20);
    let small = layout(48, 8);
    let kept = Object::new(&heap, small, 1);
    if is_child() {
        let pointer = allocate(&heap, small);
        give_back(&heap, pointer, small);
        give_back(&heap, pointer, small);
        unreachable!("the program went on after a double free");
    }
    let output = run_as_child("the_default_handler_panics_with_the_sentence");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("wrong free of 0x"), "{said}");
    assert!(
        said.contains("(size 48, align 8): it is free already; the address is the start of a free 48-byte chunk"),
        "{said}"
    );
    assert!(!said.contains("went on"), "{said}");
    kept.free(&heap);
    assert_empty(&heap);
}

#[test]
fn a_handler_that_unwinds_ends_the_program() {
    let heap = heap(64 << 20);
    if is_child() {
        heap.set_misuse_handler(|_| panic!("unwinding"));
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
            give_back(&heap, ptr::null_mut(), layout(8, 8));
        }));
        // Reached by a panic alone that came through the allocator.
        println!("it came through: {unwound:?}");
        std::process::exit(0);
    }
    let output = run_as_child("a_handler_that_unwinds_ends_the_program");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("what a heap calls must not unwind out of it"),
        "{said}"
    );
}
