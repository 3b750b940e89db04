//! Recorded programs: reads the files of `tests/traces`, whose format is described there.
//!
//! Pure: bytes go in, operations come out, or one sentence that says why not. What comes out is consistent: nothing is
//! allocated over a live object, and nothing is freed or resized that is not live, so a replay has nothing to check.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::error::Error;
use core::fmt;
use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

/// What a file begins with, once unpacked.
const MAGIC: &[u8] = b"PBT1";

/// Operations and slots are at least a byte each of what was recorded, so a file with more of them is a wrong one.
const MOST: usize = 1 << 28;

/// One call that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An object comes to life in a slot that is free.
    Allocate {
        slot: usize,
        layout: Layout,
        zeroed: bool,
    },
    /// The object in a slot changes its size and keeps its alignment.
    Reallocate { slot: usize, size: usize },
    /// The object in a slot dies.
    Free { slot: usize },
}

impl Operation {
    /// Returns the slot of the object that it is about.
    pub(crate) const fn slot(self) -> usize {
        match self {
            Self::Allocate { slot, .. } | Self::Reallocate { slot, .. } | Self::Free { slot } => {
                slot
            }
        }
    }
}

/// A recorded program.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The calls, first to last. All slots are below `slots`.
    pub(crate) operations: Vec<Operation>,
    /// How many objects are live at the same time, at most.
    pub(crate) slots: usize,
    /// The most bytes that are live at the same time.
    pub(crate) peak: usize,
    /// The size in bytes of the largest object.
    pub(crate) largest: usize,
}

impl Trace {
    /// Unpacks and decodes a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub(crate) fn unpack(file: &[u8]) -> Result<Self, TraceError> {
        let mut bytes = Vec::new();
        let mut unpacking = StreamingDecoder::new(file)
            .map_err(|error| TraceError::Packing(io::Error::other(error)))?;
        unpacking
            .read_to_end(&mut bytes)
            .map_err(TraceError::Packing)?;
        Self::decode(&bytes)
    }

    /// Decodes what was unpacked.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(TraceError::Magic)?;
        let mut reader = Reader { rest: body };
        let count = reader.number().and_then(in_bounds);
        let slots = reader.number().and_then(in_bounds);
        let length = reader.number();
        let (Some(count), Some(slots), Some(length)) = (count, slots, length) else {
            return Err(TraceError::Header);
        };
        if length != reader.rest.len() {
            let found = reader.rest.len();
            return Err(TraceError::Length { length, found });
        }
        let mut program = Program::new(slots);
        let mut operations = Vec::with_capacity(count);
        for number in 0..count {
            let operation = reader
                .operation()
                .and_then(|operation| program.follow(operation).map(|()| operation))
                .map_err(|fault| TraceError::Operation { number, fault })?;
            operations.push(operation);
        }
        if !reader.rest.is_empty() {
            return Err(TraceError::Surplus(reader.rest.len()));
        }
        Ok(Self {
            operations,
            slots,
            peak: program.peak,
            largest: program.largest,
        })
    }
}

/// Returns `number` if that many operations or slots can be meant.
fn in_bounds(number: usize) -> Option<usize> {
    (number <= MOST).then_some(number)
}

/// What has not been read yet.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Reads a byte. `None` at the end.
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// Reads a varint. `None` at the end, or when it has more than 63 bits.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Reads an operation.
    fn operation(&mut self) -> Result<Operation, Fault> {
        let number = self.number().ok_or(Fault::Truncated)?;
        let slot = number >> 3;
        match number & 7 {
            kind @ (1 | 4) => Ok(Operation::Allocate {
                slot,
                layout: self.layout()?,
                zeroed: kind == 4,
            }),
            2 => Ok(Operation::Free { slot }),
            3 => Ok(Operation::Reallocate {
                slot,
                size: self.number().ok_or(Fault::Truncated)?,
            }),
            kind => Err(Fault::Kind(kind)),
        }
    }

    /// Reads a size and the logarithm of an alignment.
    fn layout(&mut self) -> Result<Layout, Fault> {
        let size = self.number().ok_or(Fault::Truncated)?;
        let log = self.byte().ok_or(Fault::Truncated)?;
        let align = 1_usize.checked_shl(u32::from(log)).unwrap_or(0);
        checked_layout(size, align).ok_or(Fault::Layout { size, log })
    }
}

/// Returns the layout of an object that a program can have: one with a size.
fn checked_layout(size: usize, align: usize) -> Option<Layout> {
    let layout = Layout::from_size_align(size, align).ok()?;
    (size > 0).then_some(layout)
}

