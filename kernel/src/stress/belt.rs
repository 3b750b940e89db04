//! Pairs of tasks: a producer allocates objects and puts them on a belt, its consumer takes, looks at and frees them, in the same
//! order. Both wait for each other again and again, so CPUs wake each other; and each object crosses from one to the
//! other, wherever the two are.

use lock_api::Mutex;

use super::object::Object;
use super::tally::{self, What};
use super::worker;
use crate::lock::{MaskingLock, named_lock};
use crate::random::Random;
use crate::tasks::Waiter;

/// The most pairs.
pub(super) const MOST_PAIRS: usize = 8;

/// How many objects a belt has room for: few, so that both ends are waited at.
const LENGTH: usize = 8;

/// The most bytes of an object are below 2 to this power.
const MOST_DOUBLINGS: u32 = 13;

named_lock!(BeltLock, "a belt's lock");

/// What is on a belt.
#[derive(Debug)]
struct Objects {
    /// The objects, those at the places from `first` on, going on at the start behind the end.
    places: [Option<Object>; LENGTH],
    /// Where the oldest one is.
    first: usize,
    /// How many there are.
    length: usize,
}

impl Objects {
    /// Puts an object on the belt, if there is room.
    fn put(&mut self, object: &mut Option<Object>) -> bool {
        let has_room = self.length < LENGTH;
        if has_room {
            self.places[(self.first + self.length) % LENGTH] = object.take();
            self.length += 1;
        }
        has_room
    }

    /// Takes the oldest object.
    fn take(&mut self) -> Option<Object> {
        let object = self.places[self.first].take()?;
        self.first = (self.first + 1) % LENGTH;
        self.length -= 1;
        Some(object)
    }
}

/// A belt from one task to another.
#[derive(Debug)]
struct Belt {
    /// What is on it.
    objects: Mutex<MaskingLock<BeltLock>, Objects>,
    /// Where the consumer waits for objects.
    filled: Waiter,
    /// Where the producer waits for room.
    emptied: Waiter,
}

/// All belts.
static BELTS: [Belt; MOST_PAIRS] = [const {
    Belt {
        objects: Mutex::new(Objects {
            places: [const { None }; LENGTH],
            first: 0,
            length: 0,
        }),
        filled: Waiter::new(),
        emptied: Waiter::new(),
    }
}; MOST_PAIRS];

/// Produces until it is over.
pub(super) fn produce(pair: usize, seed: u64) {
    let belt = &BELTS[pair];
    let mut random = worker::random_from(seed);
    while !tally::is_over() {
        tally::count(What::Step);
        let mut object = object(&mut random);
        if object.is_none() {
            tally::count(What::Null);
            continue;
        }
        tally::count(What::Allocation);
        // An object that finds no room before it is over is freed here.
        belt.emptied.wait_for(|| {
            let is_done = belt.objects.lock().put(&mut object) || tally::is_over();
            is_done.then_some(())
        });
        belt.filled.wake();
    }
}

/// Consumes until it is over.
pub(super) fn consume(pair: usize) {
    let belt = &BELTS[pair];
    while !tally::is_over() {
        tally::count(What::Step);
        let object = belt.filled.wait_for(|| {
            let object = belt.objects.lock().take();
            (object.is_some() || tally::is_over()).then_some(object)
        });
        belt.emptied.wake();
        if let Some(object) = object {
            tally::count(What::Exchange);
            object.look("when its consumer has got it");
        }
    }
}

/// Has everybody look up who waits at a belt: it is over.
pub(super) fn wake_all() {
    for belt in &BELTS {
        belt.filled.wake();
        belt.emptied.wake();
    }
}

/// Frees what was left on the belts.
pub(super) fn clear() {
    for belt in &BELTS {
        // The lock is not held while an object is freed.
        while let Some(object) = { belt.objects.lock().take() } {
            drop(object);
        }
    }
}

/// Allocates an object. `None` where the heap answers with null.
fn object(random: &mut Random) -> Option<Object> {
    let size = random.log_distributed(0, MOST_DOUBLINGS);
    let fill = random.next_number().to_le_bytes()[2];
    Object::new(worker::layout_of(size, random.below(5)), fill)
}
