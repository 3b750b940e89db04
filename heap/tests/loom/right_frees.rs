//! Frees by others than the owner, while the owner works.

use crate::world::{model, on, on_without_waiting, wait};

/// Bytes of an object that has a stack of its own in a small heap: the owner runs dry each time.
const LARGE: usize = 16 << 10;

/// Bytes of an object of which a stack has many.
const SMALL: usize = 1 << 10;

#[test]
fn while_the_owner_runs_dry() {
    model(1, |world| {
        let object = world.allocate(LARGE);
        let other = on(1, &world, move |world| world.free(object));
        let mine = world.allocate(LARGE);
        wait(other);
        world.free(mine);
        world.finish();
    });
}

#[test]
fn while_the_owner_frees() {
    model(1, |world| {
        let (object, mine) = (world.allocate(SMALL), world.allocate(SMALL));
        let other = on(1, &world, move |world| world.free(object));
        world.free(mine);
        let mine = world.allocate(SMALL);
        wait(other);
        world.free(mine);
        world.finish();
    });
}

#[test]
fn of_two_others() {
    model(1, |world| {
        let (one, two) = (world.allocate(LARGE), world.allocate(LARGE));
        let first = on(1, &world, move |world| world.free(one));
        let second = on(1, &world, move |world| world.free(two));
        wait(first);
        wait(second);
        world.finish();
    });
}

#[test]
fn of_two_others_while_the_owner_runs_dry() {
    model(1, |world| {
        let (one, two) = (world.allocate(LARGE), world.allocate(LARGE));
        let first = on(1, &world, move |world| world.free(one));
        let second = on(1, &world, move |world| world.free(two));
        let mine = world.allocate(LARGE);
        wait(first);
        wait(second);
        world.free(mine);
        world.finish();
    });
}

#[test]
fn of_pages() {
    model(1, |world| {
        let object = world.allocate(40 << 10);
        let other = on(1, &world, move |world| world.free(object));
        let mine = world.allocate(40 << 10);
        wait(other);
        world.free(mine);
        world.finish();
    });
}

#[test]
fn by_who_may_not_wait() {
    model(1, |world| {
        let object = world.allocate(SMALL);
        let other = on_without_waiting(0, &world, move |world| world.free(object));
        let mine = world.allocate(SMALL);
        wait(other);
        world.free(mine);
        world.finish();
    });
}