/// The program as far as it was followed: what is live.
struct Program {
    /// The layouts of what is live, by slot.
    live: Vec<Option<Layout>>,
    /// The sum of their sizes.
    bytes: usize,
    /// The most that `bytes` has ever been.
    peak: usize,
    /// The largest size.
    largest: usize,
}

impl Program {
    /// Creates a program in which nothing is live.
    fn new(slots: usize) -> Self {
        Self {
            live: vec![None; slots],
            bytes: 0,
            peak: 0,
            largest: 0,
        }
    }

    /// Does what `operation` says, if it can be done.
    fn follow(&mut self, operation: Operation) -> Result<(), Fault> {
        let slot = operation.slot();
        let Some(live) = self.live.get_mut(slot) else {
            return Err(Fault::Slot(slot));
        };
        let after = match (operation, *live) {
            (Operation::Allocate { layout, .. }, None) => Some(layout),
            (Operation::Allocate { .. }, Some(_)) => return Err(Fault::Taken(slot)),
            (_, None) => return Err(Fault::Dead(slot)),
            (Operation::Free { .. }, Some(_)) => None,
            (Operation::Reallocate { size, .. }, Some(old)) => {
                let align = old.align();
                Some(checked_layout(size, align).ok_or(Fault::Resize { size, align })?)
            }
        };
        let [before, now] = [*live, after].map(|layout| layout.map_or(0, |layout| layout.size()));
        *live = after;
        self.bytes = self
            .bytes
            .checked_sub(before)
            .and_then(|bytes| bytes.checked_add(now))
            .ok_or(Fault::TooMuch)?;
        self.peak = self.peak.max(self.bytes);
        self.largest = self.largest.max(now);
        Ok(())
    }
}

/// Why a file is not a recorded program.
#[derive(Debug)]
pub(crate) enum TraceError {
    /// It cannot be unpacked.
    Packing(io::Error),
    /// It does not begin as it should.
    Magic,
    /// The numbers in front are not there, or too large.
    Header,
    /// The length in front is not that of the rest.
    Length { length: usize, found: usize },
    /// One of the operations, counted from 0, cannot be.
    Operation { number: usize, fault: Fault },
    /// Bytes are left behind the last operation.
    Surplus(usize),
}

/// What is wrong with an operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The file ends in it, or one of its numbers does not end.
    Truncated,
    /// There is no such kind.
    Kind(usize),
    /// The size is 0, or the two are no valid layout.
    Layout { size: usize, log: u8 },
    /// The same of a new size and the old alignment.
    Resize { size: usize, align: usize },
    /// The slot is not below the number of slots.
    Slot(usize),
    /// It allocates in a slot in which an object is live.
    Taken(usize),
    /// It frees or resizes in a slot in which none is.
    Dead(usize),
    /// More is live than there are addresses.
    TooMuch,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packing(error) => write!(f, "the trace cannot be unpacked: {error}"),
            Self::Magic => write!(f, "the trace does not begin with PBT1"),
            Self::Header => write!(
                f,
                "the trace does not say how many operations, slots and bytes follow, or says more than can be"
            ),
            Self::Length { length, found } => write!(
                f,
                "the trace should have {length} bytes of operations, but {found} are there"
            ),
            Self::Operation { number, fault } => {
                write!(f, "operation {number} of the trace cannot be: {fault}")
            }
            Self::Surplus(bytes) => write!(
                f,
                "{bytes} bytes are left behind the last operation of the trace"
            ),
        }
    }
}

