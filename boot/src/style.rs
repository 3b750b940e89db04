//! Colour for verdicts and errors: only on a terminal, never where `NO_COLOR` is set.

use std::env;
use std::io::IsTerminal;

/// Whether a stream is coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether to write colour codes.
    coloured: bool,
}

impl Style {
    /// Returns `text` as good news.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Returns `text` as bad news.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Says whether colour codes, the kernel's own too, may be written.
    pub(crate) fn is_coloured(self) -> bool {
        self.coloured
    }

    /// Returns `text` in the colour with this code.
    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Returns the style of the standard output.
pub(crate) fn stdout(choice: clap::ColorChoice) -> Style {
    let coloured = match choice {
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
        clap::ColorChoice::Auto => is_wanted() && std::io::stdout().is_terminal(),
    };
    Style { coloured }
}

/// Returns the style of the error output.
pub(crate) fn stderr() -> Style {
    Style {
        coloured: is_wanted() && std::io::stderr().is_terminal(),
    }
}

/// Says whether the user has not asked for plain text, by the convention of <https://no-color.org>.
fn is_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
