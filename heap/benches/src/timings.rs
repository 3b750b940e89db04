//! The question of all workloads: how long does an operation take?

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::rounds::{Outcome, Settings, measure};
use crate::statistics::geometric_mean;
use crate::table::{Rows, number};
use crate::workloads::Workload;

/// Nanoseconds for an operation: the median of the rounds.
pub const TIME: &str = "ns";
/// Nanoseconds for an operation in one of the rounds.
pub const ROUND: &str = "ns in a round";
/// Times as long as talc takes.
pub const OVER_TALC: &str = "over talc";
/// Times as long as the floor takes.
pub const OVER_FLOOR: &str = "over floor";

/// Times a group of workloads, prints its table, and adds to the figures.
pub fn run(
    group: &[&Workload],
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
    figures: &mut Figures,
) {
    let Some(first) = group.first() else {
        return;
    };
    eprintln!(
        "bench: {}: {} streams, {} heaps, {} rounds",
        first.group,
        group.len(),
        contenders.len(),
        settings.rounds
    );
    let mut table = Rows::new(
        first.group,
        contenders.iter().map(|contender| contender.name),
    );
    for workload in group {
        let outcomes = measure(workload, contenders, arena, settings);
        for (contender, outcome) in contenders.iter().zip(&outcomes) {
            record(workload, contender, outcome, figures);
            if outcome.nanoseconds().is_none() {
                table.note(format!(
                    "{}/{}, {}: {outcome}",
                    workload.group, workload.name, contender.name
                ));
            }
        }
        record_ratios(workload, contenders, &outcomes, figures);
        table.add(workload.name.clone(), outcomes.iter().map(cell));
    }
    for measure in [OVER_TALC, OVER_FLOOR] {
        let means = contenders
            .iter()
            .map(|contender| mean(first.group, contender.name, measure, group.len(), figures));
        table.add(
            format!("mean {measure}"),
            means.map(number).collect::<Vec<_>>(),
        );
    }
    table.print(&format!("{}: ns for an operation", first.group));
}

/// Returns the geometric mean of a heap's ratios in a group. `None` if a row is missing: means of different rows do not
/// compare.
#[must_use]
pub fn mean(
    group: &str,
    contender: &str,
    measure: &str,
    rows: usize,
    figures: &Figures,
) -> Option<f64> {
    let ratios: Vec<f64> = figures
        .of(group, contender, measure)
        .map(|figure| figure.value)
        .collect();
    (ratios.len() == rows).then(|| geometric_mean(&ratios))?
}

/// Adds the times of a heap.
fn record(workload: &Workload, contender: &Contender, outcome: &Outcome, figures: &mut Figures) {
    for round in outcome.rounds() {
        figures.add(
            workload.group,
            &workload.name,
            contender.name,
            ROUND,
            *round,
        );
    }
    if let Some(nanoseconds) = outcome.nanoseconds() {
        figures.add(
            workload.group,
            &workload.name,
            contender.name,
            TIME,
            nanoseconds,
        );
    }
}

/// Adds the ratios of all heaps to talc and the floor, if they took part.
fn record_ratios(
    workload: &Workload,
    contenders: &[Contender],
    outcomes: &[Outcome],
    figures: &mut Figures,
) {
    for (reference, measure) in [("talc", OVER_TALC), ("floor", OVER_FLOOR)] {
        let Some(index) = contenders
            .iter()
            .position(|contender| contender.name == reference)
        else {
            continue;
        };
        for (contender, outcome) in contenders.iter().zip(outcomes) {
            if let Some(ratio) = outcome.over(&outcomes[index]) {
                figures.add(
                    workload.group,
                    &workload.name,
                    contender.name,
                    measure,
                    ratio,
                );
            }
        }
    }
}

/// Returns what stands in the table.
fn cell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Timed(_) => number(outcome.nanoseconds()),
        Outcome::TooSlow(nanoseconds) => format!(">{}", number(Some(*nanoseconds))),
        Outcome::OutOfMemory(_) => "no memory".into(),
    }
}
