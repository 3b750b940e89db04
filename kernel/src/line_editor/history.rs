//! The lines that were typed before. They live in the heap, and a heap that is full only costs what is not remembered.
#![forbid(unsafe_code)]

use alloc::collections::VecDeque;
use alloc::string::String;

/// Most lines that are remembered.
pub const LONGEST_HISTORY: usize = 100;

/// Lines, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    /// The lines.
    lines: VecDeque<String>,
}

impl History {
    /// Remembers a line, unless it is the last one again, or memory is out: a prompt that answers is worth more than its
    /// history.
    pub fn remember(&mut self, line: &str) {
        if self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        let mut text = String::new();
        if text.try_reserve(line.len()).is_err() || self.lines.try_reserve(1).is_err() {
            return;
        }
        text.push_str(line);
        if self.lines.len() == LONGEST_HISTORY {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }

    /// Returns line number `index`, the oldest being number 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        self.lines.get(index).map(String::as_str)
    }

    /// Returns how many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Iterates over the lines, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn oldest_lines_are_forgotten_and_repeated_ones_kept_once() {
        let mut history = History::default();
        for number in 0..LONGEST_HISTORY + 2 {
            history.remember(&format!("line {number}"));
            history.remember(&format!("line {number}"));
        }
        let lines: Vec<&str> = history.iter().collect();
        assert_eq!(lines.len(), LONGEST_HISTORY);
        assert_eq!(lines[..2], ["line 2", "line 3"]);
        assert_eq!(history.get(LONGEST_HISTORY - 1), Some("line 101"));
        assert_eq!(history.get(LONGEST_HISTORY), None);
    }
}
