//! Tests of the line editor: scripts in, lines out, and what a terminal would show of them.

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::*;

/// Choices for the tests: words, whatever stands before.
struct Words(&'static [&'static str]);

impl Choices for Words {
    fn for_each(&self, before: &str, each: &mut dyn FnMut(&str)) {
        let word = before.rsplit(' ').next().unwrap_or_default();
        self.0
            .iter()
            .filter(|choice| choice.starts_with(word))
            .for_each(|choice| each(choice));
    }
}

/// The words of most tests.
const WORDS: Words = Words(&["heap", "help", "history", "exit"]);

/// A terminal with one endless row, as far as the editor uses it.
#[derive(Default)]
struct Terminal {
    /// The row.
    row: Vec<char>,
    /// The column that is written to next.
    column: usize,
}

impl Terminal {
    /// Does what `text` says.
    fn write(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            if next != '\x1b' {
                self.row.resize(self.row.len().max(self.column + 1), ' ');
                self.row[self.column] = next;
                self.column += 1;
                continue;
            }
            assert_eq!(rest.next(), Some('['));
            let number: String = rest.clone().take_while(char::is_ascii_digit).collect();
            let mut code = rest.by_ref().skip(number.len());
            let count = number.parse().unwrap_or(1);
            match code.next() {
                Some('C') => self.column += count,
                Some('D') => self.column = self.column.checked_sub(count).expect("a column"),
                Some('K') => self.row.truncate(self.column),
                other => panic!("unknown code {other:?}"),
            }
        }
    }

    /// The text on the row.
    fn text(&self) -> String {
        self.row.iter().collect()
    }
}

/// An editor with its history, at a terminal.
#[derive(Default)]
struct Session {
    /// The editor.
    editor: LineEditor,
    /// What was typed before.
    history: History,
    /// What is shown.
    terminal: Terminal,
    /// The complete lines; a refused one is `!`, a cancelled one `^C`, the end `^D`.
    lines: Vec<String>,
    /// What was sent to the terminal.
    sent: String,
    /// How often choices were to be listed.
    lists: usize,
}

impl Session {
    /// Types `input`.
    fn type_in(&mut self, input: &[u8]) {
        for &byte in input {
            let line = match self.editor.push(byte, &self.history, &WORDS) {
                Event::Ignored | Event::ClearScreen => continue,
                Event::Changed(change) => {
                    let change = change.to_string();
                    self.terminal.write(&change);
                    self.sent += &change;
                    continue;
                }
                Event::ListChoices => {
                    self.lists += 1;
                    continue;
                }
                Event::Complete => self.editor.line().to_string(),
                Event::TooLong => "!".to_string(),
                Event::Cancelled => "^C".to_string(),
                Event::EndOfInput => "^D".to_string(),
            };
            self.history.remember(&line);
            self.lines.push(line);
            self.terminal = Terminal::default();
            self.editor.clear();
        }
    }
}

/// The lines that `input` makes.
fn lines(input: &[u8]) -> Vec<String> {
    let mut session = Session::default();
    session.type_in(input);
    session.lines
}

/// What is sent to the terminal for `input`.
fn sent(input: &[u8]) -> String {
    let mut session = Session::default();
    session.type_in(input);
    session.sent
}

/// What stands in the line after `input`, a bar being the cursor.
fn edited(input: &[u8]) -> String {
    let mut session = Session::default();
    session.type_in(input);
    let (before, line) = (session.editor.before_cursor(), session.editor.line());
    assert_eq!(session.terminal.text(), line);
    assert_eq!(session.terminal.column, before.len());
    std::format!("{before}|{}", &line[before.len()..])
}

#[test]
fn every_line_end_ends_one_line() {
    assert_eq!(
        lines(b"a\nb\rc\r\nd\n\ne\r\r"),
        ["a", "b", "c", "d", "", "e", ""]
    );
}

#[test]
fn script_is_echoed_as_it_is() {
    assert_eq!(sent(b"heap map\nexit 3\n"), "heap mapexit 3");
}

#[test]
fn erasing_stops_at_the_start() {
    assert_eq!(lines(b"ab\x7f\x08\x08c\n"), ["c"]);
    assert_eq!(sent(b"ab\x7f"), "ab\x1b[1D\x1b[K");
}

#[test]
fn end_of_input_counts_only_on_an_empty_line() {
    assert_eq!(lines(b"a\x04b\n\x04"), ["ab", "^D"]);
    assert_eq!(edited(b"abc\x01\x04"), "|bc");
}

#[test]
fn long_lines_are_refused_and_the_next_is_fine() {
    let mut input = [b'x'; LONGEST_LINE + 1].to_vec();
    input.extend(b"\nhelp\n");
    assert_eq!(lines(&input), ["!", "help"]);
    assert_eq!(lines(&input[1..]).len(), 2);
    assert_eq!(lines(&input[1..])[0].len(), LONGEST_LINE);
}

#[test]
fn unprintable_bytes_are_dropped() {
    assert_eq!(lines(b"a\x1b\xff\0bc\n"), ["abc"]);
}