impl Error for TraceError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "it is cut off"),
            Self::Kind(kind) => write!(f, "there is no kind {kind}"),
            Self::Layout { size, log } => {
                write!(f, "no object has {size} bytes aligned to 2^{log}")
            }
            Self::Resize { size, align } => {
                write!(f, "no object has {size} bytes aligned to {align}")
            }
            Self::Slot(slot) => write!(f, "there is no slot {slot}"),
            Self::Taken(slot) => write!(f, "an object is live in slot {slot}"),
            Self::Dead(slot) => write!(f, "no object is live in slot {slot}"),
            Self::TooMuch => write!(f, "more would be live than there are addresses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Operation, Trace, TraceError};
    use core::alloc::Layout;

    /// Returns a trace with the header for `operations` and `slots`, all numbers being small.
    fn trace(operations: u8, slots: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).expect("small");
        [b"PBT1", &[operations, slots, length][..], body].concat()
    }

    /// Returns the fault of the last operation of `body`, which has `operations` of them in two slots.
    #[track_caller]
    fn fault(operations: u8, body: &[u8]) -> Fault {
        match Trace::decode(&trace(operations, 2, body)) {
            Err(TraceError::Operation { number, fault }) => {
                assert_eq!(number + 1, usize::from(operations));
                fault
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_operation_is_decoded() {
        // 300 bytes aligned to 8 in slot 0; 16 zeroed bytes aligned to 16 in slot 1; 2 bytes in slot 0; both freed.
        let body = [
            0x01, 0xac, 0x02, 3, 0x0c, 16, 4, 0x03, 2, 0x0a, 0x02, 0x09, 1, 0,
        ];
        let trace = Trace::decode(&trace(6, 2, &body)).expect("a trace");
        let layout = |size, align| Layout::from_size_align(size, align).expect("a layout");
        let allocate = |slot, layout, zeroed| Operation::Allocate {
            slot,
            layout,
            zeroed,
        };
        let expected = [
            allocate(0, layout(300, 8), false),
            allocate(1, layout(16, 16), true),
            Operation::Reallocate { slot: 0, size: 2 },
            Operation::Free { slot: 1 },
            Operation::Free { slot: 0 },
            allocate(1, layout(1, 1), false),
        ];
        assert_eq!(trace.operations, expected);
        assert_eq!((trace.slots, trace.peak, trace.largest), (2, 316, 300));
    }

    #[test]
    fn a_wrong_file_is_refused_with_a_sentence() {
        let sentence = |bytes: &[u8]| Trace::decode(bytes).expect_err("wrong").to_string();
        assert_eq!(sentence(b"PBT"), "the trace does not begin with PBT1");
        assert!(sentence(b"PBT1\x01\x01").starts_with("the trace does not say how many"));
        assert!(
            sentence(b"PBT1\xff\xff\xff\xff\x7f\x01\x00").starts_with("the trace does not say")
        );
        assert_eq!(
            sentence(b"PBT1\x00\x00\x01"),
            "the trace should have 1 bytes of operations, but 0 are there"
        );
        assert_eq!(
            sentence(&trace(1, 1, &[0x02])),
            "operation 0 of the trace cannot be: no object is live in slot 0"
        );
        assert_eq!(
            sentence(&trace(1, 1, &[0x01, 1, 0, 7, 7])),
            "2 bytes are left behind the last operation of the trace"
        );
        let packing = Trace::unpack(b"PBT1").expect_err("not packed").to_string();
        assert!(packing.starts_with("the trace cannot be unpacked: "));
    }

    #[test]
    fn an_operation_that_cannot_be_is_refused() {
        assert_eq!(fault(1, &[0x81]), Fault::Truncated);
        assert_eq!(fault(1, &[0xff; 9]), Fault::Truncated);
        assert_eq!(fault(1, &[0x01]), Fault::Truncated);
        assert_eq!(fault(1, &[0x01, 8]), Fault::Truncated);
        assert_eq!(fault(2, &[0x01, 8, 3, 0x03]), Fault::Truncated);
        assert_eq!(fault(1, &[0x05]), Fault::Kind(5));
        assert_eq!(fault(1, &[0x01, 0, 3]), Fault::Layout { size: 0, log: 3 });
        assert_eq!(fault(1, &[0x01, 8, 64]), Fault::Layout { size: 8, log: 64 });
        let resize = Fault::Resize { size: 0, align: 8 };
        assert_eq!(fault(2, &[0x01, 8, 3, 0x03, 0]), resize);
        assert_eq!(fault(1, &[0x11, 8, 3]), Fault::Slot(2));
        assert_eq!(fault(2, &[0x01, 8, 3, 0x01, 8, 3]), Fault::Taken(0));
        assert_eq!(fault(1, &[0x0a]), Fault::Dead(1));
        assert_eq!(fault(3, &[0x01, 8, 3, 0x02, 0x02]), Fault::Dead(0));
    }

    #[test]
    fn more_than_there_are_addresses_is_refused() {
        // The largest size there is, in one slot after the other.
        let largest = |slot: u8| [&[slot << 3 | 1][..], &[0xff; 8], &[0x7f, 0]].concat();
        let body = [largest(0), largest(1), largest(2)].concat();
        let two = Trace::decode(&trace(2, 2, &body[..22])).expect("that much can be live");
        assert_eq!(two.largest, isize::MAX.unsigned_abs());
        let three = Trace::decode(&trace(3, 3, &body));
        assert!(matches!(
            three,
            Err(TraceError::Operation {
                number: 2,
                fault: Fault::TooMuch
            })
        ));
    }
}
