//! Blocks that leave one after the other, while visitors of two shards look at them: each goes on only when all who may look are done.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::alloc::{alloc, dealloc};
use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use crate::sharded::leaving::Leaving;
use crate::sharded::record::{BlockRecord, RECORD_SIZE};
use crate::sharded::shard::Shard;
use crate::sharded::table::Table;
use crate::sharded::visitors::Visitors;
use crate::sharded::visits::Visit;
use crate::units::PAGE_SIZE;

/// Words of the stack of a thread that makes shards.
const STACK_WORDS: usize = 1 << 16;

/// How many blocks there are, and how many shards.
const BLOCKS: usize = 2;

/// The shard whose visitors are counted.
const COUNTED: usize = 0;

/// The shard whose visitors enter it.
const ENTERED: usize = 1;

/// The blocks.
struct Model {
    table: Table<BlockRecord, 1>,
    shards: [Shard<spin::Mutex<()>>; BLOCKS],
    blocks: [BlockRecord; BLOCKS],
}

// SAFETY: the records are shared under loom's eyes.
unsafe impl Sync for Model {}
// SAFETY: nothing is bound to a thread.
unsafe impl Send for Model {}

/// Returns the layout of a block's memory, of which there is no more than a record and a page.
fn layout() -> Layout {
    Layout::from_size_align(RECORD_SIZE + PAGE_SIZE, PAGE_SIZE).expect("a right layout")
}

/// Makes a block.
fn block() -> BlockRecord {
    // SAFETY: the size is not zero.
    let start = NonNull::new(unsafe { alloc(layout()) }).expect("there is memory");
    let memory = NonNull::slice_from_raw_parts(start, layout().size());
    // SAFETY: it was just allocated, aligned to a page and longer than a record. (It may cross a window, but no chain gets it.)
    unsafe { BlockRecord::install(memory) }
}

impl Model {
    /// Creates blocks that are in the table.
    fn new() -> Arc<Self> {
        let model = Self {
            table: Table::new(),
            shards: [(); BLOCKS].map(|()| Shard::new()),
            blocks: [(); BLOCKS].map(|()| block()),
        };
        for block in model.blocks {
            // SAFETY: there is one thread yet.
            unsafe { model.table.insert(block) };
        }
        Arc::new(model)
    }

    /// Looks for a block on a visit of shard `shard`, and touches it as a free does. One of the shards is entered for that.
    fn look(&self, shard: usize, block: BlockRecord) {
        let entered = (shard == ENTERED).then(|| self.shards[shard].enter());
        let visit = match &entered {
            Some(guard) => Visit::of_entered(guard),
            None => self.shards[shard].visits.begin(),
        };
        if let Some(block) = self
            .table
            .entries_at(0, &visit)
            .find(|other| *other == block)
        {
            block.remote_frees.has_any();
        }
    }

    /// Lets all blocks go on that may, for one who has entered shard `entered`, or none. Returns how many did.
    fn settle(&self, leaving: &mut Leaving, entered: Option<usize>) -> usize {
        let _guard = entered.map(|shard| self.shards[shard].enter());
        core::iter::from_fn(|| leaving.pop(Visitors::new(&self.shards, entered)))
            .map(BlockRecord::touch_alone)
            .count()
    }

    /// Takes block number `number` out of the table. Called by the one writer.
    fn remove(&self, number: usize) -> BlockRecord {
        // SAFETY: there is one writer.
        unsafe { self.table.remove(self.blocks[number]) };
        self.blocks[number]
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        for block in self.blocks {
            // SAFETY: it came by `alloc` with this layout, and the model has ended.
            unsafe { dealloc(block.memory().cast().as_ptr(), layout()) };
        }
    }
}

/// Runs a model whose first thread has room for shards.
fn model(work: impl Fn() + Clone + Send + Sync + 'static) {
    loom::model(move || {
        let first = thread::Builder::new().stack_size(STACK_WORDS);
        let first = first
            .spawn(work.clone())
            .expect("there is room for a thread");
        first.join().expect("no thread panics");
    });
}

/// Lets the blocks leave, while a visitor of each shard looks at those of these numbers. Who lets them go has entered shard `entered`, or
/// none.
fn while_visited(looks: [&'static [usize]; BLOCKS], entered: Option<usize>) {
    model(move || {
        let model = Model::new();
        let threads: Vec<_> = looks
            .into_iter()
            .enumerate()
            .map(|(shard, blocks)| {
                let model = Arc::clone(&model);
                thread::spawn(move || {
                    (blocks.iter()).for_each(|block| model.look(shard, model.blocks[*block]));
                })
            })
            .collect();
        let mut leaving = Leaving::new();
        let mut gone = 0;
        for number in 0..BLOCKS {
            leaving.push(model.remove(number));
            gone += model.settle(&mut leaving, entered);
        }
        gone += model.settle(&mut leaving, entered);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        gone += model.settle(&mut leaving, entered);
        assert_eq!(gone, BLOCKS);
    });
}

#[test]
fn each_of_two_looks_at_one() {
    while_visited([&[0], &[1]], None);
}

#[test]
fn each_of_two_looks_at_the_other_one() {
    while_visited([&[1], &[0]], Some(COUNTED));
}

#[test]
fn both_look_at_the_last() {
    while_visited([&[1], &[1]], Some(COUNTED));
}

#[test]
fn one_looks_twice() {
    while_visited([&[0, 1], &[]], Some(COUNTED));
}

#[test]
fn each_shard_is_without_a_visit_at_another_moment() {
    model(|| {
        let (model, mut leaving) = (Model::new(), Leaving::new());
        let first = model.shards[0].visits.begin();
        leaving.push(model.remove(0));
        assert_eq!(model.settle(&mut leaving, None), 0);
        let second = model.shards[1].visits.begin();
        drop(first);
        // It looks at nothing: its block left before.
        assert_eq!(model.settle(&mut leaving, None), 1);
        leaving.push(model.remove(1));
        assert_eq!(model.settle(&mut leaving, None), 0, "a round of its own");
        drop(second);
        assert_eq!(model.settle(&mut leaving, None), 1);
    });
}

#[test]
fn what_waits_for_a_round_of_its_own_elsewhere() {
    model(|| {
        let (model, mut leaving) = (Model::new(), Leaving::new());
        let visitor = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                model.look(ENTERED, model.blocks[0]);
                model.look(COUNTED, model.blocks[1]);
            })
        };
        leaving.push(model.remove(0));
        // As a region does: it is counted and waits by the number of the round.
        let other = model.remove(1);
        let round = leaving.push_region();
        let mut gone = model.settle(&mut leaving, Some(COUNTED));
        gone += model.settle(&mut leaving, Some(COUNTED));
        if leaving.is_over(round) {
            other.touch_alone();
        }
        visitor.join().expect("no thread panics");
        gone += model.settle(&mut leaving, Some(COUNTED));
        gone += model.settle(&mut leaving, Some(COUNTED));
        assert!(gone == 1 && leaving.is_over(round), "nobody is there");
        assert!(!leaving.is_empty());
        leaving.pop_region();
        assert!(leaving.is_empty());
    });
}
