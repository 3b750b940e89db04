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
//! A free sets the bit of its chunk with one `fetch_or`. The old value says whether the chunk came back before: of any number of
//! frees that race, exactly one wins. A free climbs to the word above *only if it was the one that turned its word from zero*, and
//! touches no word again that it has passed. The owner descends the same way, taking each word of the upper levels with one `swap`. Of
//! the chunks' words, it first makes the chunks free, and then takes their bits out: so there is no moment at which a chunk that
//! was given back is neither marked here nor free, and a second free of it finds the one or the other.
//!
//! # No bit is lost
//!
//! As long as a word is not zero, the one who turned it from zero has set its bit above, or is about to: he alone does. The owner
//! takes a word only if he found its bit above, so behind that climb. A free that comes between the two finds the word not zero,
//! and its bit is taken along; one that comes behind finds zero, and climbs itself.
//!
//! # The branch stays
//!
//! By the same argument nobody takes a word before the one who turned it from zero has set its bit above. So whoever is on his
//! way up holds the branch that he came by: his chunk is not taken in, its stack is not empty, and its block cannot leave. That
//! is the strict tree. It protects frees that are right; how the header is kept for wrong ones is in
//! [`visits`](crate::sharded::visits).
//!
//! Nothing is cleared but by the owner, so a word that somebody is on his way up from is never reset under his feet.
//!
//! Cost: a free one to three `fetch_or`; taking in one atomic instruction a word, and at most 4 + 256 words.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
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
    /// Which of the four words of signals are not zero.
    pending: AtomicU64,
    /// Which pages' words are not zero.
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
    /// All chunks of its stack that came back and were not taken in yet.
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
        let (stack, bit) = (chunk / CHUNKS_PER_STACK, 1 << (chunk % CHUNKS_PER_STACK));
        let old = self.words[page].0[stack].fetch_or(bit, Ordering::AcqRel);
        if old & bit != 0 {
            return GivenBack::Twice;
        }
        GivenBack::Noted(Noted {
            all: Bitmap::from_bits(old | bit),
            is_first_of_block: old == 0 && self.climb(page, stack),
        })
    }

    /// Climbs from a word that was turned from zero. Returns whether the last word was too.
    fn climb(&self, page: usize, stack: usize) -> bool {
        self.signals[stack].fetch_or(1 << page, Ordering::AcqRel) == 0
            && self.pending.fetch_or(1 << stack, Ordering::AcqRel) == 0
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

    /// Returns whether anything was given back that a call of [`take`](Self::take) would find.
    pub(crate) fn has_any(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// Takes all that was given back, calling `each` with page, stack and chunks, which makes them free. Called by the owner.
    pub(crate) fn take(&self, mut each: impl FnMut(usize, usize, Bitmap)) {
        for stack in numbers(&self.pending) {
            for page in numbers(&self.signals[stack]) {
                let word = &self.words[page].0[stack];
                let mut chunks = word.load(Ordering::Acquire);
                // As long as the word is not zero, nobody else tells of it. It ends: a live chunk comes back once.
                while chunks != 0 {
                    each(page, stack, Bitmap::from_bits(chunks));
                    chunks = word.fetch_and(!chunks, Ordering::AcqRel) & !chunks;
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

/// Takes a word, and returns the numbers that were in it.
fn numbers(word: &AtomicU64) -> impl Iterator<Item = usize> + use<> {
    let mut rest = Bitmap::from_bits(word.swap(0, Ordering::AcqRel));
    core::iter::from_fn(move || {
        let lowest = rest.lowest()?;
        rest = rest.without_lowest();
        Some(lowest)
    })
}
