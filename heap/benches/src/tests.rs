//! Every contender does every kind of operation.

use crate::arena::Arena;
use crate::contenders::all;
use crate::replay::Objects;
use crate::trace;

#[test]
fn every_contender_replays_a_recorded_program() {
    let stream = trace::stream("sqlite").expect("it is there");
    let arena = Arena::new(64 << 20).expect("64 MiB");
    for contender in all() {
        // SAFETY: one heap after the other has the arena.
        let heap = unsafe { (contender.make)(arena.whole()) };
        let mut objects = Objects::of(&stream);
        for operations in [&stream.setup, &stream.body, &stream.teardown] {
            // SAFETY: the parts in order are the stream.
            let done = unsafe { heap.replay(operations, &mut objects) };
            assert_eq!(done, Ok(()), "{}", contender.name);
        }
    }
}
