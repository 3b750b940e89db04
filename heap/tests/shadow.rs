//! The heap against a shadow of it: random programs, every live object remembered with its contents.

mod common;

use core::ops::Range;

use common::program::{Action, decode, run};
use proptest::prelude::{Strategy, any};
use proptest::{collection, proptest};

/// One random action: enough random bytes for any, of which the first one is it.
fn action() -> impl Strategy<Value = Action> {
    any::<[u8; 6]>().prop_map(|bytes| decode(&bytes).swap_remove(0))
}

/// How many actions a random program has, and how many random bytes are one. Miri takes its time.
const ACTIONS: Range<usize> = if cfg!(miri) { 1..40 } else { 1..300 };
const BYTES: Range<usize> = if cfg!(miri) { 0..100 } else { 0..1000 };

proptest! {
    #[test]
    fn behaves_like_its_shadow(actions in collection::vec(action(), ACTIONS)) {
        run(&actions);
    }

    #[test]
    fn behaves_like_its_shadow_when_memory_is_short(actions in collection::vec(action(), ACTIONS)) {
        run(&[&[Action::Limit(3 << 20)], &actions[..]].concat());
    }

    #[test]
    fn any_bytes_are_a_program(bytes in collection::vec(any::<u8>(), BYTES)) {
        run(&decode(&bytes));
    }
}
