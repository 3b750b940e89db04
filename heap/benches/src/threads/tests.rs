//! Every contender does every workload, and what came out is in the figures.

use core::time::Duration;

use super::measured::{Bench, Outcomes};
use super::processors::Processors;
use super::report::Report;
use super::{NAME, OVER_MIMALLOC, OWN, Round, SPEED_UP, THREADS, WORKLOADS, crew};
use crate::arena::Arena;
use crate::contenders::{Contender, all, for_threads};
use crate::figures::Figures;
use crate::replay::OutOfMemory;
use crate::rounds::{Outcome, Settings};
use crate::timings::{OVER_TALC, TIME};
use crate::workloads::Extent;

/// A thousandth of the work.
const ROUND: Round = Round {
    threads: THREADS,
    seed: 1,
    divisor: 1000,
};

/// Returns a heap by its name.
fn heap(name: &str) -> Contender {
    let found = all().into_iter().find(|one| one.name == name);
    found.expect("it is there")
}

#[test]
fn every_contender_does_every_workload() {
    let arena = Arena::new(64 << 20).expect("64 MiB");
    let processors = Processors::allowed();
    for contender in for_threads() {
        for workload in &WORKLOADS {
            // SAFETY: one heap after the other has the arena.
            let heap = unsafe { (contender.make)(arena.whole()) };
            let parts = (workload.make)(ROUND);
            assert_eq!(parts.len(), THREADS);
            assert!(parts.iter().all(|part| part.operations() > 0));
            let time = crew::time(parts, &*heap, &processors);
            assert!(time.is_ok(), "{}: {time:?}", contender.name);
        }
    }
}

#[test]
fn nobody_waits_for_one_that_lacks_memory() {
    let processors = Processors::allowed();
    let bytes = 64 << 10;
    let arena = Arena::new(bytes).expect("64 KiB");
    for workload in &WORKLOADS {
        // SAFETY: one heap after the other has the arena.
        let heap = unsafe { (heap("floor").make)(arena.whole()) };
        let time = crew::time((workload.make)(ROUND), &*heap, &processors);
        assert!(time.is_err(), "{} in {bytes} bytes", workload.name);
    }
}

#[test]
fn what_does_not_fit_is_left_out_and_what_is_slow_too() {
    let processors = &Processors::allowed();
    let outcome = |arena: &Arena, patience| {
        let bench = Bench {
            contenders: &[heap("floor")],
            arena,
            processors,
            settings: Settings {
                rounds: 1,
                patience,
            },
            extent: Extent::Quick,
        };
        bench.measure(&WORKLOADS[0]).remove(0).together
    };
    let minute = Duration::from_secs(60);
    let small = Arena::new(64 << 10).expect("64 KiB");
    assert!(matches!(outcome(&small, minute), Outcome::OutOfMemory(_)));
    let large = Arena::new(16 << 20).expect("16 MiB");
    assert!(matches!(
        outcome(&large, Duration::ZERO),
        Outcome::TooSlow(_)
    ));
    let rounds = outcome(&large, minute).rounds().to_vec();
    assert!(matches!(rounds[..], [time] if time > 0.0), "{rounds:?}");
}

#[test]
fn ratios_are_to_one_thread_and_to_the_heaps_that_took_part() {
    let timed = |alone: [f64; 3], together: [f64; 3]| Outcomes {
        together: Outcome::Timed(together.into()),
        alone: alone.into(),
        disturbed: 1,
    };
    // Names alone count here.
    let named = |name| Contender {
        name,
        ..heap("floor")
    };
    let contenders = ["ours", "talc", "system"].map(named);
    let report = Report {
        workload: &WORKLOADS[0],
        contenders: &contenders,
        outcomes: &[
            timed([20.0, 40.0, 20.0], [10.0, 20.0, 20.0]),
            timed([20.0, 40.0, 20.0], [40.0, 80.0, 40.0]),
            Outcomes {
                together: Outcome::OutOfMemory(OutOfMemory { operation: 1 }),
                alone: Vec::new(),
                disturbed: 0,
            },
        ],
    };
    let mut figures = Figures::default();
    report.record(&mut figures);
    let get = |heap, measure| figures.get(NAME, OWN, heap, measure);
    assert_eq!(get("ours", TIME), Some(20.0));
    assert_eq!(get("ours", SPEED_UP), Some(2.0));
    assert_eq!(get("ours", "speed-up, lower quartile"), Some(1.5));
    assert_eq!(get("ours", OVER_TALC), Some(0.25));
    assert_eq!(get("talc", OVER_TALC), Some(1.0));
    assert_eq!(get("talc", SPEED_UP), Some(0.5));
    assert_eq!(get("system", TIME), None);
    assert_eq!(get("system", OVER_TALC), None);
    assert_eq!(get("ours", OVER_MIMALLOC), None, "it took no part");
    let warning = report.warning().expect("two of six");
    assert!(
        warning.starts_with("Disturbed: in 2 of 6 turns, "),
        "{warning}"
    );
}
