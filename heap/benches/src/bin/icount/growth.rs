//! The plot of what an operation needs, with more and more objects live.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use stack_alloc_benches::contenders::{self, Contender};
use stack_alloc_benches::figures::Figures;
use stack_alloc_benches::plot;

use crate::callgrind::Count;
use crate::report::Report;
use crate::workloads;

/// What its workloads are called, before the number of objects.
const PREFIX: &str = "live-";

/// Draws it into `folder`, with a line for each heap, and returns the file. `None` unless all of its workloads were counted.
///
/// # Errors
///
/// A sentence, if it cannot be written.
pub(crate) fn draw(report: &Report<'_>, folder: &Path) -> Result<Option<PathBuf>, String> {
    let mut names = workloads::names().filter(|name| name.starts_with(PREFIX));
    if !names.all(|name| report.workloads.contains(&name)) {
        return Ok(None);
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let contenders = contenders::all();
    let files = plot::draw(&figures(report, &contenders), &contenders, folder)?;
    Ok(files.into_iter().next())
}

/// Returns what is on it.
fn figures(report: &Report<'_>, contenders: &[Contender]) -> Figures {
    let mut figures = Figures::default();
    for Contender { name: heap, .. } in contenders {
        let Some(column) = report.heaps.iter().position(|name| name == heap) else {
            continue;
        };
        for (workload, counts) in report.workloads.iter().zip(report.counts) {
            let value = counts[column].map(Count::per_operation);
            if let (Some(live), Some(value)) = (workload.strip_prefix(PREFIX), value) {
                figures.add("live_objects", live, heap, plot::INSTRUCTIONS, value);
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::{draw, figures};
    use crate::callgrind::Count;
    use crate::report::Report;
    use stack_alloc_benches::contenders;
    use stack_alloc_benches::plot::INSTRUCTIONS;

    /// The workloads of the plot, and another one.
    const WORKLOADS: [&str; 5] = ["pages", "live-1k", "live-10k", "live-100k", "live-1M"];

    /// Returns what ten operations on each of two heaps needed.
    fn counts(ours: u64, floor: Option<u64>) -> Vec<Option<Count>> {
        let count = |instructions| Count {
            operations: 10,
            instructions,
        };
        vec![Some(count(ours)), floor.map(count)]
    }

    #[test]
    fn every_heap_has_a_point_a_workload_that_it_had_memory_for() {
        let report = Report {
            heaps: &["ours", "floor"],
            workloads: &["pages", "live-1k", "live-1M"],
            counts: &[
                counts(9000, Some(9000)),
                counts(700, Some(300)),
                counts(800, None),
            ],
        };
        let figures = figures(&report, &contenders::all());
        let points = |heap| {
            figures
                .of("live_objects", heap, INSTRUCTIONS)
                .map(|figure| (figure.row.as_str(), figure.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(points("ours"), [("1k", 70.0), ("1M", 80.0)]);
        assert_eq!(points("floor"), [("1k", 30.0)]);
        assert_eq!(points("system"), []);
    }

    #[test]
    fn it_is_drawn_when_all_its_workloads_were_counted() {
        let folder = std::env::temp_dir().join(format!("icount-growth-{}", std::process::id()));
        let counts = WORKLOADS.map(|_| counts(700, Some(300)));
        let report = |number| Report {
            heaps: &["ours", "floor"],
            workloads: &WORKLOADS[..number],
            counts: &counts[..number],
        };
        assert_eq!(draw(&report(4), &folder), Ok(None));
        assert!(!folder.exists());
        let file = draw(&report(5), &folder)
            .expect("a folder to write to")
            .expect("a plot");
        assert_eq!(file, folder.join("live_objects_instructions.svg"));
        let text = std::fs::read_to_string(&file).expect("written");
        std::fs::remove_dir_all(&folder).expect("it is ours");
        for word in ["instructions for an operation", "ours", "floor", "1000000"] {
            assert!(text.contains(word), "no {word}: {text}");
        }
        assert!(!text.contains("system"), "{text}");
    }
}
