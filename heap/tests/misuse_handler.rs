//! What a misuse says of itself, and the handler that gets it: called without the lock, and never unwound through.

mod common;

use core::panic::AssertUnwindSafe;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::process::{Command, Output};

use common::{
    Heap, Object, allocate, assert_empty, give_back, heap, in_time, layout, reallocate, remember,
};
use stack_alloc::{Misuse, MisuseKind};

#[test]
fn sentences_say_what_is_there() {
    let of = |kind, object: Option<(usize, usize)>| {
        let misuse = Misuse {
            kind,
            address: 0x5010,
            layout: layout(40, 8),
            object: object.map(|(address, size)| stack_alloc::Object { address, size }),
        };
        let sentence = misuse.to_string();
        let what = sentence.strip_prefix("wrong free of 0x5010 (size 40, align 8): ");
        what.expect("the sentence names address and layout")
            .to_owned()
    };
    let at = |address, size| Some((address, size));
    for (kind, object, words) in [
        (MisuseKind::Null, None, "the pointer is null"),
        (MisuseKind::Foreign, None, "not memory of this heap"),
        (
            MisuseKind::Interior,
            at(0x5000, 48),
            "16 bytes inside the 48-byte object at 0x5000",
        ),
        (
            MisuseKind::DoubleFree,
            at(0x5010, 48),
            "the 48-byte chunk there is free already",
        ),
        (
            MisuseKind::DoubleFree,
            None,
            "the page there is free already",
        ),
        (MisuseKind::WrongSize, at(0x5010, 64), "64 bytes"),
        (MisuseKind::WrongAlignment, at(0x5010, 64), "64 bytes"),
    ] {
        let sentence = of(kind, object);
        assert!(sentence.contains(words), "{kind:?}: {sentence}");
        assert!(!sentence.contains('\n') && !sentence.ends_with('.'));
    }
    assert_ne!(
        of(MisuseKind::WrongSize, at(0x5010, 64)),
        of(MisuseKind::WrongAlignment, at(0x5010, 64))
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
        said.contains("(size 48, align 8): the 48-byte chunk there is free already"),
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
        said.contains("must not unwind out of the allocator"),
        "{said}"
    );
}
