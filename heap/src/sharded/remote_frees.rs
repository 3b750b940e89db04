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
//! frees that race, exactly one wins. Then it raises the bits above, as far as they are not raised ([`signal`]:
//! there is written why no free is lost). The owner lowers them from above, makes the chunks free that it finds, and takes their
//! bits out only then: so there is no moment at which a chunk that was given back is neither marked here nor free, and a second free
//! of it finds the one or the other.
//!
//! A free whose bit is set may be taken in at once, through a bit above that somebody else has raised, and its block may then be empty
//! and leave. What keeps the record there while the free looks above is its [visit](crate::sharded::visits).
//!
//! The owner does not always take everything: that would be long. What it has lowered and not followed it raises again, as a free would.
//!
//! Cost: a free one to three atomic instructions, usually one; taking in one a word of as many stacks as are asked for, and at most 7
//! more.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::sharded::signal;
use crate::size_class::STACKS_PER_RUN;
use crate::sync::{AtomicU64, Ordering};
use crate::units::{CHUNKS_PER_STACK, PAGES_PER_BLOCK};

/// Pages that have words. (Loom has to create every word. Its models use no two runs that are a multiple of so many pages apart.)
const PAGES: usize = if cfg!(loom) { 16 } else { PAGES_PER_BLOCK };

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
    words: [Words; PAGES],
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

/// What is left in a tree by the owner who took something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the owner has to remind himself of what is left"]
pub(crate) enum Rest {
    /// Nothing that he found.
    None,
    /// Something.
    Some,
}

impl RemoteFrees {
    /// Creates the tree of a block that nothing was given back of.
    pub(crate) fn new() -> Self {
        let words = || [(); STACKS_PER_RUN].map(|()| AtomicU64::new(0));
        Self {
            pending: AtomicU64::new(0),
            signals: words(),
            words: [(); PAGES].map(|()| Words(words())),
        }
    }

    /// Notes that `chunk` of the run that begins at `page` was given back.
    ///
    /// The chunk's contents, as this caller left them, are seen by whoever gets the chunk next.
    pub(crate) fn give_back(&self, page: usize, chunk: usize) -> GivenBack {
        let stack = chunk / CHUNKS_PER_STACK;
        let word = &self.words[page % PAGES].0[stack];
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
        let word = &self.words[page % PAGES].0[chunk / CHUNKS_PER_STACK % STACKS_PER_RUN];
        Bitmap::from_bits(word.load(Ordering::Relaxed))
    }

    /// Returns whether `chunk` of the run that begins at `page` was given back and not taken in yet.
    #[inline]
    pub(crate) fn has(&self, page: usize, chunk: usize) -> bool {
        self.beside(page, chunk).contains(chunk % CHUNKS_PER_STACK)
    }

    /// Returns whether nothing was given back of a run that begins at `page`.
    pub(crate) fn is_empty_at(&self, page: usize) -> bool {
        (self.words[page % PAGES].0.iter()).all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Returns whether anything was given back that a call of [`take`](Self::take) would find. Behind a message, it is.
    pub(crate) fn has_any(&self) -> bool {
        self.pending.load(Ordering::SeqCst) != 0
    }

    /// Takes what was given back, of at most `most` stacks, calling `each` with page, stack and chunks, which makes them free. Called by
    /// the owner.
    pub(crate) fn take(&self, most: usize, mut each: impl FnMut(usize, usize, Bitmap)) -> Rest {
        let mut words = 0..most;
        let mut stacks = signal::lower_all(&self.pending);
        while let Some(stack) = stacks.lowest() {
            let mut pages = signal::lower_all(&self.signals[stack]);
            while let Some(page) = pages.lowest().filter(|_| words.next().is_some()) {
                self.take_word(page, stack, &mut each);
                pages = pages.without_lowest();
            }
            if !pages.is_empty() {
                return self.put_back(stacks, stack, pages);
            }
            stacks = stacks.without_lowest();
        }
        Rest::None
    }

    /// Raises `pages` again, which were lowered of stack `stack`, and `stacks`, of which that is one: the lower word first.
    fn put_back(&self, stacks: Bitmap, stack: usize, pages: Bitmap) -> Rest {
        signal::raise_all(&self.signals[stack], pages);
        signal::raise_all(&self.pending, stacks);
        Rest::Some
    }

    /// Takes what was given back of one stack.
    fn take_word(&self, page: usize, stack: usize, each: &mut impl FnMut(usize, usize, Bitmap)) {
        let word = &self.words[page % PAGES].0[stack];
        let chunks = word.load(Ordering::SeqCst);
        if chunks != 0 {
            each(page, stack, Bitmap::from_bits(chunks));
            word.fetch_and(!chunks, Ordering::AcqRel);
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
