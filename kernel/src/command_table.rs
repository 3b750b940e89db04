//! A table of commands: what is typed, what it means, what can follow. Pure; what the commands do is a parameter.
//!
//! `help`, Tab and the prompt all read the same table. A command's name may have several words (`heap map`); the longest
//! name that a line begins with is meant.
#![forbid(unsafe_code)]

use core::fmt;

use crate::spelling;

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct Command<R> {
    /// What is typed, in lower case, words with one blank between them.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What may follow it, for `help`: words in capitals, those that can be left out in brackets.
    pub arguments: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else there is to say, as lines of text.
    pub help: &'static str,
    /// What Tab offers behind the name.
    pub choices: Argument,
    /// Does it.
    pub run: R,
}

/// What the first argument of a command can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing that could be listed.
    Free,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A command.
    Command,
    /// A test.
    Test,
}

impl<R> Command<R> {
    /// Iterates over its names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Returns what is typed, with its arguments.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        Usage {
            name: self.name,
            arguments: self.arguments,
        }
    }
}

/// A command's name and arguments. Displays as `alloc SIZE [ALIGN]`.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The name.
    name: &'static str,
    /// What may follow it.
    arguments: &'static str,
}

impl Usage {
    /// Returns how many characters it has.
    const fn len(self) -> usize {
        match self.arguments.len() {
            0 => self.name.len(),
            arguments => self.name.len() + 1 + arguments,
        }
    }
}

impl fmt::Display for Usage {
    /// Left-aligned in the width asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = f.width().unwrap_or(0).saturating_sub(self.len());
        let blank = if self.arguments.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}{:rest$}", self.name, self.arguments, "")
    }
}

/// Commands that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Family<R: 'static> {
    /// What they are about.
    pub title: &'static str,
    /// The commands.
    pub commands: &'static [Command<R>],
}

/// All commands.
#[derive(Clone, Copy, Debug)]
pub struct Table<R: 'static>(pub &'static [Family<R>]);

/// What a line turned out to be.
#[derive(Debug)]
pub enum Found<'a, R: 'static> {
    /// A command, and the text behind its name.
    Command(&'static Command<R>, &'a str),
    /// None. Displays as one sentence.
    Unknown(Unknown<'a>),
}

/// What is no command. Displays as one sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// What was typed.
    typed: &'a str,
    /// What may have been meant.
    nearest: Option<&'static str>,
}

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { typed, nearest } = self;
        match nearest {
            Some(nearest) => write!(
                f,
                "There is no command `{typed}`; did you mean `{nearest}`?"
            ),
            None => write!(
                f,
                "There is no command `{typed}`; type `help` for those there are."
            ),
        }
    }
}

