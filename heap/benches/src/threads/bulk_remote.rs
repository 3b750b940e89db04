//! One thread allocates very many objects, then the other frees them all: no free is one of its own, and nothing is free until
//! they begin. What the first thread allocates next has to come from there.

use crate::heap::Heap;
use crate::replay::OutOfMemory;
use crate::rounds::pass;
use crate::threads::Round;
use crate::threads::crew::Part;
use crate::threads::parcel::{Parcel, allocate_all, free_all, sizes};
use crate::threads::queue::{Receiver, Sender, queue};
use crate::workloads::{random_mix, warm_up};

/// How many objects there are.
const OBJECTS: usize = 100_000;
/// How often they come and go.
const PASSES: usize = 4;

/// The thread that allocates.
struct Filling {
    /// What random numbers begin with.
    seed: u64,
    /// How large the objects are.
    sizes: Vec<u32>,
    /// Where they go. Gone when all were sent, so that the other thread learns of it.
    sender: Option<Sender<Vec<Parcel>>>,
    /// Where the empty array comes back.
    receiver: Receiver<Vec<Parcel>>,
}

/// The thread that frees.
struct Emptying {
    /// What random numbers begin with.
    seed: u64,
    /// Where objects come from.
    receiver: Receiver<Vec<Parcel>>,
    /// Where the empty array goes.
    sender: Sender<Vec<Parcel>>,
    /// How many objects will come.
    expected: usize,
}

/// Makes the parts.
pub(super) fn parts(round: Round) -> Vec<Box<dyn Part>> {
    let (full_sender, full_receiver) = queue(1);
    let (mut empty_sender, empty_receiver) = queue(1);
    let objects = round.amount(OBJECTS);
    assert!(
        empty_sender.send(Vec::with_capacity(objects)),
        "both are here"
    );
    vec![
        Box::new(Filling {
            seed: round.seed_of(0),
            sizes: sizes(objects, random_mix::SMALL, round.seed),
            sender: Some(full_sender),
            receiver: empty_receiver,
        }),
        Box::new(Emptying {
            seed: round.seed_of(1),
            receiver: full_receiver,
            sender: empty_sender,
            expected: PASSES * objects,
        }),
    ]
}

impl Part for Filling {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &warm_up(self.seed)).map(drop)
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        let mut sender = self.sender.take().expect("work is done once");
        for _ in 0..PASSES {
            // The other thread goes first only when it had no memory for its preparations, and says so itself.
            let Some(mut parcels) = self.receiver.receive() else {
                return Ok(());
            };
            allocate_all(heap, &self.sizes, &mut parcels)?;
            sender.send(parcels);
        }
        Ok(())
    }

    fn clean_up(self: Box<Self>, _: &dyn Heap) {}

    fn operations(&self) -> usize {
        PASSES * self.sizes.len()
    }
}

impl Part for Emptying {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &warm_up(self.seed)).map(drop)
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        while let Some(mut parcels) = self.receiver.receive() {
            // SAFETY: the other thread has allocated them there.
            unsafe { free_all(heap, parcels.drain(..)) };
            self.sender.send(parcels);
        }
        Ok(())
    }

    fn clean_up(self: Box<Self>, _: &dyn Heap) {}

    fn operations(&self) -> usize {
        self.expected
    }
}
