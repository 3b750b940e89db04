//! Measures operations one by one and keeps the numbers.

use alloc::vec::Vec;

use super::operation::Operation;
use super::run::BenchError;
use super::summary::Summary;
use super::{clock, masked};

/// Most operations of one kind that a workload records.
const MOST_SAMPLES: usize = 16 * 1024;

/// What is measured of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// All of it, as its caller sees it.
    Whole,
    /// The longest masked section in it. The heap's lock must be watched by [`MaskedTime`](masked::MaskedTime), which costs
    /// some instructions: so this and the other quantity are measured in two runs, of the same operations.
    Masked,
}

/// The samples of a run. They live in the kernel's heap, which is not the one under test, and are reserved beforehand.
#[derive(Debug)]
pub struct Recorder {
    /// What is measured.
    quantity: Quantity,
    /// What measuring itself costs: subtracted from each sample.
    overhead: u64,
    /// The samples, by operation.
    samples: [Vec<u32>; Operation::ALL.len()],
}

impl Recorder {
    /// Makes room for the samples.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`]
    pub fn new() -> Result<Self, BenchError> {
        let mut samples = [const { Vec::new() }; Operation::ALL.len()];
        for room in &mut samples {
            room.try_reserve_exact(MOST_SAMPLES)?;
        }
        Ok(Self {
            quantity: Quantity::Whole,
            overhead: 0,
            samples,
        })
    }

    /// Begins a run. Nothing may interrupt from here on.
    pub fn begin(&mut self, quantity: Quantity) {
        self.samples.iter_mut().for_each(Vec::clear);
        self.quantity = quantity;
        self.overhead = match quantity {
            Quantity::Whole => clock::least(|| elapsed(|| ()).1),
            Quantity::Masked => masked::overhead(),
        };
    }

    /// Runs an operation and records what it took.
    ///
    /// # Panics
    ///
    /// If a workload has more operations than fit.
    #[inline(always)]
    pub fn record<T>(&mut self, operation: Operation, body: impl FnOnce() -> T) -> T {
        masked::take_longest();
        let (result, whole) = elapsed(body);
        let measured = match self.quantity {
            Quantity::Whole => whole,
            Quantity::Masked => masked::take_longest(),
        };
        let sample = measured.saturating_sub(self.overhead);
        let samples = &mut self.samples[operation as usize];
        assert!(
            samples.len() < samples.capacity(),
            "a workload records at most {MOST_SAMPLES} operations of a kind"
        );
        samples.push(u32::try_from(sample).unwrap_or(u32::MAX));
        result
    }

    /// Sums up what was recorded of an operation; `None` where nothing was.
    pub fn summary(&mut self, operation: Operation) -> Option<Summary> {
        Summary::of(&mut self.samples[operation as usize])
    }
}

/// Runs `body` and returns what the counter says that it took.
#[inline(always)]
pub(super) fn elapsed<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let start = clock::now();
    let result = body();
    (result, clock::now() - start)
}
