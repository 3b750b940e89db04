//! Collections that name their allocator: `Vec`, `Box` and others over heaps of their own.
#![feature(allocator_api, btreemap_alloc)]

mod common;

use core::alloc::{Allocator as _, Layout};
use core::ptr::NonNull;
use std::collections::{BTreeMap, VecDeque};

use common::{Heap, assert_empty, assert_sound, heap, layout, remember, seen};
use proptest::prelude::{any, prop_oneof};
use proptest::{collection, prelude::Strategy, proptest};
use stack_alloc::{MisuseKind, PAGE_SIZE};

#[test]
fn vectors_grow_and_shrink_with_their_contents() {
    let heap = heap(64 << 20);
    let mut vector = Vec::new_in(&heap);
    for number in 0..300_000_u32 {
        vector.push(number);
    }
    assert_sound(&heap);
    vector.truncate(1000);
    vector.shrink_to_fit();
    assert!(vector.iter().copied().eq(0..1000));
    assert!(heap.statistics().bytes_requested < 5000);
    drop(vector);
    assert_empty(&heap);
}

#[test]
fn collections_of_two_heaps_do_not_mix() {
    let (one, two) = (heap(16 << 20), heap(16 << 20));
    let mut map = BTreeMap::new_in(&one);
    let mut queue = VecDeque::new_in(&two);
    for number in 0..2000_u64 {
        map.insert(number, Box::new_in(number, &two));
        queue.push_back(Box::new_in([number; 5], &one));
    }
    assert!(
        map.values()
            .all(|value| two.what_is(address(&**value)).object().is_some())
    );
    assert!(
        queue
            .iter()
            .all(|value| one.what_is(address(&**value)).object().is_some())
    );
    drop(map);
    drop(queue);
    assert_empty(&one);
    assert_empty(&two);
}

/// Returns the address of what is referred to.
fn address<T>(value: &T) -> usize {
    core::ptr::from_ref(value).addr()
}

#[test]
fn out_of_memory_is_an_error() {
    let heap = heap(1 << 20);
    let mut vector: Vec<u8, _> = Vec::new_in(&heap);
    assert!(vector.try_reserve(16 << 20).is_err());
    assert!(vector.try_reserve(100_000).is_ok());
    drop(vector);
    assert_empty(&heap);
}

#[test]
fn what_has_no_size_takes_no_memory() {
    let heap = heap(0);
    for align in [1, 8, PAGE_SIZE, 1 << 20] {
        let nothing = layout(0, align);
        let memory = heap.allocate(nothing).expect("nothing is always there");
        assert_eq!((memory.len(), memory.addr().get() % align), (0, 0));
        // SAFETY: it was allocated with this layout.
        unsafe { heap.deallocate(memory.cast(), nothing) };
    }
    assert_empty(&heap);
}

#[test]
fn a_wrong_free_is_reported() {
    let heap = heap(1 << 20);
    heap.set_misuse_handler(remember);
    let small = Layout::new::<u64>();
    let memory = heap.allocate(small).expect("there is memory").cast();
    for _ in 0..2 {
        // SAFETY: none for the second free, which the heap promises to notice.
        unsafe { heap.deallocate(memory, small) };
    }
    assert!(
        seen()
            .iter()
            .map(|misuse| misuse.kind)
            .eq([MisuseKind::DoubleFree])
    );
    assert_empty(&heap);
}

/// A live object whose bytes all are `fill`.
struct Object {
    memory: NonNull<u8>,
    layout: Layout,
    fill: u8,
}

impl Object {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the object is live, and all its bytes were written.
        unsafe { NonNull::slice_from_raw_parts(self.memory, self.layout.size()).as_ref() }
    }

    /// Asserts that its first bytes are what they were, up to `len`, and the rest zero if that was asked for.
    fn assert_kept(&self, len: usize, rest_is_zero: bool) {
        let (kept, rest) = self.bytes().split_at(len);
        assert!(kept.iter().all(|byte| *byte == self.fill));
        assert!(!rest_is_zero || rest.iter().all(|byte| *byte == 0));
    }

    fn refill(&mut self, fill: u8) {
        self.fill = fill;
        // SAFETY: the object is live and has that many bytes.
        unsafe { self.memory.write_bytes(fill, self.layout.size()) };
    }

    /// Changes size and alignment, by the method that the trait has for it.
    fn change(&mut self, heap: &Heap, new: Layout, zeroed: bool) {
        let (old, memory) = (self.layout, self.memory);
        let grows = new.size() >= old.size();
        let changed = if grows && zeroed {
            // SAFETY: the object is live with layout `old`, and its place is forgotten.
            unsafe { heap.grow_zeroed(memory, old, new) }
        } else if grows {
            // SAFETY: likewise.
            unsafe { heap.grow(memory, old, new) }
        } else {
            // SAFETY: likewise.
            unsafe { heap.shrink(memory, old, new) }
        };
        let changed = changed.expect("there is memory");
        assert_eq!(
            (changed.len(), changed.addr().get() % new.align()),
            (new.size(), 0)
        );
        (self.memory, self.layout) = (changed.cast(), new);
        self.assert_kept(
            old.size().min(new.size()),
            zeroed && new.size() >= old.size(),
        );
    }
}

/// Sizes of every kind, nothing among them.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, 0..20_000_usize, 0..1_000_000_usize]
}

proptest! {
    #[test]
    fn contents_survive_every_change_of_layout(
        changes in collection::vec((sizes(), 0..14_u32, any::<bool>()), 1..12)
    ) {
        let heap = heap(64 << 20);
        let first = layout(10, 2);
        let memory = heap.allocate(first).expect("there is memory").cast();
        let mut object = Object { memory, layout: first, fill: 0 };
        object.refill(1);
        for (fill, (size, log_align, zeroed)) in (2..).zip(changes) {
            object.change(&heap, layout(size, 1 << log_align), zeroed);
            object.refill(fill);
        }
        // SAFETY: the object is live with this layout, and forgotten.
        unsafe { heap.deallocate(object.memory, object.layout) };
        assert_empty(&heap);
    }
}
