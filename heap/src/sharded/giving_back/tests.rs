//! Frees that race with the owner's, step by step.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::alloc::System;
use std::vec::Vec;

use super::{Crossed, count};
use crate::current_cpu::CurrentCpu;
use crate::memory_source::MemorySource;
use crate::misuse::{Misuse, MisuseKind};
use crate::sharded::central::Blocks;
use crate::sharded::finding::Found;
use crate::sharded::remote_frees::GivenBack;
use crate::sharded_allocator::ShardedAllocator;
use crate::size_class::ClassIndex;
use crate::units::BLOCK_SIZE;

/// The host's memory.
struct Host;

/// The layout of a block.
const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a block is a valid layout"),
};

// SAFETY: the host gives memory that is valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { System.alloc(BLOCK) })
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: it came from `get_block` (the caller's promise).
        unsafe { System.dealloc(block.as_ptr(), BLOCK) };
    }
}

/// Everybody is on CPU 0.
struct Zero;

impl CurrentCpu for Zero {
    fn current_cpu() -> usize {
        0
    }

    fn may_wait() -> bool {
        MAY_WAIT.get()
    }
}

std::thread_local! {
    /// What [`remember`] was called with.
    static SEEN: RefCell<Vec<Misuse>> = const { RefCell::new(Vec::new()) };
    /// Whether the thread may wait.
    static MAY_WAIT: Cell<bool> = const { Cell::new(true) };
}

/// A handler that writes down what was wrong.
fn remember(misuse: Misuse) {
    SEEN.with_borrow_mut(|seen| seen.push(misuse));
}

/// Does what is left of a free by CPU 1 that has found the object live, when the owner frees it before that one sets his bit.
fn lose(heap: &ShardedAllocator<Host, Zero, spin::Mutex<()>, 2>, address: usize, layout: Layout) {
    let visit = heap.shards[1].visits.begin();
    let found = heap.central.find(address, layout, &visit);
    let Some(Found::InBlock {
        block,
        run,
        class,
        chunk,
    }) = found
    else {
        panic!("not found: {found:?}");
    };
    let given_back = block.remote_frees.give_back(run.first_page(), chunk);
    assert!(matches!(given_back, GivenBack::Noted(_)), "{given_back:?}");
    let place = Blocks::place_of(block.window());
    heap.shards[0].shared.inbox.post(place);
    let crossed = Crossed {
        list: class.map(ClassIndex::get),
        is_region: false,
        owner: 0,
        is_due: false,
    };
    count(&mut heap.shards[1].enter(), crossed, layout.size());
}

#[test]
fn a_free_that_raced_with_the_owner_s_is_reported_when_it_is_taken_in() {
    for size in [16, 64, 4096, 16 << 10] {
        let heap = ShardedAllocator::new(Host);
        heap.set_misuse_handler(remember);
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: the layout is not empty.
        let [pointer, neighbour] = [(); 2].map(|()| unsafe { heap.alloc(layout) });
        // SAFETY: it is live.
        unsafe { heap.dealloc(pointer, layout) };
        lose(&heap, pointer.addr(), layout);
        heap.trim();
        let seen = SEEN.take();
        let [misuse] = seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(misuse.kind, MisuseKind::DoubleFree);
        assert_eq!(misuse.address, pointer.addr());
        heap.check().expect("the heap is sound");
        assert_eq!(heap.statistics().live(), 1);
        assert_eq!(heap.statistics().bytes_requested, size);
        // SAFETY: it is live.
        unsafe { heap.dealloc(neighbour, layout) };
        heap.trim();
        assert_eq!(heap.statistics().bytes_held, 0);
        assert!(SEEN.take().is_empty());
    }
}

#[test]
fn who_may_not_wait_does_not_report_what_others_did() {
    let heap = ShardedAllocator::new(Host);
    heap.set_misuse_handler(remember);
    let [layout, other] = [64, 1000].map(|size| Layout::from_size_align(size, 8).expect("right"));
    // SAFETY: the layout is not empty.
    let [pointer, neighbour] = [(); 2].map(|()| unsafe { heap.alloc(layout) });
    // SAFETY: it is live.
    unsafe { heap.dealloc(pointer, layout) };
    lose(&heap, pointer.addr(), layout);
    // No stack has this at hand, so what was given back is taken in before.
    MAY_WAIT.set(false);
    // SAFETY: the layout is not empty.
    let object = unsafe { heap.alloc(other) };
    MAY_WAIT.set(true);
    assert_eq!(SEEN.take(), []);
    heap.trim();
    assert_eq!(SEEN.take().len(), 1);
    // SAFETY: they are live.
    unsafe { heap.dealloc(neighbour, layout) };
    // SAFETY: likewise.
    unsafe { heap.dealloc(object, other) };
    heap.trim();
    assert_eq!(heap.statistics().bytes_held, 0);
}
