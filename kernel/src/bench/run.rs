//! Runs workloads on heaps.

use alloc::collections::TryReserveError;
use core::fmt;

use lock_api::RawMutex;
use stack_alloc::Corruption;

use super::clock;
use super::contestant::{Contestant, KernelHeap};
use super::masked::MaskedTime;
use super::operation::Operation;
use super::recorder::{Quantity, Recorder};
use super::summary::Summary;
use super::table::{GrowthHead, GrowthRow, LongestMasked, Measured, OneHead, OneRow};
use super::trial::{Slots, Trial};
use super::workloads::{CROSSING, GROWTH, WORKLOADS, Workload};
use crate::interrupts::controller::Silence;
use crate::lock::{InterruptMaskingLock, MaskingLock};
use crate::println;
use crate::tasks::SpawnError;

/// Why there is no result. Displays as one sentence that says what to do.
#[derive(Clone, Copy, Debug)]
pub enum BenchError {
    /// There is no memory for it.
    OutOfMemory,
    /// The heap under test is broken.
    Broken(Corruption),
    /// The heap under test holds so many bytes although everything was freed.
    LeftOver(usize),
    /// A task that takes part could not be started.
    NoTask(SpawnError),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str(
                "There is too little memory left for the bench; give the machine more, such as MEM=256M.",
            ),
            Self::Broken(corruption) => {
                write!(f, "The bench has broken its heap; please report this: {corruption}")
            }
            Self::LeftOver(bytes) => write!(
                f,
                "The bench's heap keeps {bytes} bytes although all is freed; please report this."
            ),
            Self::NoTask(error) => write!(f, "The bench did not begin: {error}."),
        }
    }
}

impl core::error::Error for BenchError {}

impl From<TryReserveError> for BenchError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<Corruption> for BenchError {
    fn from(corruption: Corruption) -> Self {
        Self::Broken(corruption)
    }
}

/// How much of each workload is run.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// By what the full numbers are divided.
    divisor: usize,
}

impl Scale {
    /// All of it.
    pub const FULL: Self = Self { divisor: 1 };
    /// As little as shows that it works.
    pub const TINY: Self = Self { divisor: 50 };

    /// Returns how many of `full` things to do: one at least.
    #[must_use]
    pub fn of(self, full: usize) -> usize {
        (full / self.divisor).max(1)
    }
}

/// The results of a workload, by operation; `None` for an operation that it has not.
pub type Results = [Option<Measured>; Operation::ALL.len()];

/// The bench, with the memory for its objects and numbers.
#[derive(Debug)]
pub struct Bench {
    /// Where objects are noted.
    slots: Slots,
    /// Where numbers are noted.
    recorder: Recorder,
    /// How much is run.
    scale: Scale,
}

impl Bench {
    /// Takes the memory that is needed besides that of the heaps.
    ///
    /// # Errors
    ///
    /// [`BenchError::OutOfMemory`]
    pub fn new(scale: Scale) -> Result<Self, BenchError> {
        Ok(Self {
            slots: Slots::new()?,
            recorder: Recorder::new()?,
            scale,
        })
    }

    /// Measures a workload on a fresh heap, and once more on another one for its masked sections.
    ///
    /// # Errors
    ///
    /// Those of [`Contestant::with_fresh`].
    pub fn measure(
        &mut self,
        contestant: &impl Contestant,
        workload: &Workload,
    ) -> Result<Results, BenchError> {
        let _silence = Silence::new();
        self.run::<InterruptMaskingLock>(contestant, workload, Quantity::Whole)?;
        let whole = self.summaries();
        self.run::<MaskingLock<MaskedTime>>(contestant, workload, Quantity::Masked)?;
        let masked = self.summaries();
        Ok(Operation::ALL.map(|operation| {
            let index = operation as usize;
            Some(Measured {
                whole: whole[index]?,
                masked: masked[index]?.max,
            })
        }))
    }

    /// Runs a workload on a fresh heap and records one quantity.
    fn run<R: RawMutex>(
        &mut self,
        contestant: &impl Contestant,
        workload: &Workload,
        quantity: Quantity,
    ) -> Result<(), BenchError> {
        let Self {
            slots,
            recorder,
            scale,
        } = self;
        recorder.begin(quantity);
        contestant.with_fresh::<R>(&mut |heap| {
            let mut trial = Trial::new(heap, slots, recorder, *scale);
            let result = (workload.run)(&mut trial);
            trial.free_all();
            result
        })
    }

    /// Sums up what the last run recorded.
    fn summaries(&mut self) -> [Option<Summary>; Operation::ALL.len()] {
        Operation::ALL.map(|operation| self.recorder.summary(operation))
    }
}

/// Returns whether the numbers are instructions. See [`clock::counts_instructions`].
#[must_use]
pub fn counts_instructions() -> bool {
    let _silence = Silence::new();
    clock::counts_instructions()
}

/// What every table needs to be said of it.
pub const LEGEND: &str =
    "Each single operation is measured, with its lock; what measuring costs is subtracted.
masked: the longest time with interrupts masked in any of the operations, from a second run of the same ones.";

/// Runs every workload on a heap of the kernel's kind, and prints a table.
///
/// # Errors
///
/// Those of [`Bench::measure`]; the lines before are printed.
pub fn run_kernel_heap() -> Result<(), BenchError> {
    let mut bench = Bench::new(Scale::FULL)?;
    let mut longest = LongestMasked::default();
    println!("{OneHead}");
    for workload in WORKLOADS.iter().chain(CROSSING) {
        let results = bench.measure(&KernelHeap, workload)?;
        let mut name = workload.name;
        for (operation, measured) in Operation::ALL.into_iter().zip(results) {
            let Some(measured) = measured else { continue };
            longest.add(workload.name, operation, measured.masked);
            println!(
                "{}",
                OneRow {
                    workload: name,
                    operation,
                    measured
                }
            );
            name = "";
        }
    }
    println!("longest masked section: {longest}");
    Ok(())
}

/// Measures the longest masked section beside ever more live objects, and prints a table.
///
/// # Errors
///
/// Those of [`Bench::measure`]; the lines before are printed.
pub fn run_growth() -> Result<(), BenchError> {
    let mut bench = Bench::new(Scale::FULL)?;
    println!("{GrowthHead}");
    for workload in GROWTH {
        let results = bench.measure(&KernelHeap, workload)?;
        let masked = results.map(|measured| measured.map_or(0, |measured| measured.masked));
        println!(
            "{}",
            GrowthRow {
                workload: workload.name,
                masked
            }
        );
    }
    Ok(())
}
