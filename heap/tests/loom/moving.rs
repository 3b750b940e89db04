//! Blocks that another shard takes over, while others give back what is in them.

use crate::world::{model, on, wait};

/// Bytes of an object that has a stack of its own in a small heap.
const LARGE: usize = 16 << 10;

/// Bytes of an object that takes most of a block.
const PAGES: usize = 160 << 10;

#[test]
fn a_free_while_a_block_is_taken_over() {
    model(1, |world| {
        let (object, stays) = (world.allocate(LARGE), world.allocate(LARGE));
        let taker = on(1, &world, move |world| world.heap.take_over(0));
        world.free(object);
        wait(taker);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn a_crossing_free_while_a_block_is_taken_over() {
    model(1, |world| {
        let (object, stays) = (world.allocate(LARGE), world.allocate(LARGE));
        let other = on(1, &world, move |world| world.free(object));
        let taker = on(1, &world, move |world| world.heap.take_over(0));
        wait(other);
        wait(taker);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn a_crossing_free_while_a_block_goes_to_the_first_shard() {
    model(1, |world| {
        world.go_to(1);
        let (object, stays) = (world.allocate(LARGE), world.allocate(LARGE));
        let other = on(0, &world, move |world| world.free(object));
        let taker = on(0, &world, move |world| {
            world.heap.take_over(1);
            // All messages so far are taken in.
            let mine = world.allocate(LARGE);
            world.free(mine);
        });
        wait(other);
        wait(taker);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn a_free_while_another_shard_starves() {
    model(1, |world| {
        let (object, stays) = (world.allocate(LARGE), world.allocate(LARGE));
        let starving = on(1, &world, move |world| world.try_allocate(LARGE));
        let owner = on(0, &world, move |world| world.free(object));
        let got = wait(starving).expect("there was room");
        wait(owner);
        world.free(got);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn a_crossing_free_while_another_shard_starves() {
    model(1, |world| {
        let (object, stays) = (world.allocate(LARGE), world.allocate(LARGE));
        let other = on(1, &world, move |world| world.free(object));
        let starving = on(1, &world, move |world| world.try_allocate(LARGE));
        wait(other);
        let got = wait(starving).expect("there was room");
        world.free(got);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn both_take_over_from_each_other() {
    model(2, |world| {
        let mine = world.allocate(LARGE);
        world.go_to(1);
        let others = world.allocate(LARGE);
        world.go_to(0);
        let taker = on(1, &world, move |world| {
            world.heap.take_over(0);
            world.free(mine);
        });
        world.heap.take_over(1);
        world.free(others);
        wait(taker);
        world.finish();
    });
}

#[test]
fn two_shards_share_the_only_block() {
    model(1, |world| {
        let other = on(1, &world, move |world| {
            let object = world.allocate(LARGE);
            world.free(object);
        });
        let object = world.allocate(LARGE);
        world.free(object);
        wait(other);
        world.finish();
    });
}

#[test]
fn a_shard_starves_while_another_one_trims() {
    model(1, |world| {
        let object = world.allocate(LARGE);
        let other = on(1, &world, move |world| {
            let object = world.allocate(LARGE);
            world.free(object);
        });
        world.free(object);
        world.heap.trim();
        wait(other);
        world.finish();
    });
}

#[test]
fn who_takes_over_finds_what_was_freed_before() {
    model(2, |world| {
        let (object, stays) = (world.allocate(PAGES), world.allocate(LARGE));
        let other = on(1, &world, move |world| world.free(object));
        let taker = on(1, &world, move |world| world.heap.take_over(0));
        wait(other);
        // A taker whose own shard is busy takes nothing.
        let blocks = if wait(taker) == 0 { 2 } else { 1 };
        world.go_to(1);
        let again = world.allocate(PAGES);
        assert_eq!(world.pieces_out(), blocks, "where there is room");
        world.free(again);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn who_has_taken_over_is_told_by_who_frees() {
    model(2, |world| {
        let (object, stays) = (world.allocate(PAGES), world.allocate(LARGE));
        let other = on(1, &world, move |world| world.free(object));
        let taker = on(1, &world, move |world| {
            let blocks = world.heap.take_over(0);
            // What the take-over itself told is looked at.
            world.heap.trim_here();
            blocks
        });
        wait(other);
        // As above.
        let blocks = if wait(taker) == 0 { 2 } else { 1 };
        world.go_to(1);
        let again = world.allocate(PAGES);
        assert_eq!(world.pieces_out(), blocks, "where there is room");
        world.free(again);
        world.free(stays);
        world.finish();
    });
}
