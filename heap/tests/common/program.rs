//! Programs for a heap: lists of actions, made of any bytes, and run against a list of what should be live.
//!
//! They serve three kinds of test: random programs (`tests/shadow.rs`, `tests/sharded_shadow.rs`), the search of a fuzzer
//! (`fuzz/`), and what it found (`tests/fuzz_corpus.rs`). In a heap for many CPUs, each action is done on one of them.
//!
//! A new action is a variant of [`Action`], a line in [`Action::read`] and an arm in [`Shadow::step`]; the random
//! programs then have it too, since they are made of random bytes.

use core::alloc::Layout;
use core::cell::Cell;
use core::cmp::{max, min};
use std::collections::BTreeMap;

use stack_alloc::{
    BLOCK_SIZE, CurrentCpu, LARGEST_RESERVE, MisuseKind, ObjectKind, ObjectState, PAGE_SIZE,
};

use super::chosen_cpu::{Chosen, on, waiting};
use super::counting_source::{Abilities, CountingSource};
use super::{
    Heap, HeapUnderTest, Object, assert_empty, assert_empty_after_trim, assert_sound, give_back,
    layout, reallocate, remember, seen,
};

/// The most actions of one program, so that no input of the fuzzer takes long.
const LONGEST_PROGRAM: usize = 256;

/// The most objects that one action makes or frees: a page of the smallest chunks, and one more. Few in Miri, which takes
/// its time.
const MOST_AT_ONCE: usize = if cfg!(miri) { 17 } else { 257 };

/// The most bytes that one action allocates as many objects.
const MOST_BYTES_AT_ONCE: usize = 2 * BLOCK_SIZE;

/// The bytes that the source gives at first: more than most programs ask for, and at most some milliseconds' work.
const LIMIT: usize = 16 << 20;

/// One step of a program. Where one names the `n`-th object, it is that of the live ones, modulo their number; while
/// nothing is live, it does nothing.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Allocate, perhaps zeroed.
    Allocate {
        size: usize,
        align: usize,
        zeroed: bool,
    },
    /// Allocate objects of one size, so that stacks fill up.
    AllocateMany { count: usize, size: usize },
    /// Free the n-th object.
    Free(usize),
    /// Free the n-th object again and again.
    FreeMany { count: usize, n: usize },
    /// Reallocate the n-th object to this size.
    Reallocate(usize, usize),
    /// Give back what is not needed.
    Trim,
    /// Make the source refuse the n-th request from now on, counted from 1.
    Refuse(usize),
    /// Let the source give so many bytes more.
    Limit(usize),
    /// Free the n-th object, and at once a second time.
    FreeTwice(usize),
    /// Free and reallocate, wrongly, the n-th object or something near it.
    Mistake(usize, Mistake),
    /// Change what the source can do.
    Abilities(Abilities),
    /// Hold so many blocks back.
    Reserve(usize),
    /// Be in an urgent context from now on, or no longer.
    Urgent(bool),
    /// Ask what is at the n-th object, so many bytes behind its start, modulo its size.
    WhatIs(usize, usize),
    /// Walk over all live objects.
    Walk,
    /// Let so many chunks wait that were given back. Does nothing without the feature `quarantine`.
    Quarantine(usize),
    /// Take over what another CPU has. Does nothing in a heap that all CPUs share.
    TakeOver(usize),
}

/// An action, and who does it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The CPU: any number.
    pub(crate) cpu: usize,
    /// Whether the action may wait, if it is one that need not.
    pub(crate) may_wait: bool,
    /// What is done.
    pub(crate) action: Action,
}

/// A wrong free of a live object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mistake {
    /// The pointer leads inside the object, so many bytes behind its start, modulo its size.
    Inside(usize),
    /// The size is so much larger that another kind of object has it.
    TooLarge,
    /// The size is so much smaller that another kind of object has it, where that can be.
    TooSmall,
    /// The alignment is one that the address lacks.
    TooAligned,
    /// The pointer leads to a variable of the test.
    Foreign,
    /// The pointer is null.
    Null,
}

/// Makes a program of bytes. Any bytes are one; what is missing at the end is taken for zeros.
pub(crate) fn decode(bytes: &[u8]) -> Vec<Action> {
    let mut bytes = Bytes(bytes);
    let next = || (!bytes.0.is_empty()).then(|| Action::read(&mut bytes));
    core::iter::from_fn(next).take(LONGEST_PROGRAM).collect()
}

