//! How much of its memory can a heap put to use? Nothing is timed here.
//!
//! ```text
//! first_failure    the share that is live when a request fails for the first time
//! phases           the same after phases in which other sizes were asked for
//! smallest_arena   how much memory a recorded program needs, over what it has live
//! given_back       how much goes back to where it came from when objects die
//! filling          objects that are allocated until there is no more
//! ```

mod filling;
pub mod first_failure;
pub mod given_back;
pub mod phases;
pub mod smallest_arena;

use crate::contenders::Contender;

/// Memory that is filled.
const ARENA: usize = 16 << 20;

/// Returns those that use the memory that they get: the others take as much as they like.
#[must_use]
pub fn over_arena(contenders: &[Contender]) -> Vec<Contender> {
    contenders
        .iter()
        .filter(|contender| contender.is_over_arena)
        .copied()
        .collect()
}
