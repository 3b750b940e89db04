//! Each thread allocates and frees objects of its own: what should cost with two threads what it costs with one.

use crate::heap::Heap;
use crate::operation::Stream;
use crate::replay::{Objects, OutOfMemory};
use crate::rounds::pass;
use crate::threads::Round;
use crate::threads::crew::Part;
use crate::workloads::{random_mix, warm_up};

/// How many objects a thread has live.
const LIVE: usize = 1000;
/// How many of them it replaces.
const REPLACED: usize = 200_000;

/// A thread's part.
struct Own {
    /// What it does first.
    before: Stream,
    /// What it does.
    stream: Stream,
    /// What is live.
    objects: Objects,
}

/// Makes the parts.
pub(super) fn parts(round: Round) -> Vec<Box<dyn Part>> {
    let part = |thread| -> Box<dyn Part> {
        let seed = round.seed_of(thread);
        let replaced = round.amount(REPLACED);
        let stream = random_mix::stream(LIVE, replaced, random_mix::SIZES, seed);
        Box::new(Own {
            before: warm_up(seed),
            objects: Objects::of(&stream),
            stream,
        })
    };
    (0..round.threads).map(part).collect()
}

impl Part for Own {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &self.before)?;
        // SAFETY: the stream's first part.
        unsafe { heap.replay(&self.stream.setup, &mut self.objects) }
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        // SAFETY: the part behind it.
        unsafe { heap.replay(&self.stream.body, &mut self.objects) }
    }

    fn clean_up(mut self: Box<Self>, heap: &dyn Heap) {
        // SAFETY: the last part.
        let freed = unsafe { heap.replay(&self.stream.teardown, &mut self.objects) };
        freed.expect("it needs no memory");
    }

    fn operations(&self) -> usize {
        self.stream.body.len()
    }
}