impl<R: Copy + 'static> Table<R> {
    /// Iterates over the commands.
    pub fn commands(self) -> impl Iterator<Item = &'static Command<R>> + Clone {
        self.0.iter().flat_map(|family| family.commands)
    }

    /// Finds the command that `line` begins with; `None` for a blank line.
    #[must_use]
    pub fn find(self, line: &str) -> Option<Found<'_, R>> {
        let line = line.trim();
        let first = line.split_whitespace().next()?;
        let Some((command, words, arguments)) = self.longest(line) else {
            let names = self.names().map(|(_, name)| name);
            let nearest = spelling::nearest(first, names.filter(|name| !name.contains(' ')));
            let typed = first;
            return Some(Found::Unknown(Unknown { typed, nearest }));
        };
        if command.arguments.is_empty() && !arguments.is_empty() && self.has_longer(words) {
            return Some(Found::Unknown(self.unknown_behind(line, words, arguments)));
        }
        Some(Found::Command(command, arguments))
    }

    /// Says that what follows `words` words of `line`, the first of `arguments`, is no part of any command.
    fn unknown_behind<'a>(self, line: &'a str, words: &str, arguments: &'a str) -> Unknown<'a> {
        let next = arguments.split_whitespace().next().unwrap_or_default();
        let end = line.len() - arguments.len() + next.len();
        let names = self.names().map(|(_, name)| name);
        let behind = names.filter_map(|name| behind(name, words));
        let nearest = spelling::nearest(next, behind.filter(|rest| !rest.is_empty()));
        let nearest = nearest.and_then(|nearest| {
            let mut names = self.names().map(|(_, name)| name);
            names.find(|name| behind_is(name, words, nearest))
        });
        Unknown {
            typed: &line[..end],
            nearest,
        }
    }

    /// Iterates over all names, with their commands.
    fn names(self) -> impl Iterator<Item = (&'static Command<R>, &'static str)> + Clone {
        self.commands().flat_map(|command| {
            let names = core::iter::once(command.name).chain(command.aliases.iter().copied());
            names.map(move |name| (command, name))
        })
    }

    /// Returns the command with the longest name that `line` begins with, that name, and the text behind it.
    fn longest(self, line: &str) -> Option<(&'static Command<R>, &'static str, &str)> {
        self.names()
            .filter_map(|(command, name)| Some((command, name, behind(line, name)?)))
            .max_by_key(|(_, name, _)| name.len())
    }

    /// Returns whether there are names that begin with `words` and go on.
    fn has_longer(self, words: &str) -> bool {
        let mut names = self.names();
        names.any(|(_, name)| behind(name, words).is_some_and(|rest| !rest.is_empty()))
    }

    /// Calls `each` with every word that can stand where the last word of `before` stands and begins like it: words of
    /// commands, and their choices. A word may come more than once only if it is offered for different reasons. `tests` are
    /// the names of the tests.
    pub fn for_each_choice(
        self,
        before: &str,
        tests: impl Iterator<Item = &'static str>,
        each: &mut dyn FnMut(&str),
    ) {
        let (done, word) = before.rsplit_once(' ').unwrap_or(("", before));
        self.for_each_next_word(done, word, each);
        let Some((command, _, arguments)) = self.longest(done) else {
            return;
        };
        match command.choices {
            Argument::Command => self.for_each_next_word(arguments, word, each),
            _ if !arguments.is_empty() => {}
            Argument::Free => {}
            Argument::OneOf(words) => offer(words.iter().copied(), word, each),
            Argument::Test => offer(tests, word, each),
        }
    }

    /// Calls `each` once with every word that follows `done` in a name and begins with `word`.
    fn for_each_next_word(self, done: &str, word: &str, each: &mut dyn FnMut(&str)) {
        let next = |name: &'static str| next_word(behind(name, done)?);
        for (index, (_, name)) in self.names().enumerate() {
            let Some(next_word) = next(name).filter(|next| next.starts_with(word)) else {
                continue;
            };
            let mut earlier = self.names().take(index);
            if !earlier.any(|(_, name)| next(name) == Some(next_word)) {
                each(next_word);
            }
        }
    }
}

/// Calls `each` with those of `words` that begin with `word`.
fn offer(words: impl Iterator<Item = &'static str>, word: &str, each: &mut dyn FnMut(&str)) {
    words
        .filter(|choice| choice.starts_with(word))
        .for_each(each);
}

/// Returns the first word of `text`.
fn next_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

/// Returns what follows the words `words` at the start of `line`; `None` where it does not begin with them.
fn behind<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    let mut rest = line.trim_start();
    for word in words.split_whitespace() {
        let tail = rest.strip_prefix(word)?;
        if !tail.is_empty() && !tail.starts_with(char::is_whitespace) {
            return None;
        }
        rest = tail.trim_start();
    }
    Some(rest)
}

/// Returns whether `name` is `words` with `rest` behind them.
fn behind_is(name: &str, words: &str, rest: &str) -> bool {
    behind(name, words) == Some(rest)
}

/// The table for a reader: one line a command, in families. Displays as lines.
#[derive(Clone, Copy, Debug)]
pub struct Overview<R: 'static>(pub Table<R>);

impl<R: Copy + 'static> fmt::Display for Overview<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(table) = self;
        let lengths = table.commands().map(|command| command.usage().len());
        let width = lengths.max().unwrap_or(0);
        for family in table.0 {
            writeln!(f, "{}", family.title)?;
            for command in family.commands {
                let usage = command.usage();
                writeln!(f, "  {usage:width$}  {}", command.summary)?;
            }
        }
        Ok(())
    }
}

/// One command for a reader. Displays as lines.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<R: 'static>(pub &'static Command<R>);

