//! Which word somebody may have meant. Pure.
#![forbid(unsafe_code)]

/// The longest word that is looked at, in bytes; longer ones are like nothing.
const LONGEST_WORD: usize = 32;

/// Returns the word that is most like `typed`, of those that are like it: one slip for every three letters, at most three.
#[must_use]
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (typed.len() / 3).clamp(1, 3);
    words
        .filter_map(|word| Some((slips(typed, word)?, word)))
        .filter(|&(slips, word)| slips <= most && slips < word.len())
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, word)| word)
}

/// Returns the least number of slips that make `word` into `typed`: letters added, lost, changed, or two of them swapped.
/// `None` where a word is too long to be looked at.
fn slips(typed: &str, word: &str) -> Option<usize> {
    let (typed, word) = (typed.as_bytes(), word.as_bytes());
    if typed.len() > LONGEST_WORD || word.len() > LONGEST_WORD {
        return None;
    }
    // Row `i` holds the slips from the first `i` letters of `typed` to each start of `word`; three rows are enough.
    let mut rows = [[0; LONGEST_WORD + 1]; 3];
    rows[0] = core::array::from_fn(|column| column);
    for (i, letter) in typed.iter().enumerate() {
        let [before, last, ..] = [rows[(i + 2) % 3], rows[i % 3]];
        let row = &mut rows[(i + 1) % 3];
        row[0] = i + 1;
        for (j, other) in word.iter().enumerate() {
            let changed = last[j] + usize::from(letter != other);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swapped = i > 0 && j > 0 && *letter == word[j - 1] && typed[i - 1] == *other;
            if is_swapped {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
    }
    Some(rows[typed.len() % 3][word.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (typed, word, count) in [
            ("heap", "heap", 0),
            ("haep", "heap", 1),
            ("heaps", "heap", 1),
            ("hep", "heap", 1),
            ("hexp", "heap", 1),
            ("", "heap", 4),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(typed, word), Some(count), "{typed}, {word}");
            assert_eq!(slips(word, typed), Some(count), "{word}, {typed}");
        }
        assert_eq!(slips(&"x".repeat(33), "x"), None);
    }

    #[test]
    fn nearest_word_is_found_if_it_is_near() {
        let words = ["heap", "help", "history", "exit", "ud"];
        let nearest = |typed| nearest(typed, words.into_iter());
        assert_eq!(nearest("hlep"), Some("help"));
        assert_eq!(nearest("histry"), Some("history"));
        assert_eq!(nearest("ex"), None);
        assert_eq!(nearest("banana"), None);
        assert_eq!(nearest("x"), None);
    }
}