/// Makes a program for many CPUs of bytes, in the same way.
pub(crate) fn decode_steps(bytes: &[u8]) -> Vec<Step> {
    let mut bytes = Bytes(bytes);
    let next = || (!bytes.0.is_empty()).then(|| Step::read(&mut bytes));
    core::iter::from_fn(next).take(LONGEST_PROGRAM).collect()
}

impl Step {
    /// Reads the next step. One in eight may not wait.
    fn read(bytes: &mut Bytes<'_>) -> Self {
        let who = bytes.byte();
        Self {
            cpu: who % 8,
            may_wait: who < 0xe0,
            action: Action::read(bytes),
        }
    }
}

impl Action {
    /// Reads the next action. How likely it is to be this or that one is the part that it has of a byte's values.
    fn read(bytes: &mut Bytes<'_>) -> Self {
        match bytes.byte() {
            code @ 0x00..0x40 => Self::Allocate {
                size: bytes.size(),
                align: bytes.align(),
                zeroed: code % 4 == 3,
            },
            0x40..0x50 => {
                let (count, size) = (1 + bytes.byte(), bytes.size());
                Self::AllocateMany {
                    count: count.min(MOST_BYTES_AT_ONCE / size.max(1)),
                    size,
                }
            }
            0x50..0x60 => Self::FreeMany {
                count: 1 + bytes.byte(),
                n: bytes.byte(),
            },
            0x60..0x80 => Self::Reallocate(bytes.byte(), bytes.size()),
            0x80..0x88 => Self::Trim,
            0x88..0x90 => Self::Refuse(1 + bytes.byte() % 8),
            0x90..0x98 => Self::Limit(bytes.size()),
            0x98..0xa0 => Self::Limit(LIMIT),
            0xa0..0xa8 => Self::FreeTwice(bytes.byte()),
            0xa8..0xb0 => Self::Mistake(bytes.byte(), Mistake::read(bytes)),
            0xb0..0xb4 => Self::Abilities(abilities(bytes.byte())),
            0xb4..0xb6 => Self::Reserve(bytes.byte() % (LARGEST_RESERVE + 2)),
            0xb6 => Self::Urgent(true),
            0xb7 => Self::Urgent(false),
            0xb8..0xbb => Self::WhatIs(bytes.byte(), bytes.size()),
            0xbb => Self::Walk,
            0xbc => Self::Quarantine(bytes.byte() % 80),
            0xbd => Self::TakeOver(bytes.byte() % 8),
            // Whatever no other action has.
            _ => Self::Free(bytes.byte()),
        }
    }
}

impl Mistake {
    /// Reads a mistake.
    fn read(bytes: &mut Bytes<'_>) -> Self {
        match bytes.byte() % 8 {
            0..=2 => Self::Inside(bytes.size()),
            3 => Self::TooLarge,
            4 => Self::TooSmall,
            5 => Self::TooAligned,
            6 => Self::Foreign,
            _ => Self::Null,
        }
    }
}

/// Reads abilities off the bits of a byte.
const fn abilities(bits: usize) -> Abilities {
    Abilities {
        parts: bits & 1 != 0,
        resizes: bits & 2 != 0,
        zeroed: bits & 4 != 0,
    }
}

thread_local! {
    /// Whether the program is in an urgent context.
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// What is left of a program's bytes.
struct Bytes<'bytes>(&'bytes [u8]);

impl Bytes<'_> {
    /// Takes one byte, 0 when none is left.
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first)
    }

    /// Takes a size of two bytes: 0, or 1 byte to 1 MiB, spread over its logarithm.
    fn size(&mut self) -> usize {
        let number = self.byte() << 8 | self.byte();
        if number == 0 {
            return 0;
        }
        let (log, noise) = ((number >> 11) % 20, number & 0x7ff);
        (1 << log) + ((noise << log) >> 11)
    }

    /// Takes an alignment of one byte: mostly 16 bytes at most, sometimes up to a page, seldom up to 2 MiB.
    fn align(&mut self) -> usize {
        match self.byte() {
            number @ 0x00..0xa0 => 1 << (number % 5),
            number @ 0xa0..0xe0 => 1 << (number % 13),
            number => 1 << (number % 22),
        }
    }
}

