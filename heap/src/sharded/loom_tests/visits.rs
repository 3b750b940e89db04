//! Visits that race with what is visited going away: why a header outlives whoever looks at it.
//!
//! What stands for a block's memory is a cell that loom tracks: a visitor reads it, and that memory goes on is a write. So loom finds
//! a visitor who comes too late, and one who is not done.

use core::ptr::{self, NonNull};
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use lock_api::RawMutex;
use loom::cell::UnsafeCell as TrackedUnsafeCell;
use loom::thread;

use crate::sharded::table::{Entry, Table};
use crate::sharded::visits::{Visit, Visits};
use crate::sync::{AtomicPtr, AtomicUsize, Mutex, Ordering, is_locked};
use crate::units::BLOCK_SIZE;

/// What stands in the table.
struct Record {
    address: usize,
    next: AtomicPtr<Record>,
    /// What its owner writes before it is put in.
    header: TrackedUnsafeCell<u32>,
    /// What visitors write.
    word: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq)]
struct Handle(NonNull<Record>);

impl Entry for Handle {
    type Record = Record;

    fn record(self) -> NonNull<Record> {
        self.0
    }

    unsafe fn from_record(record: NonNull<Record>) -> Self {
        Self(record)
    }

    fn next(&self) -> &AtomicPtr<Record> {
        // SAFETY: records stay to the end of the model; loom finds who looks at one that has gone on.
        unsafe { &self.0.as_ref().next }
    }

    fn address(self) -> usize {
        self.get().address
    }
}

impl Handle {
    fn new(address: usize, header: u32) -> Self {
        Self(NonNull::from(Box::leak(Box::new(Record {
            address,
            next: AtomicPtr::new(ptr::null_mut()),
            header: TrackedUnsafeCell::new(header),
            word: AtomicUsize::new(0),
        }))))
    }

    fn get<'a>(self) -> &'a Record {
        // SAFETY: see `next`.
        unsafe { self.0.as_ref() }
    }

    /// Looks at the memory, and writes in it as a free does. Returns the header.
    fn touch(self) -> u32 {
        // SAFETY: loom proves that nobody writes.
        let header = self.get().header.with(|header| unsafe { *header });
        self.get().word.fetch_or(1, Ordering::AcqRel);
        header
    }

    /// Lets the memory go on to somebody else, who writes there.
    fn goes_on(mut self, header: u32) {
        // SAFETY: loom proves that nobody else looks.
        self.get().header.with_mut(|old| unsafe { *old = header });
        // SAFETY: likewise.
        let record = unsafe { self.0.as_mut() };
        record.word.with_mut(|word| *word = 0);
        record.next.with_mut(|next| *next = ptr::null_mut());
    }
}

/// A shard's lock.
type Lock = Mutex<spin::Mutex<()>, ()>;

/// Entries at two addresses of one place, and who looks at them.
struct Model {
    table: Table<Handle, 1>,
    locks: [Lock; 2],
    visits: [Visits; 2],
    first: Handle,
    second: Handle,
}

// SAFETY: the handles' records are shared under loom's eyes.
unsafe impl Sync for Model {}
// SAFETY: nothing is bound to a thread.
unsafe impl Send for Model {}

impl Model {
    /// Creates a table with both entries, the second one behind the first.
    fn new() -> Arc<Self> {
        let model = Self {
            table: Table::new(),
            locks: [(); 2].map(|()| Lock::const_new(RawMutex::INIT, ())),
            visits: [Visits::new(), Visits::new()],
            first: Handle::new(0, 1),
            second: Handle::new(BLOCK_SIZE, 2),
        };
        for entry in [model.second, model.first] {
            // SAFETY: there is one thread yet.
            unsafe { model.table.insert(entry) };
        }
        Arc::new(model)
    }

    /// Looks `address` up on a visit of shard `shard`, and touches what is there. Returns its header.
    fn look(&self, shard: usize, has_entered: bool, address: usize) -> Option<u32> {
        let entered = has_entered.then(|| self.locks[shard].lock());
        let visit = match &entered {
            Some(guard) => Visit::of_entered(guard),
            None => self.visits[shard].begin(),
        };
        let mut entries = self.table.entries(address, &visit);
        let entry = entries.find(|entry| entry.address() == address)?;
        Some(entry.touch())
    }

