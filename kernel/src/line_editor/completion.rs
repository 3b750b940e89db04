//! What Tab adds to a line.
#![forbid(unsafe_code)]

use super::text::{LONGEST_LINE, Text};

/// Somebody who knows what may be typed.
pub trait Choices {
    /// Calls `each` with every word that can stand where the last word of `before` stands and begins like it. That word is
    /// what follows the last blank, and may be empty.
    fn for_each(&self, before: &str, each: &mut dyn FnMut(&str));
}

/// What all choices have in common.
#[derive(Debug, Default)]
struct Common {
    /// What they begin with.
    prefix: Text,
    /// How many there are, each counted as often as it comes.
    count: usize,
}

impl Common {
    /// Takes one more choice.
    fn add(&mut self, choice: &str) {
        self.count += 1;
        if self.count == 1 {
            self.prefix.replace(choice);
            return;
        }
        let pairs = self.prefix.as_str().bytes().zip(choice.bytes());
        let shared = pairs
            .take_while(|(prefix, choice)| prefix == choice)
            .count();
        let shared = &choice[..shared];
        let mut prefix = Text::default();
        prefix.replace(shared);
        self.prefix = prefix;
    }
}

/// Adds to the word at the cursor what all choices have in common, and a blank behind the only one. Returns whether that was
/// anything.
pub(super) fn complete(text: &mut Text, choices: &impl Choices) -> bool {
    let mut common = Common::default();
    choices.for_each(text.before_cursor(), &mut |choice| common.add(choice));
    let before = text.before_cursor();
    let word = before.rsplit(' ').next().unwrap_or_default();
    let Some(rest) = common.prefix.as_str().strip_prefix(word) else {
        return false;
    };
    let is_last = text.cursor() == text.len();
    let blank = if common.count == 1 && is_last {
        " "
    } else {
        ""
    };
    if text.len() + rest.len() + blank.len() > LONGEST_LINE {
        return false;
    }
    for byte in rest.bytes().chain(blank.bytes()) {
        text.insert(byte);
    }
    !rest.is_empty() || !blank.is_empty()
}
