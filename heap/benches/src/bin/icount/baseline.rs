//! The figures that are checked in: what each workload needed, by compiler.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use crate::callgrind::Count;

/// What a file's columns are called.
const COLUMNS: [&str; 4] = ["compiler", "workload", "operations", "instructions"];

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    /// `rustc --version`.
    compiler: String,
    /// The workload's name.
    workload: String,
    /// What it needed.
    count: Count,
}

/// All lines of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline(Vec<Figure>);

impl Baseline {
    /// Reads a file. One that is not there has no lines.
    ///
    /// # Errors
    ///
    /// A sentence, if it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let complain = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(complain(&error)),
        };
        let mut figures = Vec::new();
        for record in csv::Reader::from_reader(file).records() {
            let record = record.map_err(|error| complain(&error))?;
            let figure = Self::figure(&record)
                .ok_or_else(|| complain(&format!("not a figure: {record:?}")))?;
            figures.push(figure);
        }
        Ok(Self(figures))
    }

    /// Reads a line.
    fn figure(record: &csv::StringRecord) -> Option<Figure> {
        Some(Figure {
            compiler: record.get(0)?.to_string(),
            workload: record.get(1)?.to_string(),
            count: Count {
                operations: record.get(2)?.parse().ok()?,
                instructions: record.get(3)?.parse().ok()?,
            },
        })
    }

    /// Writes them to a file.
    ///
    /// # Errors
    ///
    /// A sentence, if it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        self.try_write(path)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes them to a file.
    fn try_write(&self, path: &Path) -> csv::Result<()> {
        let mut writer = csv::Writer::from_path(path)?;
        writer.write_record(COLUMNS)?;
        for figure in &self.0 {
            let Count {
                operations,
                instructions,
            } = figure.count;
            let numbers = [operations, instructions].map(|number| number.to_string());
            let record = [&figure.compiler, &figure.workload, &numbers[0], &numbers[1]];
            writer.write_record(record)?;
        }
        Ok(writer.flush()?)
    }

    /// Returns whether there are any of a compiler.
    pub(crate) fn know(&self, compiler: &str) -> bool {
        self.0.iter().any(|figure| figure.compiler == compiler)
    }

    /// Returns what a workload needed.
    pub(crate) fn get(&self, compiler: &str, workload: &str) -> Option<Count> {
        self.0
            .iter()
            .find(|figure| figure.compiler == compiler && figure.workload == workload)
            .map(|figure| figure.count)
    }

    /// Puts `counts` in the place of all that is known of a compiler.
    pub(crate) fn replace(&mut self, compiler: &str, counts: &[(&str, Count)]) {
        self.0.retain(|figure| figure.compiler != compiler);
        self.0.extend(counts.iter().map(|(workload, count)| Figure {
            compiler: compiler.to_string(),
            workload: (*workload).to_string(),
            count: *count,
        }));
        // Stable: the workloads of a compiler stay in order.
        self.0.sort_by(|a, b| a.compiler.cmp(&b.compiler));
    }
}

#[cfg(test)]
mod tests {
    use super::Baseline;
    use crate::callgrind::Count;
    use std::path::Path;

    /// Returns a count of a hundred operations.
    fn count(instructions: u64) -> Count {
        Count {
            operations: 100,
            instructions,
        }
    }

    #[test]
    fn figures_of_one_compiler_are_replaced_and_the_others_kept() {
        let mut figures = Baseline::default();
        figures.replace("rustc 2", &[("b", count(20)), ("a", count(10))]);
        figures.replace("rustc 1", &[("a", count(7))]);
        figures.replace("rustc 2", &[("c", count(30)), ("a", count(11))]);
        assert_eq!(figures.get("rustc 2", "a"), Some(count(11)));
        assert_eq!(figures.get("rustc 2", "b"), None);
        assert_eq!(figures.get("rustc 1", "a"), Some(count(7)));
        assert!(figures.know("rustc 1") && !figures.know("rustc 3"));

        let path = std::env::temp_dir().join(format!("icount-{}.csv", std::process::id()));
        figures.write(&path).expect("a file");
        let again = Baseline::read(&path).expect("the same file");
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(again, figures);
    }

    #[test]
    fn no_file_is_no_figures_and_a_wrong_one_is_refused() {
        let none = Baseline::read(Path::new("/nowhere/icount.csv"));
        assert_eq!(none, Ok(Baseline::default()));
        let path = std::env::temp_dir().join(format!("icount-wrong-{}.csv", std::process::id()));
        std::fs::write(
            &path,
            "compiler,workload,operations,instructions\na,b,1,x\n",
        )
        .expect("a file");
        let wrong = Baseline::read(&path);
        std::fs::remove_file(&path).expect("it is there");
        assert!(wrong.expect_err("wrong").contains("not a figure"));
    }
}
