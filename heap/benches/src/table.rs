//! Tables of text: the same on a terminal, in a pipe and in a README.
#![forbid(unsafe_code)]

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// A table whose first column names the rows.
#[derive(Debug)]
pub struct Rows {
    /// The rows.
    table: Table,
    /// Lines below it.
    notes: Vec<String>,
}

impl Rows {
    /// Creates a table without rows.
    #[must_use]
    pub fn new<'a>(first: &'a str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([first].into_iter().chain(columns));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self {
            table,
            notes: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.table.add_row([name.into()].into_iter().chain(cells));
    }

    /// Adds a line below the table.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// Prints it under a heading.
    pub fn print(&self, heading: &str) {
        println!("\n## {heading}\n\n{}", self.table);
        if !self.notes.is_empty() {
            println!("\n{}", self.notes.join("\n"));
        }
    }
}

/// Writes a number with as many digits as say something, or `-` where there is none.
#[must_use]
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_number_has_three_digits() {
        let written = [1234.5, 123.45, 12.345, 1.2345, 0.012].map(|value| number(Some(value)));
        assert_eq!(written, ["1234", "123", "12.3", "1.23", "0.01"]);
        assert_eq!(number(None), "-");
    }
}