/// Runs a program on a new heap with one lock, and asserts that the heap does what it promises at every step and is empty
/// afterwards.
pub(crate) fn run(actions: &[Action]) {
    let step = |action: &Action| Step {
        cpu: 0,
        may_wait: true,
        action: action.clone(),
    };
    run_on::<Heap>(&actions.iter().map(step).collect::<Vec<_>>());
}

/// Runs a program on a new heap of the kind `H`, and asserts the same.
pub(crate) fn run_on<H: HeapUnderTest<Source = CountingSource>>(steps: &[Step]) {
    let mut shadow = Shadow::<H>::new();
    for (number, step) in (1_u8..=250).cycle().zip(steps) {
        on(step.cpu, || shadow.step(step, number));
        assert_eq!(seen(), [], "{step:?} is right, and was called a misuse");
        // The walk through the heap is the costly part: all the same, no fault goes unseen for more than a few steps.
        if number % 4 == 0 {
            shadow.assert_counted();
        }
    }
    shadow.end();
}

/// The heap, and what it should hold.
struct Shadow<H> {
    heap: H,
    live: Vec<Object>,
    /// Start and end of every live object. An empty one has its address to itself.
    places: BTreeMap<usize, usize>,
    /// How many requests were answered with null.
    failures: u64,
}

impl<H: HeapUnderTest<Source = CountingSource>> Shadow<H> {
    fn new() -> Self {
        let heap = H::over(CountingSource::new(LIMIT));
        heap.set_misuse_handler(remember);
        URGENT.set(false);
        Self {
            heap,
            live: Vec::new(),
            places: BTreeMap::new(),
            failures: 0,
        }
    }

    /// Does one step in both.
    fn step(&mut self, step: &Step, fill: u8) {
        match step.action {
            Action::Allocate { .. }
            | Action::AllocateMany { .. }
            | Action::Free(_)
            | Action::FreeMany { .. }
            | Action::Reallocate(..)
            | Action::FreeTwice(_)
            | Action::Mistake(..) => waiting(step.may_wait, || self.act(&step.action, fill)),
            _ => self.act(&step.action, fill),
        }
    }

    /// Does one action in both.
    fn act(&mut self, action: &Action, fill: u8) {
        match *action {
            Action::Allocate {
                size,
                align,
                zeroed,
            } => self.allocate(layout(size, align), zeroed, fill),
            Action::AllocateMany { count, size } => {
                for _ in 0..min(count, MOST_AT_ONCE) {
                    self.allocate(layout(size, 1), false, fill);
                }
            }
            Action::Free(n) => self.free(n),
            Action::FreeMany { count, n } => {
                for _ in 0..min(count, MOST_AT_ONCE) {
                    self.free(n);
                }
            }
            Action::Reallocate(n, size) => self.reallocate(n, size, fill),
            Action::Trim => self.heap.trim(),
            Action::Refuse(n) => {
                let source = self.heap.source();
                source.refuse(source.requests() + n);
            }
            Action::Limit(bytes) => self.heap.source().set_left(bytes),
            Action::FreeTwice(n) => self.free_twice(n),
            Action::Mistake(n, mistake) => self.make(mistake, n),
            Action::Abilities(abilities) => self.heap.source().set_abilities(abilities),
            Action::Reserve(blocks) => self.set_reserve(blocks),
            Action::Urgent(is_urgent) => URGENT.set(is_urgent),
            Action::WhatIs(n, offset) => self.look_at(n, offset),
            Action::Walk => self.walk(),
            Action::Quarantine(chunks) => self.heap.set_quarantine(chunks),
            Action::TakeOver(cpu) => self.take_over(cpu),
        }
    }

    /// Changes the reserve, and asserts that it is as large as the heap says.
    fn set_reserve(&self, blocks: usize) {
        let reserved = self.heap.set_reserve(blocks, || URGENT.get());
        assert!(reserved <= blocks.min(LARGEST_RESERVE));
        assert_eq!(self.heap.statistics().blocks_reserved, reserved);
    }

    /// Takes over what another CPU has: at most all blocks that there are.
    fn take_over(&self, cpu: usize) {
        let blocks = self.heap.statistics().blocks;
        assert!(self.heap.take_over(cpu) <= blocks);
    }

