//! The heap of many shards against a shadow of it: random programs whose every step is done on a CPU of its own choice, by
//! somebody who may wait or not.
//!
//! One thread does all steps, so what fails once fails again.

mod common;

use core::ops::Range;

use common::HeapUnderTest;
use common::counting_source::CountingSource;
use common::heap_under_test::ShardedHeap;
use common::program::{Action, Step, decode_steps, run_on};
use proptest::prelude::{Strategy, any};
use proptest::{collection, proptest};

/// A heap of so many shards.
type Sharded<const SHARDS: usize> = ShardedHeap<CountingSource, SHARDS>;

/// One random step: enough random bytes for any, of which the first one is it.
fn step() -> impl Strategy<Value = Step> {
    any::<[u8; 7]>().prop_map(|bytes| decode_steps(&bytes).swap_remove(0))
}

/// How many steps a random program has, and how many random bytes are one. Miri takes its time.
const STEPS: Range<usize> = if cfg!(miri) { 1..40 } else { 1..300 };
const BYTES: Range<usize> = if cfg!(miri) { 0..100 } else { 0..1000 };

/// Runs a program, with next to no memory if it `is_short`.
fn run<H: HeapUnderTest<Source = CountingSource>>(steps: Vec<Step>, is_short: bool) {
    let limit = Step {
        cpu: 0,
        may_wait: true,
        action: Action::Limit(3 << 20),
    };
    let first = is_short.then_some(limit);
    run_on::<H>(&first.into_iter().chain(steps).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn one_shard_behaves_like_its_shadow(steps in collection::vec(step(), STEPS)) {
        run::<Sharded<1>>(steps, false);
    }

    #[test]
    fn two_shards_behave_like_their_shadow(steps in collection::vec(step(), STEPS)) {
        run::<Sharded<2>>(steps, false);
    }

    #[test]
    fn four_shards_behave_like_their_shadow(steps in collection::vec(step(), STEPS)) {
        run::<Sharded<4>>(steps, false);
    }

    #[test]
    fn one_shard_behaves_like_its_shadow_when_memory_is_short(steps in collection::vec(step(), STEPS)) {
        run::<Sharded<1>>(steps, true);
    }

    #[test]
    fn four_shards_behave_like_their_shadow_when_memory_is_short(steps in collection::vec(step(), STEPS)) {
        run::<Sharded<4>>(steps, true);
    }

    #[test]
    fn any_bytes_are_a_program(bytes in collection::vec(any::<u8>(), BYTES)) {
        run_on::<Sharded<3>>(&decode_steps(&bytes));
    }
}
