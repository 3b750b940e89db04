//! What a heap is asked for: operations, and streams of them.
//!
//! A stream is made before any heap runs, so every heap is asked the same, in the same order. It is consistent: nothing is
//! allocated in a slot that is taken, and only what is live is freed or resized. An operation says all that a heap has to
//! be told, the old size included, so that a replay need not look anything up but the object's address.

use core::alloc::Layout;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object comes to life in a free slot.
    Allocate,
    /// The same, with all its bytes 0.
    AllocateZeroed,
    /// The object in a slot changes its size.
    Reallocate,
    /// The object in a slot dies.
    Free,
}

/// One call, in 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which object it is about.
    slot: u32,
    /// The size in bytes, after the operation where it changes that.
    size: u32,
    /// The size in bytes before it: that of [`Kind::Reallocate`] alone is different.
    old_size: u32,
    /// The logarithm of the alignment.
    align_log: u8,
    /// What is done.
    kind: Kind,
}

impl Operation {
    /// Returns what is done.
    #[inline]
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Returns which object it is about: an index below [`Stream::slots`].
    #[inline]
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Returns the size in bytes that the object has after it, or had when it died.
    #[inline]
    #[must_use]
    pub const fn size(self) -> usize {
        self.size as usize
    }

    /// Returns the layout that the heap is told: for [`Kind::Reallocate`], the one before it.
    #[inline]
    #[must_use]
    pub const fn layout(self) -> Layout {
        let align = 1 << self.align_log;
        // SAFETY: the builder, which alone makes operations, has seen to it that sizes have 32 bits and alignments 31.
        unsafe { Layout::from_size_align_unchecked(self.old_size as usize, align) }
    }
}

/// Operations for every heap alike.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// What has to be there before: not timed.
    pub setup: Vec<Operation>,
    /// What is asked about.
    pub body: Vec<Operation>,
    /// Frees what is live at the end: not timed.
    pub teardown: Vec<Operation>,
    /// One more than the largest slot.
    pub slots: usize,
    /// The most objects that are live at the same time.
    pub peak_objects: usize,
    /// The most bytes that are live at the same time.
    pub peak_bytes: usize,
}

/// A stream in the making: knows what is live.
#[derive(Debug, Default)]
pub struct StreamBuilder {
    /// What was done so far.
    stream: Stream,
    /// What is live, by slot: its size and the logarithm of its alignment.
    live: Vec<Option<(u32, u8)>>,
    /// How many objects are live.
    objects: usize,
    /// The sum of their sizes.
    bytes: usize,
}

impl StreamBuilder {
    /// Creates a stream in which nothing happens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets an object of `size` bytes come to life in `slot`.
    ///
    /// # Panics
    ///
    /// If the slot is taken, the size is 0, or either has more than 32 bits.
    pub fn allocate(&mut self, slot: usize, size: usize, align: usize) {
        self.begin(Kind::Allocate, slot, size, align);
    }

    /// The same, with all its bytes 0.
    ///
    /// # Panics
    ///
    /// As [`allocate`](Self::allocate).
    pub fn allocate_zeroed(&mut self, slot: usize, size: usize, align: usize) {
        self.begin(Kind::AllocateZeroed, slot, size, align);
    }

    /// Gives the object in `slot` a new size.
    ///
    /// # Panics
    ///
    /// If there is none, the size is 0 or has more than 32 bits.
    pub fn reallocate(&mut self, slot: usize, size: usize) {
        let (old_size, align_log) = self.live[slot].expect("a live object");
        assert_ne!(size, 0, "objects have a size");
        let size = u32::try_from(size).expect("less than 4 GiB");
        self.live[slot] = Some((size, align_log));
        self.count(0, old_size, size);
        self.push(Operation {
            slot: number(slot),
            size,
            old_size,
            align_log,
            kind: Kind::Reallocate,
        });
    }

