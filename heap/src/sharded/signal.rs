//! One bit of a word that says: there is something below.
//!
//! Owns the two halves of what leads from something small that happened to whoever shall know of it, word by word, without a lock:
//!
//! - who has changed something *raises* the bit above, unless it is raised, and if it was he who did, the one above that;
//! - who shall know *lowers* the bits of a word, and then looks at what is below each.
//!
//! # Nothing is lost
//!
//! Both change first and look then, by sequentially consistent accesses: the one changes below and looks above, the other one changes
//! above and looks below. So at least one of them sees what the other one did. If the one who raises finds the bit raised, and goes no
//! further, then the other one has not lowered it yet; when he does, he sees what is below. If it is lowered already, it is found
//! lowered, and raised again. Whoever has raised a bit that was not raised goes on above, so a raised bit is found, as soon as that one is
//! there. (It is the store-buffering litmus test, or Dekker's; a plain load and store instead of one of these would break it.)
//!
//! A bit may be found raised with nothing below, taken along by an earlier look. That does no harm.
//!
//! # It waits for nobody
//!
//! Of the old value, one bit is asked for: on x86-64, that is one instruction, `lock bts`. With all of the old value, it would be
//! a loop that others can make go round again.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::sync::{AtomicU64, Ordering, fence_for_model};

/// Sets bit `number` of `word`. Returns whether it was not set.
#[inline(always)]
pub(crate) fn set(word: &AtomicU64, number: usize) -> bool {
    let bit = 1 << (number % 64);
    let was_set = word.fetch_or(bit, Ordering::SeqCst) & bit != 0;
    fence_for_model();
    !was_set
}

/// Raises bit `number` of `word`. Returns whether the caller did it, and has to go on with the word above.
#[inline]
pub(crate) fn raise(word: &AtomicU64, number: usize) -> bool {
    let is_raised = word.load(Ordering::SeqCst) >> (number % 64) & 1 == 1;
    !is_raised && set(word, number)
}

/// Raises bits of `word`, whether they are raised or not.
pub(crate) fn raise_all(word: &AtomicU64, bits: Bitmap) {
    word.fetch_or(bits.bits(), Ordering::SeqCst);
    fence_for_model();
}

/// Lowers bit `number` of `word`; behind it, what is below is looked at.
#[inline]
pub(crate) fn lower(word: &AtomicU64, number: usize) {
    word.fetch_and(!(1 << (number % 64)), Ordering::SeqCst);
    fence_for_model();
}

/// Lowers all bits of `word`, and returns those that were raised; behind it, what is below them is looked at.
#[inline]
pub(crate) fn lower_all(word: &AtomicU64) -> Bitmap {
    let raised = word.swap(0, Ordering::SeqCst);
    fence_for_model();
    Bitmap::from_bits(raised)
}