impl<R: 'static> fmt::Display for Explanation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(command) = self;
        write!(f, "{}: {}", command.usage(), command.summary)?;
        for (number, alias) in command.aliases.iter().enumerate() {
            let opening = if number == 0 { " (also " } else { ", " };
            write!(f, "{opening}`{alias}`")?;
        }
        writeln!(f, "{}", if command.aliases.is_empty() { "" } else { ")" })?;
        command
            .help
            .lines()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    /// A command without a doing.
    const fn command(
        name: &'static str,
        aliases: &'static [&'static str],
        arguments: &'static str,
        choices: Argument,
    ) -> Command<()> {
        Command {
            name,
            aliases,
            arguments,
            summary: "does it",
            help: "Really.\nOften.",
            choices,
            run: (),
        }
    }

    /// A small table.
    const TABLE: Table<()> = Table(&[
        Family {
            title: "Heap",
            commands: &[
                command("heap", &[], "", Argument::Free),
                command("heap classes", &["slabinfo"], "", Argument::Free),
                command("heap map", &[], "[stacks]", Argument::OneOf(&["stacks"])),
            ],
        },
        Family {
            title: "Other",
            commands: &[
                command("help", &[], "[COMMAND]", Argument::Command),
                command("log", &[], "[LEVEL]", Argument::OneOf(&["debug", "info"])),
                command("test", &[], "[NAME]", Argument::Test),
                command("uptime", &[], "", Argument::Free),
            ],
        },
    ]);

    /// The name and arguments of what is found, or the complaint.
    fn found(line: &str) -> (String, String) {
        match TABLE.find(line) {
            Some(Found::Command(command, rest)) => (command.name.to_string(), rest.to_string()),
            Some(Found::Unknown(unknown)) => ("?".to_string(), unknown.to_string()),
            None => (String::new(), String::new()),
        }
    }

    /// The choices at the end of `before`.
    fn choices(before: &str) -> Vec<String> {
        let mut choices = Vec::new();
        let tests = ["boot::ticks", "heap::grows"].into_iter();
        TABLE.for_each_choice(before, tests, &mut |choice| {
            choices.push(choice.to_string());
        });
        choices
    }

    #[test]
    fn longest_name_is_meant() {
        for (line, name, rest) in [
            (" heap ", "heap", ""),
            ("heap  map", "heap map", ""),
            ("heap map stacks", "heap map", "stacks"),
            ("slabinfo", "heap classes", ""),
            ("log\tdebug  x", "log", "debug  x"),
            ("", "", ""),
            (" \t ", "", ""),
        ] {
            assert_eq!(
                found(line),
                (name.to_string(), rest.to_string()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn wrong_names_are_told_with_the_nearest() {
        for (line, sentence) in [
            (
                "hlep me",
                "There is no command `hlep`; did you mean `help`?",
            ),
            (
                "slabinof",
                "There is no command `slabinof`; did you mean `slabinfo`?",
            ),
            (
                "banana",
                "There is no command `banana`; type `help` for those there are.",
            ),
            (
                "heap mpa",
                "There is no command `heap mpa`; did you mean `heap map`?",
            ),
            (
                "heap banana 3",
                "There is no command `heap banana`; type `help` for those there are.",
            ),
            (
                "heapmap",
                "There is no command `heapmap`; type `help` for those there are.",
            ),
        ] {
            assert_eq!(found(line).1, sentence);
        }
        assert_eq!(
            found("uptime now"),
            ("uptime".to_string(), "now".to_string())
        );
    }

    #[test]
    fn words_of_names_are_offered_once() {
        assert_eq!(
            choices(""),
            ["heap", "slabinfo", "help", "log", "test", "uptime"]
        );
        assert_eq!(choices("he"), ["heap", "help"]);
        assert_eq!(choices("heap "), ["classes", "map"]);
        assert_eq!(choices("heap  m"), ["map"]);
        assert_eq!(choices("banana "), [""; 0]);
    }

    #[test]
    fn arguments_are_offered_behind_their_command() {
        assert_eq!(choices("log "), ["debug", "info"]);
        assert_eq!(choices("log d"), ["debug"]);
        assert_eq!(choices("log debug "), [""; 0]);
        assert_eq!(choices("heap map s"), ["stacks"]);
        assert_eq!(choices("test heap"), ["heap::grows"]);
        assert_eq!(choices("help heap "), ["classes", "map"]);
        assert_eq!(choices("help he"), ["heap", "help"]);
        assert_eq!(choices("uptime "), [""; 0]);
    }

    #[test]
    fn overview_is_aligned_and_explanation_complete() {
        let overview = Overview(TABLE).to_string();
        assert!(
            overview.contains("Heap\n  heap               does it\n"),
            "{overview}"
        );
        assert!(
            overview.contains("  heap map [stacks]  does it\n"),
            "{overview}"
        );
        let Some(Found::Command(command, _)) = TABLE.find("slabinfo") else {
            panic!("there is such a command");
        };
        assert_eq!(
            Explanation(command).to_string(),
            "heap classes: does it (also `slabinfo`)\nReally.\nOften.\n"
        );
    }
}