#[test]
fn cursor_moves_and_text_is_inserted_there() {
    assert_eq!(edited(b"hep\x1b[Da"), "hea|p");
    assert_eq!(edited(b"eap\x1b[Hh\x1b[F!"), "heap!|");
    assert_eq!(edited(b"heap\x1b[D\x1b[D\x1b[C"), "hea|p");
    assert_eq!(edited(b"ab\x1b[D\x1b[D\x1b[D\x1b[C\x1b[C\x1b[C"), "ab|");
    assert_eq!(sent(b"ac\x1b[Db"), "ac\x1b[1Dbc\x1b[1D");
}

#[test]
fn characters_are_erased_on_both_sides() {
    assert_eq!(edited(b"heeap\x1b[D\x1b[D\x7f"), "he|ap");
    assert_eq!(edited(b"heeap\x01\x1b[C\x1b[3~"), "h|eap");
    assert_eq!(edited(b"heap\x1b[3~"), "heap|");
}

#[test]
fn words_and_ends_are_erased() {
    assert_eq!(edited(b"alloc 4K  64  \x17"), "alloc 4K  |");
    assert_eq!(edited(b"alloc\x17\x17"), "|");
    assert_eq!(edited(b"alloc 4K\x1b[D\x1b[D\x0b"), "alloc |");
    assert_eq!(edited(b"alloc 4K\x1b[D\x1b[D\x15"), "|4K");
}

#[test]
fn history_goes_up_and_down_and_keeps_the_draft() {
    let mut session = Session::default();
    session.type_in(b"one\ntwo\ndra");
    for (key, line) in [
        ("\x1b[A", "two"),
        ("\x10", "one"),
        ("\x1b[A", "one"),
        ("\x1b[B", "two"),
        ("\x0e", "dra"),
        ("\x1b[B", "dra"),
    ] {
        session.type_in(key.as_bytes());
        assert_eq!(session.editor.line(), line);
        assert_eq!(session.terminal.text(), line);
    }
    session.type_in(b"\x1b[A\x7f\n\x1b[A\x1b[A\n");
    assert_eq!(session.lines, ["one", "two", "tw", "two"]);
}

#[test]
fn history_that_is_empty_does_nothing() {
    assert_eq!(edited(b"x\x1b[A\x1b[B"), "x|");
}

#[test]
fn tab_completes_as_far_as_choices_agree() {
    assert_eq!(edited(b"h\t"), "h|");
    assert_eq!(edited(b"he\t"), "he|");
    assert_eq!(edited(b"hi\t"), "history |");
    assert_eq!(edited(b"help\t"), "help |");
    assert_eq!(edited(b"help e\t"), "help exit |");
    assert_eq!(edited(b"xyz\t"), "xyz|");
    assert_eq!(edited(b"e!\x1b[D\t"), "exit|!");
}

#[test]
fn second_tab_lists_the_choices() {
    let lists = |input: &[u8]| {
        let mut session = Session::default();
        session.type_in(input);
        session.lists
    };
    assert_eq!(lists(b"he\t"), 0);
    assert_eq!(lists(b"he\t\t"), 1);
    assert_eq!(lists(b"he\t\t\t"), 2);
    assert_eq!(lists(b"he\tx\t"), 0);
    assert_eq!(lists(b"hi\t\t"), 0, "the first one completed something");
}

#[test]
fn completion_that_does_not_fit_changes_nothing() {
    let mut input = [b' '; LONGEST_LINE - 2].to_vec();
    input.extend(b"hi\t");
    let mut session = Session::default();
    session.type_in(&input);
    assert!(session.editor.line().ends_with(" hi"));
}

#[test]
fn cancelled_line_is_not_run() {
    assert_eq!(lines(b"exit\x03heap\n"), ["^C", "heap"]);
}

/// Input as people and programs make it: characters, control characters, codes whole and cut.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (b' '..=b'~').prop_map(|byte| std::vec![byte]),
        4 => (0_u8..32).prop_map(|byte| std::vec![byte]),
        4 => (b'A'..=b'H').prop_map(|byte| std::vec![0x1b, b'[', byte]),
        2 => (b'0'..=b'9').prop_map(|byte| std::vec![0x1b, b'[', byte, b'~']),
        1 => Just(std::vec![0x7f]),
        1 => any::<u8>().prop_map(|byte| std::vec![byte]),
    ];
    proptest::collection::vec(piece, 0..400).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn terminal_always_shows_the_line_and_its_cursor(input in input()) {
        let mut session = Session::default();
        for byte in input {
            session.type_in(&[byte]);
            assert_eq!(session.terminal.text(), session.editor.line());
            assert_eq!(session.terminal.column, session.editor.before_cursor().len());
            let mut fresh = Terminal::default();
            fresh.write(&session.editor.whole().to_string());
            assert_eq!((fresh.text(), fresh.column), (session.terminal.text(), session.terminal.column));
        }
    }
}