    /// Takes an entry out. Called by the one writer.
    fn remove(&self, entry: Handle) {
        // SAFETY: there is one writer.
        unsafe { self.table.remove(entry) };
    }

    fn visits_are_over(&self) -> bool {
        let are_free = self.locks.iter().all(|lock| !is_locked(lock));
        are_free && self.visits.iter().all(Visits::are_over)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        for entry in [self.first, self.second] {
            // SAFETY: it came out of a box, and the model has ended.
            drop(unsafe { Box::from_raw(entry.0.as_ptr()) });
        }
    }
}

/// Lets a visitor of each shard look at these addresses, while the writer does `work`: one who has entered his shard in one of them, and
/// one who is counted in the other one. What is at `stays` must be found.
fn while_visited(
    addresses: &'static [&'static [usize]],
    stays: Option<usize>,
    work: impl Fn(&Model) + Copy + Send + Sync + 'static,
) {
    for entered in [0, 1] {
        try_while_visited(addresses, stays, entered, work);
    }
}

/// Does what [`while_visited`] does, the one who has entered his shard being in `entered`.
fn try_while_visited(
    addresses: &'static [&'static [usize]],
    stays: Option<usize>,
    entered: usize,
    work: impl Fn(&Model) + Send + Sync + 'static,
) {
    loom::model(move || {
        let model = Model::new();
        let threads: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(shard, addresses)| {
                let model = Arc::clone(&model);
                thread::spawn(move || {
                    for address in *addresses {
                        let header = model.look(shard, shard == entered, *address);
                        let right = 1 + u32::from(*address >= BLOCK_SIZE);
                        assert!(
                            header.is_none_or(|header| header % 10 == right),
                            "{header:?}"
                        );
                        assert!(header.is_some() || stays != Some(*address), "it is there");
                    }
                })
            })
            .collect();
        work(&model);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        assert!(model.visits_are_over());
    });
}

/// Takes `entry` out, and lets its memory go on when nobody looks, asking at most `times`. Returns whether it went.
fn let_go(model: &Model, entry: Handle, times: usize) -> bool {
    model.remove(entry);
    let may_go = (0..times).any(|_| model.visits_are_over());
    if may_go {
        entry.goes_on(7);
    }
    may_go
}

#[test]
fn the_first_entry_goes() {
    while_visited(&[&[0]], None, |model| {
        let_go(model, model.first, 2);
    });
}

#[test]
fn the_first_entry_goes_before_two() {
    while_visited(&[&[0], &[0]], None, |model| {
        let_go(model, model.first, 1);
    });
}

#[test]
fn an_entry_goes_that_is_passed() {
    while_visited(&[&[BLOCK_SIZE]], Some(BLOCK_SIZE), |model| {
        let_go(model, model.first, 2);
    });
}

#[test]
fn the_last_entry_goes() {
    while_visited(&[&[BLOCK_SIZE]], None, |model| {
        let_go(model, model.second, 2);
    });
}

#[test]
fn both_entries_go() {
    while_visited(&[&[BLOCK_SIZE]], None, |model| {
        let has_gone = let_go(model, model.first, 1);
        if let_go(model, model.second, 1) && !has_gone {
            model.first.goes_on(7);
        }
    });
}

#[test]
fn who_visits_again_finds_nothing_or_what_is_new() {
    while_visited(&[&[0, 0]], None, |model| {
        if let_go(model, model.first, 1) {
            model.first.goes_on(11);
            // SAFETY: there is one writer; it was taken out, and every visit was over.
            unsafe { model.table.insert(model.first) };
        }
    });
}

/// Takes the first entry out, and puts it in again with another header when nobody looks.
fn come_again(model: &Model) {
    model.remove(model.first);
    if model.visits_are_over() {
        model.first.goes_on(21);
        // SAFETY: as above.
        unsafe { model.table.insert(model.first) };
    }
}

#[test]
fn an_entry_comes() {
    while_visited(&[&[0]], None, come_again);
}

#[test]
fn an_entry_comes_before_one_that_stays() {
    while_visited(&[&[BLOCK_SIZE]], Some(BLOCK_SIZE), come_again);
}
