//! The table of all counts.
#![forbid(unsafe_code)]

use comfy_table::{CellAlignment, Table, presets};
use stack_alloc_benches::statistics::geometric_mean;

use crate::baseline::Baseline;
use crate::callgrind::Count;
use crate::verdict::Verdict;

/// What was counted: the first heap is the one with the figures, and `counts` has a row a workload, with one for each heap that had memory.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Names of heaps.
    pub(crate) heaps: &'a [&'a str],
    /// Names of workloads.
    pub(crate) workloads: &'a [&'a str],
    /// What they needed.
    pub(crate) counts: &'a [Vec<Option<Count>>],
}

impl Report<'_> {
    /// Returns the table, with what `figures` say of `compiler`.
    pub(crate) fn table(&self, figures: &Baseline, compiler: &str) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let mut header = vec!["workload", "operations", "figure", "change"];
        header.extend(self.heaps);
        table.set_header(header);
        for (name, counts) in self.workloads.iter().zip(self.counts) {
            let figure = figures.get(compiler, name);
            let [operations, change] = match counts[0] {
                Some(count) => {
                    let change = Verdict::of(count, figure).change();
                    [count.operations.to_string(), change]
                }
                None => [String::new(), String::new()],
            };
            let mut row = vec![(*name).to_string(), operations, shown(figure, ""), change];
            row.extend(counts.iter().map(|count| shown(*count, "no memory")));
            table.add_row(row);
        }
        if let Some(means) = self.means_of_traces() {
            let mut row = vec!["traces' mean".to_string()];
            row.resize(4, String::new());
            row.extend(means.iter().map(|mean| format!("{mean:.1}")));
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// Returns the geometric mean of what traces need an operation, by heap. `None` where none was counted, or one had no
    /// memory.
    fn means_of_traces(&self) -> Option<Vec<f64>> {
        let traces = self.workloads.iter().zip(self.counts);
        let traces: Vec<_> = traces
            .filter(|(name, _)| name.starts_with("trace-"))
            .map(|(_, counts)| counts)
            .collect();
        let mean = |heap: usize| {
            let counts = traces.iter().map(|counts| counts[heap]);
            let values = counts.map(|count| count.map(Count::per_operation));
            geometric_mean(&values.collect::<Option<Vec<_>>>()?)
        };
        (0..self.heaps.len()).map(mean).collect()
    }
}

/// Returns the instructions of an operation, or `otherwise`.
fn shown(count: Option<Count>, otherwise: &str) -> String {
    count.map_or(otherwise.to_string(), |count| {
        format!("{:.1}", count.per_operation())
    })
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::baseline::Baseline;
    use crate::callgrind::Count;

    #[test]
    fn a_table_has_a_column_a_heap_and_the_mean_of_the_traces() {
        let count = |instructions| {
            Some(Count {
                operations: 10,
                instructions,
            })
        };
        let mut figures = Baseline::default();
        let before = count(500).expect("a count");
        figures.replace("rustc 1", &[("lifo", before)]);
        let report = Report {
            heaps: &["ours", "floor"],
            workloads: &["lifo", "trace-a", "trace-b"],
            counts: &[
                vec![count(510), None],
                vec![count(200), count(100)],
                vec![count(800), count(400)],
            ],
        };
        let table = report.table(&figures, "rustc 1").to_string();
        let words: Vec<Vec<&str>> = table
            .lines()
            .map(|line| {
                line.split_whitespace()
                    .filter(|word| *word != "|")
                    .collect()
            })
            .filter(|words: &Vec<&str>| words.len() > 1)
            .collect();
        assert_eq!(
            words,
            [
                vec![
                    "workload",
                    "operations",
                    "figure",
                    "change",
                    "ours",
                    "floor"
                ],
                vec!["lifo", "10", "50.0", "+2.0", "%", "51.0", "no", "memory"],
                vec!["trace-a", "10", "no", "figure", "20.0", "10.0"],
                vec!["trace-b", "10", "no", "figure", "80.0", "40.0"],
                vec!["traces'", "mean", "40.0", "20.0"],
            ]
        );
    }
}