    /// Asserts that the heap knows the n-th object at any of its bytes.
    fn look_at(&self, n: usize, offset: usize) {
        if self.live.is_empty() {
            return;
        }
        let object = &self.live[n % self.live.len()];
        let start = object.pointer().addr();
        let size = max(object.layout().size(), 1);
        let found = self.heap.what_is(start + offset % size).object();
        let found = found.expect("there is an object");
        assert_eq!((found.address, found.state), (start, ObjectState::Live));
        assert!(found.size >= size);
    }

    /// Asserts that the heap's walk meets every live object once, and nothing else.
    fn walk(&self) {
        let mut walked: Vec<_> = self
            .heap
            .live_objects()
            .map(|object| object.address)
            .collect();
        walked.sort_unstable();
        assert!(walked.iter().eq(self.places.keys()));
    }

    fn allocate(&mut self, layout: Layout, zeroed: bool, fill: u8) {
        let before = Prospects::of(&self.heap);
        let object = if zeroed {
            Object::try_zeroed(&self.heap, layout, fill)
        } else {
            Object::try_new(&self.heap, layout, fill)
        };
        match object {
            Some(object) => self.add(object),
            None => self.fail(&before, layout),
        }
    }

    fn reallocate(&mut self, n: usize, size: usize, fill: u8) {
        let Some(mut object) = self.remove(n) else {
            return;
        };
        let before = Prospects::of(&self.heap);
        if !object.resize(&self.heap, size, fill) {
            self.fail(&before, layout(size, object.layout().align()));
        }
        self.add(object);
    }

    fn free(&mut self, n: usize) {
        if let Some(object) = self.remove(n) {
            object.free(&self.heap);
        }
    }

    fn free_twice(&mut self, n: usize) {
        let Some(object) = self.remove(n) else {
            return;
        };
        let (pointer, layout) = (object.pointer(), object.layout());
        let known = self.heap.what_is(pointer.addr()).object();
        let is_region = known.is_some_and(|object| object.kind == ObjectKind::Region);
        object.free(&self.heap);
        // A region that no shard has any more may still be on its way to the source.
        let kinds = match self.heap.source().owns(pointer.addr()) {
            true if H::IS_SHARDED && is_region => {
                &[MisuseKind::DoubleFree, MisuseKind::GoneBack][..]
            }
            true => &[MisuseKind::DoubleFree],
            false => &[MisuseKind::GoneBack],
        };
        self.assert_refused(pointer, layout, kinds);
    }

    /// Makes a mistake with the n-th object.
    fn make(&mut self, mistake: Mistake, n: usize) {
        if self.live.is_empty() {
            return;
        }
        let object = &self.live[n % self.live.len()];
        let (pointer, right) = (object.pointer(), object.layout());
        let (size, align) = (right.size(), right.align());
        match mistake {
            Mistake::Inside(offset) => {
                // The smallest object has 16 bytes, whatever was asked for.
                let offset = 1 + offset % (max(size, 16) - 1);
                let inside = pointer.wrapping_add(offset);
                self.assert_refused(inside, right, &[MisuseKind::Interior]);
            }
            // No size is rounded up to more than twice as much, or to its alignment.
            Mistake::TooLarge => {
                let wrong = layout(2 * max(max(size, align), 16) + 1, align);
                self.assert_refused(pointer, wrong, &[MisuseKind::WrongSize]);
            }
            Mistake::TooSmall if size >= 64 && align <= size / 4 => {
                let wrong = layout(size / 4, align);
                self.assert_refused(pointer, wrong, &[MisuseKind::WrongSize]);
            }
            Mistake::TooSmall => {}
            Mistake::TooAligned => {
                let wrong = layout(size, 2 << pointer.addr().trailing_zeros());
                // Where the right alignment led to a larger object, the size alone is wrong already.
                let kinds = [MisuseKind::WrongAlignment, MisuseKind::WrongSize];
                self.assert_refused(pointer, wrong, &kinds);
            }
            Mistake::Foreign => {
                let mut foreign = 0_u8;
                self.assert_refused(&raw mut foreign, right, &[MisuseKind::Foreign]);
            }
            Mistake::Null => {
                self.assert_refused(core::ptr::null_mut(), right, &[MisuseKind::Null]);
            }
        }
    }

