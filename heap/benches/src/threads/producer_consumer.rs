//! One thread allocates, the other frees: every free is one of another thread's object.

use crate::heap::Heap;
use crate::replay::OutOfMemory;
use crate::rounds::pass;
use crate::threads::Round;
use crate::threads::crew::Part;
use crate::threads::parcel::{Parcel, free_all, sizes};
use crate::threads::queue::{Receiver, Sender, queue};
use crate::workloads::{random_mix, warm_up};

/// How many objects go from one to the other.
const OBJECTS: usize = 400_000;
/// How many are on the way at most.
const ROOM: usize = 1024;
/// How many are handed over at a time.
const BATCH: usize = 64;

/// The thread that allocates.
struct Producer {
    /// What random numbers begin with.
    seed: u64,
    /// How large its objects are.
    sizes: Vec<u32>,
    /// Where they go. Gone when all were sent, so that the other thread learns of it.
    sender: Option<Sender<Parcel>>,
}

/// The thread that frees.
struct Consumer {
    /// What random numbers begin with.
    seed: u64,
    /// Where objects come from.
    receiver: Receiver<Parcel>,
    /// How many will come.
    expected: usize,
}

/// Makes the parts.
pub(super) fn parts(round: Round) -> Vec<Box<dyn Part>> {
    let (sender, receiver) = queue(ROOM);
    let objects = round.amount(OBJECTS);
    vec![
        Box::new(Producer {
            seed: round.seed_of(0),
            sizes: sizes(objects, random_mix::SMALL, round.seed),
            sender: Some(sender),
        }),
        Box::new(Consumer {
            seed: round.seed_of(1),
            receiver,
            expected: objects,
        }),
    ]
}

impl Part for Producer {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &warm_up(self.seed)).map(drop)
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        let mut sender = self.sender.take().expect("work is done once");
        let allocate = |size: &u32| Parcel::allocate(heap, *size);
        let operation = sender.send_all(&self.sizes, BATCH, allocate);
        if operation < self.sizes.len() {
            return Err(OutOfMemory { operation });
        }
        Ok(())
    }

    fn clean_up(self: Box<Self>, _: &dyn Heap) {}

    fn operations(&self) -> usize {
        self.sizes.len()
    }
}

impl Part for Consumer {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &warm_up(self.seed)).map(drop)
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        // SAFETY: the producer has allocated it there.
        let free = |parcel| unsafe { free_all(heap, [parcel]) };
        while self.receiver.receive_some(BATCH, free) {}
        Ok(())
    }

    fn clean_up(self: Box<Self>, _: &dyn Heap) {}

    fn operations(&self) -> usize {
        self.expected
    }
}
