//! Frees of one object that race: one wins, and of the other one somebody is told.

use stack_alloc::MisuseKind;

use crate::world::{misuses, model, on, wait};

/// Bytes of an object.
const SIZE: usize = 1 << 10;

#[test]
fn of_two_others() {
    model(1, |world| {
        let (object, stays) = (world.allocate(SIZE), world.allocate(SIZE));
        world.forget(object);
        let first = on(1, &world, move |world| world.free_unused(object));
        let second = on(1, &world, move |world| world.free_unused(object));
        wait(first);
        wait(second);
        assert_eq!(misuses(), [MisuseKind::DoubleFree]);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn of_another_one_and_the_owner() {
    model(1, |world| {
        let (object, stays) = (world.allocate(SIZE), world.allocate(SIZE));
        world.forget(object);
        let other = on(1, &world, move |world| world.free_unused(object));
        world.free_unused(object);
        wait(other);
        // If both were too early to see it, it is found when it is taken in.
        world.heap.trim();
        assert_eq!(misuses(), [MisuseKind::DoubleFree]);
        world.free(stays);
        world.finish();
    });
}

#[test]
fn of_pages() {
    model(1, |world| {
        let (object, stays) = (world.allocate(5 * 4096), world.allocate(SIZE));
        world.forget(object);
        let other = on(1, &world, move |world| world.free_unused(object));
        world.free_unused(object);
        wait(other);
        world.heap.trim();
        assert_eq!(misuses(), [MisuseKind::DoubleFree]);
        world.free(stays);
        world.finish();
    });
}
