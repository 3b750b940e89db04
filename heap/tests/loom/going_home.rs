//! Blocks and regions that go back to the source, or on to another shard, while somebody still looks at them.

use crate::world::{
    BLOCKS, REGION, misuses, model, on, on_without_waiting, shows_tried_locks, wait,
};

/// Bytes of an object.
const SIZE: usize = 1 << 10;

/// Bytes of an object that has a stack of its own in a small heap.
const LARGE: usize = 16 << 10;

/// Bytes of an object that takes most of a block.
const PAGES: usize = 160 << 10;

#[test]
fn the_last_free_while_the_owner_trims() {
    model(1, |world| {
        let object = world.allocate(SIZE);
        let other = on(1, &world, move |world| world.free(object));
        world.heap.trim();
        wait(other);
        world.finish();
    });
}

#[test]
fn a_double_free_while_the_owner_trims() {
    model(1, |world| {
        let object = world.allocate(SIZE);
        let other = on(1, &world, move |world| {
            world.free(object);
            world.free_unused(object);
        });
        world.heap.trim();
        wait(other);
        // If the first free was taken in right before the second one set its bit, it is found out now.
        world.heap.trim();
        assert_eq!(misuses().len(), 1);
        world.finish();
    });
}

#[test]
fn a_late_free_while_the_block_goes_on() {
    model(1, |world| {
        let object = world.allocate(SIZE);
        world.free(object);
        let late = on(1, &world, move |world| {
            world.free_unused(object);
            misuses().len()
        });
        // The block goes to the pool of all, and back to the source.
        world.heap.trim();
        assert_eq!(wait(late), 1);
        world.finish();
    });
}

#[test]
fn a_region() {
    model(1, |world| {
        let region = world.allocate(REGION);
        let other = on(1, &world, move |world| world.free(region));
        world.heap.trim();
        // It is handed out again if it has come back to the source.
        if let Some(again) = world.try_allocate(REGION) {
            world.free(again);
        }
        wait(other);
        world.finish();
    });
}

#[test]
fn a_region_by_who_may_not_wait() {
    model(1, |world| {
        let region = world.allocate(REGION);
        let other = on_without_waiting(0, &world, move |world| world.free(region));
        world.heap.trim();
        if let Some(again) = world.try_allocate(REGION) {
            world.free(again);
        }
        wait(other);
        world.finish();
    });
}

#[test]
fn a_region_that_two_free() {
    model(1, |world| {
        let region = world.allocate(REGION);
        world.forget(region);
        let other = on(1, &world, move |world| world.free_unused(region));
        world.free_unused(region);
        wait(other);
        assert_eq!(misuses().len(), 1);
        world.finish();
    });
}

#[test]
fn a_region_whose_owner_may_not_wait_either() {
    model(1, |world| {
        let region = world.allocate(REGION);
        let other = on_without_waiting(1, &world, move |world| world.free(region));
        let owner = on_without_waiting(0, &world, |world| {
            if let Some(object) = world.try_allocate(LARGE) {
                world.free(object);
            }
        });
        wait(other);
        wait(owner);
        world.finish();
    });
}

#[test]
fn a_block_while_it_is_taken_in() {
    model(2, |world| {
        let (mine, object) = (world.allocate(PAGES), world.allocate(PAGES));
        // An empty stack stays in the block of the object. The shard keeps one idle block, the one with more room: so the other one
        // goes as soon as it is empty.
        let stack = world.allocate(LARGE);
        world.free(stack);
        world.free(mine);
        let other = on(1, &world, move |world| {
            world.free(object);
            // It may be that very block by now.
            match world.try_allocate(PAGES) {
                Some(another) => world.free(another),
                // The owner may seem to look at it for ever: that he has ended, loom need not show.
                None => assert!(shows_tried_locks(), "there is memory"),
            }
        });
        let mine = world.allocate(PAGES / 2);
        world.free(mine);
        wait(other);
        world.finish();
    });
}

#[test]
fn a_block_goes_back_while_it_is_taken_in() {
    model(BLOCKS, |world| {
        let idle: Vec<_> = (1..BLOCKS).map(|_| world.allocate(PAGES)).collect();
        let object = world.allocate(PAGES);
        // As above; and the pool of all is full, so it goes back to the source.
        let stack = world.allocate(LARGE);
        world.free(stack);
        idle.into_iter().for_each(|object| world.free(object));
        let other = on(1, &world, move |world| world.free(object));
        let mine = world.allocate(PAGES / 2);
        world.free(mine);
        wait(other);
        world.finish();
    });
}

#[test]
fn a_late_free_while_two_blocks_go_on() {
    model(2, |world| {
        let (late, object) = (world.allocate(PAGES), world.allocate(PAGES));
        world.free(late);
        let other = on(1, &world, move |world| {
            world.free_unused(late);
            misuses().len()
        });
        world.free(object);
        world.heap.trim();
        assert_eq!(wait(other), 1);
        world.finish();
    });
}

#[test]
fn two_late_frees_while_two_blocks_go_on() {
    model(2, |world| {
        let (one, two) = (world.allocate(PAGES), world.allocate(PAGES));
        world.free(one);
        world.free(two);
        let other = on(1, &world, move |world| {
            world.free_unused(one);
            world.free_unused(two);
            misuses().len()
        });
        world.heap.trim();
        // It may be the block of either.
        let again = world.allocate(LARGE);
        world.free(again);
        assert_eq!(wait(other), 2);
        world.finish();
    });
}