    /// Lets the object in `slot` die.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn free(&mut self, slot: usize) {
        let operation = self.end(slot);
        self.push(operation);
    }

    /// Says that all so far was done to prepare what follows.
    pub fn setup_is_done(&mut self) {
        self.stream.setup = core::mem::take(&mut self.stream.body);
    }

    /// Returns the size of the object in `slot`, if one is live there.
    #[must_use]
    pub fn size_in(&self, slot: usize) -> Option<usize> {
        let (size, _) = (*self.live.get(slot)?)?;
        Some(size as usize)
    }

    /// Returns how many operations were added since the setup.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stream.body.len()
    }

    /// Returns whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stream.body.is_empty()
    }

    /// Frees what is live, and returns the stream.
    #[must_use]
    pub fn finish(mut self) -> Stream {
        for slot in 0..self.live.len() {
            if self.live[slot].is_some() {
                let operation = self.end(slot);
                self.stream.teardown.push(operation);
            }
        }
        self.stream.slots = self.live.len();
        self.stream
    }

    /// Adds an object.
    fn begin(&mut self, kind: Kind, slot: usize, size: usize, align: usize) {
        assert!(
            size > 0 && align.is_power_of_two(),
            "an object has a layout"
        );
        if slot >= self.live.len() {
            self.live.resize(slot + 1, None);
        }
        assert!(self.live[slot].is_none(), "slot {slot} is taken");
        let size = u32::try_from(size).expect("less than 4 GiB");
        let align_log = u8::try_from(align.trailing_zeros()).expect("a small number");
        assert!(align_log < 31, "an alignment below 2 GiB");
        self.live[slot] = Some((size, align_log));
        self.count(1, 0, size);
        self.push(Operation {
            slot: number(slot),
            size,
            old_size: size,
            align_log,
            kind,
        });
    }

    /// Takes an object away.
    fn end(&mut self, slot: usize) -> Operation {
        let (size, align_log) = self.live[slot].take().expect("a live object");
        self.objects -= 1;
        self.bytes -= size as usize;
        Operation {
            slot: number(slot),
            size,
            old_size: size,
            align_log,
            kind: Kind::Free,
        }
    }

    /// Counts what came.
    fn count(&mut self, objects: usize, old_size: u32, size: u32) {
        self.objects += objects;
        self.bytes = self.bytes - old_size as usize + size as usize;
        self.stream.peak_objects = self.stream.peak_objects.max(self.objects);
        self.stream.peak_bytes = self.stream.peak_bytes.max(self.bytes);
    }

    /// Adds an operation.
    fn push(&mut self, operation: Operation) {
        self.stream.body.push(operation);
    }
}

/// Returns a slot's number as it is kept.
fn number(slot: usize) -> u32 {
    u32::try_from(slot).expect("fewer than four thousand million objects")
}

#[cfg(test)]
mod tests {
    use super::{Kind, StreamBuilder};
    use core::alloc::Layout;

    #[test]
    fn an_operation_has_16_bytes() {
        assert_eq!(size_of::<super::Operation>(), 16);
    }

    #[test]
    fn a_stream_knows_its_peak_and_ends_empty() {
        let mut builder = StreamBuilder::new();
        builder.allocate(0, 100, 8);
        builder.setup_is_done();
        builder.allocate_zeroed(2, 50, 64);
        builder.reallocate(0, 300);
        builder.free(2);
        let stream = builder.finish();

        assert_eq!(
            (stream.setup.len(), stream.body.len(), stream.slots),
            (1, 3, 3)
        );
        assert_eq!((stream.peak_objects, stream.peak_bytes), (2, 350));
        let [last] = stream.teardown[..] else {
            panic!("one object is left: {:?}", stream.teardown);
        };
        assert_eq!(
            (last.kind(), last.slot(), last.size()),
            (Kind::Free, 0, 300)
        );
        let resized = stream.body[1];
        assert_eq!(
            resized.layout(),
            Layout::from_size_align(100, 8).expect("a layout")
        );
        assert_eq!(resized.size(), 300);
        assert_eq!(stream.body[0].layout().align(), 64);
    }

    #[test]
    #[should_panic(expected = "slot 0 is taken")]
    fn a_slot_is_taken_once() {
        let mut builder = StreamBuilder::new();
        builder.allocate(0, 1, 1);
        builder.allocate(0, 1, 1);
    }

    #[test]
    #[should_panic(expected = "a live object")]
    fn the_dead_stay_dead() {
        let mut builder = StreamBuilder::new();
        builder.allocate(0, 1, 1);
        builder.free(0);
        builder.free(0);
    }
}
