//! Plots of the figures as SVG files.
#![forbid(unsafe_code)]

mod chart;

use std::path::{Path, PathBuf};

use crate::contenders::Contender;
use crate::figures::Figures;
use crate::latency;
use crate::memory::first_failure;
use crate::timings::TIME;
use chart::{Axis, Chart, Line, Scale};

/// What is measured where instructions are counted.
pub const INSTRUCTIONS: &str = "instructions";

/// Plots against the number of bytes or of live objects: question, measure, title, and what the horizontal axis is.
const LINES: [(&str, &str, &str, &str); 10] = [
    ("lifo", TIME, "LIFO pairs", "bytes"),
    ("fifo", TIME, "FIFO pairs", "bytes"),
    ("bulk_in_order", TIME, "Bulk, freed in order", "bytes"),
    ("bulk_reversed", TIME, "Bulk, freed in reverse", "bytes"),
    ("bulk_shuffled", TIME, "Bulk, freed in no order", "bytes"),
    (
        "live_objects",
        TIME,
        "Random mix of 16 to 256 bytes",
        "live objects",
    ),
    (
        "live_objects",
        INSTRUCTIONS,
        "Random mix of 16 to 256 bytes",
        "live objects",
    ),
    (latency::NAME, "p50", "Latency: the median", "live objects"),
    (
        latency::NAME,
        "p99.9",
        "Latency: one in a thousand takes longer",
        "live objects",
    ),
    (latency::NAME, "max", "Latency: the longest", "live objects"),
];

/// Plots by name: question, measure, title, and what the vertical axis is.
const DOTS: [(&str, &str, &str, Axis); 5] = [
    (
        "random",
        TIME,
        "Random mix of 16 to 4096 bytes",
        NANOSECONDS,
    ),
    (
        "vec_exact",
        TIME,
        "Vec, one more element each time",
        NANOSECONDS,
    ),
    (
        "vec_doubling",
        TIME,
        "Vec, twice as many each time",
        NANOSECONDS,
    ),
    ("traces", TIME, "Recorded programs", NANOSECONDS),
    (
        first_failure::NAME,
        first_failure::SHARE,
        "Live share at the first failure",
        SHARE,
    ),
];

/// The time of an operation.
const NANOSECONDS: Axis = Axis {
    name: "ns for an operation",
    scale: Scale::Logarithmic,
};
/// What an operation needs.
const COUNT: Axis = Axis {
    name: "instructions for an operation",
    scale: Scale::Linear,
};
/// A share.
const SHARE: Axis = Axis {
    name: "share",
    scale: Scale::Share,
};

/// Draws what was measured into `folder`, and returns the files.
///
/// # Errors
///
/// What to say when a file cannot be written.
pub fn draw(
    figures: &Figures,
    contenders: &[Contender],
    folder: &Path,
) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for (question, measure, title, axis) in LINES {
        let lines = lines(figures, contenders, question, measure, magnitude);
        let chart = Chart {
            title,
            horizontal: axis,
            vertical: if measure == INSTRUCTIONS {
                COUNT
            } else {
                NANOSECONDS
            },
            names: Vec::new(),
            lines,
        };
        files.extend(save(&chart, folder, &format!("{question}_{measure}"))?);
    }
    for (question, measure, title, vertical) in DOTS {
        let names = rows(figures, contenders, question, measure);
        let place = |row: &str| {
            names
                .iter()
                .position(|name| name == row)
                .map(|place| place as f64)
        };
        let lines = lines(figures, contenders, question, measure, place);
        let chart = Chart {
            title,
            horizontal: "",
            vertical,
            names,
            lines,
        };
        files.extend(save(&chart, folder, question)?);
    }
    Ok(files)
}

/// Saves a chart, if there is anything on it.
fn save(chart: &Chart, folder: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    if chart.lines.iter().all(|line| line.points.is_empty()) {
        return Ok(None);
    }
    let file = folder.join(format!("{name}.svg"));
    chart
        .save(&file)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Some(file))
}

/// Returns the points of each heap, `place` being where a row is on the horizontal axis.
fn lines(
    figures: &Figures,
    contenders: &[Contender],
    question: &str,
    measure: &str,
    place: impl Fn(&str) -> Option<f64>,
) -> Vec<Line> {
    let line = |contender: &Contender| Line {
        name: contender.name,
        points: figures
            .of(question, contender.name, measure)
            .filter_map(|figure| Some((place(&figure.row)?, figure.value)))
            .collect(),
    };
    contenders.iter().map(line).collect()
}

/// Returns the rows that any heap has, in their order.
fn rows(figures: &Figures, contenders: &[Contender], question: &str, measure: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for contender in contenders {
        for figure in figures.of(question, contender.name, measure) {
            if !rows.contains(&figure.row) {
                rows.push(figure.row.clone());
            }
        }
    }
    rows
}

/// Reads `100`, `10k` or `1M`.
fn magnitude(row: &str) -> Option<f64> {
    let digits = row.trim_end_matches(['k', 'M']);
    let factor = match &row[digits.len()..] {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::{draw, magnitude};
    use crate::contenders::all;
    use crate::figures::Figures;
    use crate::timings::TIME;

    #[test]
    fn thousands_and_millions_are_read() {
        let read = ["64", "10k", "1M", "rustc", "1kk"].map(magnitude);
        assert_eq!(read, [Some(64.0), Some(1e4), Some(1e6), None, None]);
    }

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("stack_alloc-plots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut figures = Figures::default();
        for (row, value) in [("16", 5.0), ("32", 50.0)] {
            figures.add("lifo", row, "ours", TIME, value);
        }
        figures.add("traces", "rustc", "ours", TIME, 7.0);
        let files = draw(&figures, &all(), &folder).expect("files");
        let names: Vec<_> = files
            .iter()
            .filter_map(|file| file.file_name()?.to_str())
            .collect();
        assert_eq!(names, ["lifo_ns.svg", "traces.svg"]);
        let texts = files
            .iter()
            .map(|file| std::fs::read_to_string(file).expect("written"));
        let texts: Vec<_> = texts.collect();
        assert!(
            texts[0].contains("LIFO pairs") && texts[0].contains("ours"),
            "{}",
            texts[0]
        );
        assert!(texts[1].contains("rustc"), "{}", texts[1]);
        std::fs::remove_dir_all(&folder).expect("they are ours");
    }
}