    /// Asserts that to free and to reallocate `pointer`, on any CPU, is reported as one of `kinds`, and changes nothing.
    #[track_caller]
    fn assert_refused(&self, pointer: *mut u8, layout: Layout, kinds: &[MisuseKind]) {
        // Of what it keeps, a heap of shards may let go what somebody who may not wait had put aside, or what its reserve lacks.
        let numbers = || {
            let all = self.heap.statistics();
            let classes = all.classes.map(|class| (class.allocations, class.frees));
            let counted = (classes, all.runs, all.regions, all.bytes_requested);
            (counted, (!H::IS_SHARDED).then_some(all))
        };
        let before = numbers();
        for cpu in 0..H::CPUS {
            on(cpu, || self.assert_refused_here(pointer, layout, kinds));
        }
        assert_eq!(numbers(), before);
    }

    /// Asserts that to free and to reallocate `pointer` is reported as one of `kinds`.
    #[track_caller]
    fn assert_refused_here(&self, pointer: *mut u8, layout: Layout, kinds: &[MisuseKind]) {
        give_back(&self.heap, pointer, layout);
        let moved = reallocate(&self.heap, pointer, layout, 2 * layout.size());
        assert!(moved.is_null());
        let seen = seen();
        assert_eq!(seen.len(), 2, "both are reported: {seen:?}");
        for misuse in seen {
            assert_eq!((misuse.address, misuse.layout), (pointer.addr(), layout));
            assert!(kinds.contains(&misuse.kind), "not {kinds:?}: {misuse:?}");
        }
    }

    /// Puts a new object among the live ones, and asserts that it shares no byte with them.
    #[track_caller]
    fn add(&mut self, object: Object) {
        let start = object.range().start;
        let end = max(object.range().end, start + 1);
        if let Some((_, end_below)) = self.places.range(..end).next_back() {
            assert!(*end_below <= start, "{object:?} overlaps what is live");
        }
        self.places.insert(start, end);
        self.live.push(object);
    }

    /// Takes the n-th object from the live ones.
    fn remove(&mut self, n: usize) -> Option<Object> {
        if self.live.is_empty() {
            return None;
        }
        let object = self.live.swap_remove(n % self.live.len());
        self.places.remove(&object.range().start);
        Some(object)
    }

    /// Counts a null, and asserts that the source gave a reason for it, if it could be asked.
    #[track_caller]
    fn fail(&mut self, before: &Prospects, layout: Layout) {
        self.failures += 1;
        if !Chosen::may_wait() {
            return;
        }
        let refused = self.heap.source().has_refused_since(before.requests);
        // A region takes its pages, and perhaps a block for its record; anything else takes a block.
        let enough = layout.size() + PAGE_SIZE + BLOCK_SIZE;
        assert!(
            refused || before.left < enough,
            "null for {layout:?}, though the source had {} bytes",
            before.left
        );
    }

    /// Asserts that the heap counts what is live, and that its invariants hold.
    #[track_caller]
    fn assert_counted(&self) {
        assert_sound(&self.heap);
        let statistics = self.heap.statistics();
        assert_eq!(statistics.live(), self.live.len() as u64);
        let requested = self.live.iter().map(|object| object.layout().size());
        assert_eq!(statistics.bytes_requested, requested.sum::<usize>());
        assert!(statistics.bytes_used >= statistics.bytes_requested);
        assert!(statistics.bytes_held >= statistics.bytes_used);
        assert_eq!(statistics.failures, self.failures);
    }

    /// Frees everything.
    fn end(mut self) {
        self.assert_counted();
        self.walk();
        for object in self.live.drain(..) {
            object.free(&self.heap);
        }
        assert_eq!(seen(), [], "a right free was called a misuse");
        self.heap.set_quarantine(0);
        self.set_reserve(0);
        self.assert_empty();
    }

    /// Asserts that the heap gives everything back. (A heap of shards may need to be told.)
    fn assert_empty(&self) {
        if H::IS_SHARDED {
            assert_empty_after_trim(&self.heap);
        } else {
            assert_empty(&self.heap);
        }
    }
}

/// What the source had before a request.
struct Prospects {
    /// How often it had been asked.
    requests: usize,
    /// The bytes that it might still give.
    left: usize,
}

impl Prospects {
    fn of(heap: &impl HeapUnderTest<Source = CountingSource>) -> Self {
        Self {
            requests: heap.source().requests(),
            left: heap.source().left(),
        }
    }
}
