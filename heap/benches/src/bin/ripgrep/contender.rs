//! A ripgrep with one of the heaps, and its answer.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::Command;

/// A program, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    /// What it is called in tables: the name of its heap.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) program: PathBuf,
}

impl Contender {
    /// Reads `NAME=PROGRAM`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, program) = text
            .split_once('=')
            .filter(|(name, program)| !name.is_empty() && !program.is_empty())
            .ok_or("write NAME=PROGRAM")?;
        Ok(Self {
            name: name.to_string().leak(),
            program: program.into(),
        })
    }

    /// Runs it, and returns its answer, in an order that does not depend on threads.
    fn answer(&self, arguments: &[String]) -> Result<Vec<Vec<u8>>, String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "ripgrep on {} failed ({}): {words}",
                self.name, output.status
            ));
        }
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let mut lines: Vec<_> = lines
            .map(<[u8]>::to_vec)
            .filter(|line| !line.is_empty())
            .collect();
        lines.sort();
        Ok(lines)
    }
}

/// Sees to it that all programs find the same, and returns how many lines that are.
///
/// # Errors
///
/// A sentence, if they do not, or one fails.
pub(crate) fn compare_answers(
    contenders: &[Contender],
    arguments: &[String],
) -> Result<usize, String> {
    let mut answers = contenders
        .iter()
        .map(|one| Ok((one, one.answer(arguments)?)));
    let (first, expected) = answers
        .next()
        .unwrap_or_else(|| Err("no program".to_string()))?;
    if expected.is_empty() {
        return Err("nothing was found: is there source code in these folders?".to_string());
    }
    for answer in answers {
        let (other, found) = answer?;
        if found != expected {
            return Err(format!(
                "ripgrep on {} and on {} do not find the same",
                first.name, other.name
            ));
        }
    }
    Ok(expected.len())
}

#[cfg(test)]
mod tests {
    use super::{Contender, compare_answers};

    /// Returns the contender that `text` means.
    fn contender(text: &str) -> Contender {
        Contender::parse(text).expect("NAME=PROGRAM")
    }

    #[test]
    fn a_contender_is_a_name_and_a_program() {
        assert_eq!(contender("ours=/bin/echo").name, "ours");
        assert_eq!(contender("a=b=c").program.to_str(), Some("b=c"));
        for wrong in ["ours", "=b", "a="] {
            assert!(Contender::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn different_answers_are_told_apart() {
        let arguments = ["a".to_string(), "b".to_string()];
        let pair = |texts: [&str; 2]| compare_answers(&texts.map(contender), &arguments);
        assert_eq!(pair(["x=/bin/echo", "y=/bin/echo"]), Ok(1));
        let different = pair(["x=/bin/echo", "y=/usr/bin/basename"]).expect_err("`b a` and `a`");
        assert_eq!(different, "ripgrep on x and on y do not find the same");
        let nothing = pair(["x=/bin/true", "y=/bin/true"]).expect_err("nothing");
        assert!(nothing.starts_with("nothing was found"));
        let failure = pair(["x=/bin/false", "y=/bin/false"]).expect_err("a failure");
        assert!(failure.starts_with("ripgrep on x failed"));
    }
}
