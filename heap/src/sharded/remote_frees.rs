//! What other CPUs gave back of a block, until its owner takes it in: a tree of words.
//!
//! Owns one bit for each chunk of a block, and the words above that lead there:
//!
//! ```text
//! pending    one word     bit k: some page's stack k has chunks that came back
//! signals    four words   word k, bit p: stack k of the run at page p has
//! chunks     64 × four    page p, word k: which chunks of that stack
//! ```
//!
//! A free sets the bit of its chunk with one `fetch_or`. The old bit says whether the chunk came back before: of any number of
//! frees that race, exactly one wins. Then it raises the bits above, as far as they are not raised ([`signal`](crate::sharded::signal):
//! there is written why no free is lost). The owner lowers them from above, makes the chunks free that it finds, and takes their
//! bits out only then: so there is no moment at which a chunk that was given back is neither marked here nor free, and a second free
//! of it finds the one or the other.
//!
//! A free whose bit is set may be taken in at once, through a bit above that somebody else has raised, and its block may then be empty
//! and leave. What keeps the record there while the free looks above is its [visit](crate::sharded::visits).
//!
//! Cost: a free one to three atomic instructions, usually one; taking in one a word, and at most 4 + 256 words.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::sharded::signal;
use crate::size_class::STACKS_PER_RUN;
use crate::sync::{AtomicU64, Ordering};
use crate::units::{CHUNKS_PER_STACK, PAGES_PER_BLOCK};

/// Words of one page.
#[derive(Debug)]
#[repr(align(32))]
struct Words([AtomicU64; STACKS_PER_RUN]);

/// The tree of one block.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct RemoteFrees {
    /// Bit `k`: there is something in word `k` of the signals.
    pending: AtomicU64,
    /// Word `k`, bit `p`: there is something in word `k` of page `p`.
    signals: [AtomicU64; STACKS_PER_RUN],
    /// By the first page of a run: its chunks that came back. (A run that is one allocation is one chunk.)
    words: [Words; PAGES_PER_BLOCK],
}

/// What became of a chunk that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenBack {
    /// Nothing: it has been given back before.
    Twice,
    /// The owner will find it.
    Noted(Noted),
}

/// A chunk that the owner will find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The chunks of its stack that came back and were not taken in yet, as seen behind it.
    pub(crate) all: Bitmap,
    /// The owner has to be told that this block has something for him.
    pub(crate) is_first_of_block: bool,
}

impl RemoteFrees {
    /// Creates the tree of a block that nothing was given back of.
    pub(crate) fn new() -> Self {
        let words = || [(); STACKS_PER_RUN].map(|()| AtomicU64::new(0));
        Self {
            pending: AtomicU64::new(0),
            signals: words(),
            words: [(); PAGES_PER_BLOCK].map(|()| Words(words())),
        }
    }

    /// Notes that `chunk` of the run that begins at `page` was given back.
    ///
    /// The chunk's contents, as this caller left them, are seen by whoever gets the chunk next.
    pub(crate) fn give_back(&self, page: usize, chunk: usize) -> GivenBack {
        let stack = chunk / CHUNKS_PER_STACK;
        let word = &self.words[page].0[stack];
        if !signal::set(word, chunk % CHUNKS_PER_STACK) {
            return GivenBack::Twice;
        }
        let is_first_of_block =
            signal::raise(&self.signals[stack], page) && signal::raise(&self.pending, stack);
        GivenBack::Noted(Noted {
            all: Bitmap::from_bits(word.load(Ordering::Relaxed)),
            is_first_of_block,
        })
    }

    /// Returns which chunks of the stack of `chunk`, in the run that begins at `page`, were given back and not taken in yet.
    #[inline(always)]
    pub(crate) fn beside(&self, page: usize, chunk: usize) -> Bitmap {
        let word = &self.words[page].0[chunk / CHUNKS_PER_STACK % STACKS_PER_RUN];
        Bitmap::from_bits(word.load(Ordering::Relaxed))
    }

    /// Returns whether `chunk` of the run that begins at `page` was given back and not taken in yet.
    #[inline]
    pub(crate) fn has(&self, page: usize, chunk: usize) -> bool {
        self.beside(page, chunk).contains(chunk % CHUNKS_PER_STACK)
    }

    /// Returns whether nothing was given back of a run that begins at `page`.
    pub(crate) fn is_empty_at(&self, page: usize) -> bool {
        (self.words[page].0.iter()).all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Returns whether anything was given back that a call of [`take`](Self::take) would find. Behind a message, it is.
    pub(crate) fn has_any(&self) -> bool {
        self.pending.load(Ordering::SeqCst) != 0
    }

    /// Takes all that was given back, calling `each` with page, stack and chunks, which makes them free. Called by the owner.
    pub(crate) fn take(&self, mut each: impl FnMut(usize, usize, Bitmap)) {
        for stack in numbers(&self.pending) {
            for page in numbers(&self.signals[stack]) {
                let word = &self.words[page].0[stack];
                let chunks = word.load(Ordering::SeqCst);
                if chunks != 0 {
                    each(page, stack, Bitmap::from_bits(chunks));
                    word.fetch_and(!chunks, Ordering::AcqRel);
                }
            }
        }
    }
}

#[cfg(loom)]
impl RemoteFrees {
    /// Touches every word as whoever writes something else there. Loom then finds anybody who touches one at the same time, or later.
    pub(crate) fn touch_alone(&mut self) {
        self.pending.with_mut(|_| {});
        let words = self.words.iter_mut().flat_map(|words| &mut words.0);
        for word in self.signals.iter_mut().chain(words) {
            word.with_mut(|_| {});
        }
    }
}

/// Lowers all bits of a word, and returns their numbers.
fn numbers(word: &AtomicU64) -> impl Iterator<Item = usize> + use<> {
    let mut rest = signal::lower_all(word);
    core::iter::from_fn(move || {
        let lowest = rest.lowest()?;
        rest = rest.without_lowest();
        Some(lowest)
    })
}
