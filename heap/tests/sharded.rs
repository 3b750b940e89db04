//! A heap of many shards, driven from one thread that says which CPU it is: every order of events is one that the test chose.

mod common;

use common::chosen_cpu::{on, waiting};
use common::heap_under_test::ShardedHeap;
use common::{
    CountingSource, HeapUnderTest, Object, assert_empty_after_trim, assert_sound, give_back,
    layout, reallocate, remember, seen,
};
use stack_alloc::{BLOCK_SIZE, KEPT_BLOCKS, MisuseKind, PAGE_SIZE, Place};

/// A heap of four shards.
type Sharded = ShardedHeap<CountingSource, 4>;

/// Creates a heap whose source gives at most `limit` bytes at a time.
fn heap(limit: usize) -> Sharded {
    let heap = Sharded::new(CountingSource::new(limit));
    heap.set_misuse_handler(remember);
    heap
}

#[test]
fn what_another_cpu_gives_back_is_handed_out_again() {
    let heap = heap(64 << 20);
    for size in [
        1,
        16,
        64,
        100,
        4096,
        16384,
        20_000,
        200_000,
        252 << 10,
        300_000,
        5 << 20,
    ] {
        let objects: Vec<Object> = on(0, || {
            (0..=u8::MAX)
                .map_while(|n| Object::try_new(&heap, layout(size, 8), n))
                .collect()
        });
        assert_sound(&heap);
        assert_eq!(heap.statistics().live(), objects.len() as u64);
        on(1, || {
            objects.into_iter().for_each(|object| object.free(&heap));
        });
        assert_sound(&heap);
        assert_eq!(heap.statistics().live(), 0, "of {size} bytes");
    }
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn memory_goes_home_though_the_owner_never_looks() {
    let heap = heap(64 << 20);
    let objects: Vec<Object> = on(0, || {
        (0..=u8::MAX)
            .cycle()
            .take(100_000)
            .map(|n| Object::new(&heap, layout(64, 8), n))
            .collect()
    });
    on(1, || {
        objects.into_iter().for_each(|object| object.free(&heap));
    });
    let blocks = heap.source().bytes_out() / BLOCK_SIZE;
    assert!(blocks <= KEPT_BLOCKS + 1 + 1, "{blocks} blocks are out");
    assert_empty_after_trim(&heap);
}

#[test]
fn nobody_starves_while_another_one_hoards() {
    let heap = heap(16 << 20);
    let objects: Vec<Object> = on(0, || {
        core::iter::from_fn(|| Object::try_new(&heap, layout(1000, 8), 1)).collect()
    });
    assert_eq!(heap.statistics().failures, 1);
    // Every second one: no block falls idle.
    let count = objects.len();
    let mut rest = Vec::new();
    on(0, || {
        for (n, object) in objects.into_iter().enumerate() {
            if n % 2 == 0 {
                object.free(&heap);
            } else {
                rest.push(object);
            }
        }
    });
    on(2, || {
        for _ in 0..count / 2 - 64 {
            rest.push(Object::new(&heap, layout(1000, 8), 2));
        }
    });
    assert!(heap.cpu_statistics(2).unwrap().blocks > 1, "blocks moved");
    assert_sound(&heap);
    on(3, || rest.into_iter().for_each(|object| object.free(&heap)));
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn what_is_held_is_counted_wherever_it_waits() {
    let heap = heap(64 << 20);
    assert_eq!(heap.set_reserve(2, || false), 2);
    assert_eq!(heap.statistics().blocks_reserved, 2);
    assert_eq!(heap.statistics().blocks_idle, 0);
    assert_sound(&heap);
    // Blocks that fall idle, and a region, while nobody may be waited for.
    let objects: Vec<_> = [200_000, 200_000, 200_000, 1 << 20]
        .map(|size| on(0, || Object::new(&heap, layout(size, 8), 1)))
        .into();
    let held = heap.statistics().bytes_held;
    for (cpu, object) in objects.into_iter().enumerate() {
        on(cpu % 2, || waiting(false, || object.free(&heap)));
        assert_eq!(heap.statistics().live(), 3 - cpu as u64);
        assert_sound(&heap);
    }
    assert_eq!(heap.statistics().bytes_held, held);
    assert_eq!(heap.statistics().bytes_requested, 0);
    heap.trim();
    assert_eq!(heap.source().bytes_out(), 2 * BLOCK_SIZE);
    heap.set_reserve(0, || false);
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn requests_that_may_not_wait_are_counted_when_they_fail() {
    let heap = heap(64 << 20);
    waiting(false, || {
        assert!(Object::try_new(&heap, layout(64, 8), 1).is_none());
        assert!(Object::try_new(&heap, layout(1 << 20, 8), 1).is_none());
    });
    assert_eq!(heap.statistics().failures, 2);
    assert_empty_after_trim(&heap);
}

#[test]
fn what_can_never_be_had_costs_nobody_his_idle_blocks() {
    let heap = heap(64 << 20);
    for cpu in 0..Sharded::CPUS {
        on(cpu, || {
            Object::new(&heap, layout(200_000, 8), 1).free(&heap);
        });
    }
    let (held, requests) = (heap.source().bytes_out(), heap.source().requests());
    assert_eq!(held, Sharded::CPUS * BLOCK_SIZE);
    let most = isize::MAX.unsigned_abs();
    for size in [most, most - 7, most - PAGE_SIZE + 1] {
        assert!(Object::try_new(&heap, layout(size, 1), 1).is_none());
    }
    assert_eq!(heap.statistics().failures, 3);
    assert_eq!(heap.source().requests(), requests, "nobody was asked");
    assert_eq!(heap.source().bytes_out(), held);
    assert_empty_after_trim(&heap);
}

#[test]
fn a_block_that_is_nearly_full_does_not_go_to_and_fro() {
    let heap = heap(4 << 20);
    let size = layout(1000, 8);
    let mut objects: Vec<Object> = on(0, || {
        core::iter::from_fn(|| Object::try_new(&heap, size, 1)).collect()
    });
    // One hole in all of the memory, for two who have none.
    let hole = objects.swap_remove(objects.len() / 2);
    on(0, || hole.free(&heap));
    let blocks = heap.cpu_statistics(0).unwrap().blocks;
    for cpu in [1, 2].repeat(10) {
        on(cpu, || Object::new(&heap, size, 2).free(&heap));
        assert_eq!(heap.cpu_statistics(0).unwrap().blocks, blocks);
    }
    (objects.into_iter()).for_each(|object| object.free(&heap));
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

/// A wrong free of what a shard holds now is not taken for one of what another shard held before.
#[test]
fn a_block_that_went_from_shard_to_shard_is_known_by_who_has_it() {
    let heap = heap(BLOCK_SIZE);
    let size = layout(100_000, 8);
    on(0, || Object::new(&heap, size, 1).free(&heap));
    let object = on(3, || Object::new(&heap, size, 2));
    let place = heap.what_is(object.pointer().addr() + size.size() + 50_000);
    assert_eq!(place, Place::FreePage);
    let wrong = object.pointer().wrapping_add(16);
    for cpu in 0..Sharded::CPUS {
        on(cpu, || give_back(&heap, wrong, size));
        assert!(on(cpu, || reallocate(&heap, wrong, size, 1)).is_null());
    }
    let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
    assert_eq!(kinds, [MisuseKind::Interior; 8]);
    let pointer = object.pointer();
    on(3, || object.free(&heap));
    on(3, || give_back(&heap, pointer, size));
    assert_eq!(seen()[0].kind, MisuseKind::DoubleFree);
    assert_empty_after_trim(&heap);
}

#[test]
fn any_number_of_regions_goes_home_after_a_context_that_may_not_wait() {
    let heap = heap(64 << 20);
    let regions: Vec<_> = (0..20)
        .map(|n| Object::new(&heap, layout(1 << 20, 8), n))
        .collect();
    for region in regions {
        waiting(false, || region.free(&heap));
    }
    heap.check().expect("the heap is sound");
    Object::new(&heap, layout(1 << 20, 8), 1).free(&heap);
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn memory_is_found_behind_any_number_of_messages() {
    const BLOCKS: usize = 200;
    let heap = heap(BLOCKS * BLOCK_SIZE);
    let all: Vec<Object> = on(0, || {
        core::iter::from_fn(|| Object::try_new(&heap, layout(8192, 8), 1)).collect()
    });
    // Of each block there is one message. That of the one that will have room is the last one to be looked at.
    let block = |object: &Object| object.pointer().addr() / BLOCK_SIZE;
    let last = all.iter().map(block).max_by_key(|block| block % 4096);
    let (last, mut others): (Vec<_>, Vec<_>) =
        (all.into_iter()).partition(|object| Some(block(object)) == last);
    others.sort_by_key(block);
    let mut rest = Vec::new();
    on(1, || {
        let mut before = None;
        for object in others {
            if before.replace(block(&object)) == Some(block(&object)) {
                rest.push(object);
            } else {
                object.free(&heap);
            }
        }
        last.into_iter().for_each(|object| object.free(&heap));
        rest.push(Object::new(&heap, layout(200_000, 8), 2));
    });
    on(0, || rest.into_iter().for_each(|object| object.free(&heap)));
    assert_empty_after_trim(&heap);
    assert_eq!(seen(), []);
}

#[test]
fn the_reserve_is_lowered_at_once_and_filled_with_what_falls_idle() {
    let heap = heap(6 * BLOCK_SIZE);
    assert_eq!(heap.set_reserve(6, || true), 6);
    // Urgent requests take all of it, but for one block.
    let mut blocks: Vec<Object> = (0..5)
        .map(|n| on(n % 4, || Object::new(&heap, layout(240_000, 8), 1)))
        .collect();
    assert_eq!(heap.statistics().blocks_reserved, 1);
    // Whoever gives something back fills it up.
    for reserved in 2..=4 {
        let block = blocks.remove(0);
        on(reserved, || block.free(&heap));
        heap.trim();
        assert_eq!(heap.statistics().blocks_reserved, reserved);
    }
    let object = blocks.remove(0);
    on(3, || object.free(&heap));
    assert_eq!(
        heap.statistics().blocks_reserved,
        5,
        "at once, by its owner"
    );
    assert_eq!(heap.set_reserve(0, || false), 0);
    assert_eq!(heap.source().bytes_out(), (KEPT_BLOCKS + 1) * BLOCK_SIZE);
    blocks.into_iter().for_each(|block| block.free(&heap));
    assert_empty_after_trim(&heap);
}

#[test]
fn what_shards_keep_becomes_the_reserve_when_memory_is_short() {
    let heap = heap(4 * BLOCK_SIZE);
    for cpu in 0..4 {
        on(cpu, || Object::new(&heap, layout(64, 8), 1).free(&heap));
    }
    assert_eq!(heap.source().left(), 0);
    assert_eq!(heap.set_reserve(3, || false), 3);
    assert_sound(&heap);
    heap.set_reserve(0, || false);
    assert_empty_after_trim(&heap);
}

#[test]
fn every_page_that_is_held_is_known_wherever_it_waits() {
    let heap = heap(64 << 20);
    let assert_known = || {
        for start in heap.source().addresses() {
            let places: Vec<Place> = (0..BLOCK_SIZE)
                .step_by(4096)
                .map(|offset| heap.what_is(start + offset + 8))
                .collect();
            assert_eq!(places[0], Place::Own, "the record");
            let is_unknown =
                |place: &Place| matches!(place, Place::Foreign | Place::GoneBack { .. });
            assert!(!places.iter().any(is_unknown), "{places:?}");
        }
    };
    // In use, idle, in the pool, held back, put aside.
    let objects: Vec<_> = (0..9)
        .map(|cpu| on(cpu, || Object::new(&heap, layout(240_000, 8), 1)))
        .collect();
    let pointers: Vec<_> = objects.iter().map(Object::pointer).collect();
    assert_known();
    for (n, object) in objects.into_iter().enumerate() {
        on(n, || waiting(n % 3 > 0, || object.free(&heap)));
        assert_known();
    }
    heap.set_reserve(8, || false);
    assert_known();
    for pointer in pointers {
        give_back(&heap, pointer, layout(240_000, 8));
        let kind = seen()[0].kind;
        let is_held = heap.source().owns(pointer.addr());
        assert_eq!(kind == MisuseKind::DoubleFree, is_held, "{kind:?}");
    }
    heap.set_reserve(0, || false);
    assert_empty_after_trim(&heap);
}

#[test]
fn what_another_cpu_gave_back_gets_no_other_size() {
    let heap = heap(1 << 20);
    for (size, new_size) in [(64, 60), (64, 500), (64, 5000), (1000, 64), (5000, 100)] {
        let size = layout(size, 8);
        let [object, neighbour] = [1, 2].map(|n| on(0, || Object::new(&heap, size, n)));
        let pointer = object.pointer();
        on(1, || object.free(&heap));
        assert!(on(0, || reallocate(&heap, pointer, size, new_size)).is_null());
        let [misuse] = seen()[..] else {
            panic!("{size:?} to {new_size}");
        };
        let found = (misuse.kind, misuse.address);
        assert_eq!(found, (MisuseKind::DoubleFree, pointer.addr()));
        on(0, || neighbour.free(&heap));
    }
    assert_empty_after_trim(&heap);
}
