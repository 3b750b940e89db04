//! Blocks that change from one shard's chain to another's, and chunks that come back in numbers.
//!
//! Owns nothing; it is the part of [`crate::factory_chain`] that shards alone need. Cost: the runs of a block, at most 63.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::block::Block;
use crate::factory_chain::FactoryChain;
use crate::memory_source::MemorySource;
use crate::page_runs::run_around;
use crate::run::{Run, RunKind};
use crate::size_class::ClassIndex;
use crate::units::{CHUNKS_PER_STACK, PAGE_SIZE};

impl FactoryChain {
    /// Takes back what others gave back of stack `stack` of the run that begins at `page` of `block`. Returns what of it is wrong:
    /// chunks that are free already, or were never there.
    pub(crate) fn take_in<S: MemorySource>(
        &mut self,
        block: Block,
        (page, stack): (usize, usize),
        chunks: Bitmap,
        source: &S,
    ) -> Bitmap {
        let run = block
            .run_before(page)
            .filter(|(_, pages_before)| *pages_before == 0);
        let Some((run, _)) = run else {
            return chunks;
        };
        match run.kind() {
            RunKind::Whole if stack == 0 && chunks.contains(0) => {
                self.take_back_run(run, source);
                chunks.without(Bitmap::single(0))
            }
            RunKind::Whole | RunKind::Stacks(ClassIndex::RECORDS) => chunks,
            RunKind::Stacks(class) => {
                let there = Bitmap::below(run.capacity().saturating_sub(stack * CHUNKS_PER_STACK));
                let taken = there.without(run.stacks.free(stack));
                let right = chunks.without(chunks.without(taken));
                self.take_in_chunks(class, run, stack, right, source);
                chunks.without(right)
            }
        }
    }

    /// Takes back `chunks` of stack `stack` of `run`, all of which are taken.
    fn take_in_chunks<S: MemorySource>(
        &mut self,
        class: ClassIndex,
        run: Run,
        stack: usize,
        chunks: Bitmap,
        source: &S,
    ) {
        if !chunks.is_empty() && self.lists[class.get()].take_back_all(run, stack, chunks) {
            self.emptied(run, source);
        }
    }

    /// Takes `count` frees, of chunks of `class` or of whole pages, that were counted and turned out to be wrong, out of the counts: as
    /// far as is known what they were of.
    pub(crate) fn uncount_frees(&mut self, class: Option<ClassIndex>, count: usize) {
        let (frees, size) = match class {
            Some(class) => {
                let size = class.class().chunk_size();
                (&mut self.lists[class.get()].counters.frees, size)
            }
            None => (&mut self.totals.whole_frees, PAGE_SIZE),
        };
        *frees = frees.saturating_sub(count as u64);
        self.totals.count_requested(count * size);
    }

    /// Returns whether the block around `address` has an eighth of its pages free, or the stack there an eighth of its chunks.
    pub(crate) fn has_room_around(&self, address: usize) -> bool {
        let Some(block) = self.holdings.runs.find_with_page(address) else {
            return false;
        };
        let has_room = |run: Run| (run.capacity() - run.used()) * 8 >= run.capacity();
        let in_run = run_around(block, address)
            .filter(|run| run.kind() != RunKind::Whole)
            .is_some_and(has_room);
        in_run || block.free.get().len() * 8 >= block.pages()
    }

    /// Takes `block` out of the chain with all that is live in it. `false`, with nothing live changed, when it has to stay: records of
    /// regions are in it, or nothing is.
    pub(crate) fn let_go(&mut self, block: Block) -> bool {
        let stays = |run: Run| run.kind() == RunKind::Stacks(ClassIndex::RECORDS);
        if block.is_idle() || block.runs().any(stays) {
            return false;
        }
        for run in block.runs() {
            match run.kind() {
                RunKind::Stacks(class) if run.used() == 0 => {
                    self.lists[class.get()].release(run);
                    self.holdings.runs.close(run);
                }
                RunKind::Stacks(class) => self.lists[class.get()].let_go(run),
                RunKind::Whole => self.totals.whole_pages -= run.pages(),
            }
        }
        self.holdings.runs.let_go(block);
        true
    }

    /// Takes `block` in with all that is live in it, as another chain has [let it go](Self::let_go).
    pub(crate) fn take_over(&mut self, block: Block) {
        self.holdings.runs.take_over(block);
        for run in block.runs() {
            match run.kind() {
                RunKind::Stacks(class) => self.lists[class.get()].take_over(run),
                RunKind::Whole => self.totals.whole_pages += run.pages(),
            }
        }
    }
}
