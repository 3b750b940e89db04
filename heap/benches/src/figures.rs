//! What was measured: figures by name, for the tables' last lines, the targets and the CSV file.
#![forbid(unsafe_code)]

use std::path::Path;

use serde::Serialize;

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Which question it answers: a group of workloads, or a measurement of another kind.
    pub question: &'static str,
    /// Which part of it: a row of its table.
    pub row: String,
    /// Of which heap.
    pub contender: &'static str,
    /// What was measured.
    pub measure: &'static str,
    /// How much.
    pub value: f64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds one.
    pub fn add(
        &mut self,
        question: &'static str,
        row: impl Into<String>,
        contender: &'static str,
        measure: &'static str,
        value: f64,
    ) {
        self.0.push(Figure {
            question,
            row: row.into(),
            contender,
            measure,
            value,
        });
    }

    /// Returns those of one question, heap and measure, row by row.
    pub fn of<'a>(
        &'a self,
        question: &'a str,
        contender: &'a str,
        measure: &'a str,
    ) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| {
            figure.question == question
                && figure.contender == contender
                && figure.measure == measure
        })
    }

    /// Returns one. `None` if it was not measured.
    #[must_use]
    pub fn get(&self, question: &str, row: &str, contender: &str, measure: &str) -> Option<f64> {
        self.of(question, contender, measure)
            .find(|figure| figure.row == row)
            .map(|figure| figure.value)
    }

    /// Writes them to a file, a line for each.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> csv::Result<()> {
        let mut writer = csv::Writer::from_path(file)?;
        for figure in &self.0 {
            writer.serialize(figure)?;
        }
        writer.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn a_figure_is_found_by_all_its_names() {
        let mut figures = Figures::default();
        figures.add("lifo", "16", "ours", "ns", 7.5);
        figures.add("lifo", "32", "ours", "ns", 8.5);
        figures.add("lifo", "16", "talc", "ns", 9.5);
        assert_eq!(figures.get("lifo", "32", "ours", "ns"), Some(8.5));
        assert_eq!(figures.get("lifo", "32", "talc", "ns"), None);
        assert_eq!(figures.of("lifo", "ours", "ns").count(), 2);
    }
}
