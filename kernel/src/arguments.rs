//! The arguments that the runner gives to an image, read from their text. Pure; the format is
//! [`protocol`](crate::protocol)'s.
#![forbid(unsafe_code)]

/// The most bytes of their text that an image reads.
pub const MOST_BYTES: usize = 8 * 1024;

/// What a boot of the test image is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Print the plan and leave.
    List,
    /// Run the chosen ordinary tests.
    #[default]
    Ordinary,
    /// Run one isolated test.
    Isolated,
}

/// The arguments of a boot; they borrow their text.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// The text, one argument a line.
    text: &'a str,
}

impl<'a> Arguments<'a> {
    /// Reads arguments from their text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns what the boot is for; an ordinary run where nothing (or nothing known) is said.
    #[must_use]
    pub fn mode(self) -> Mode {
        match self.values("mode").last() {
            Some("list") => Mode::List,
            Some("isolated") => Mode::Isolated,
            _ => Mode::Ordinary,
        }
    }

    /// Returns whether the test `name` is chosen.
    #[must_use]
    pub fn chooses(self, name: &str) -> bool {
        let is_exact = self.lines().any(|line| line == "exact");
        let matches = |text: &str| {
            if is_exact {
                name == text
            } else {
                name.contains(text)
            }
        };
        let chosen = self.values("filter").any(matches) || self.values("filter").next().is_none();
        chosen && !self.values("skip").any(matches)
    }

    /// Returns the ordinary test to go on behind.
    #[must_use]
    pub fn after(self) -> Option<&'a str> {
        self.values("after").last()
    }

    /// Returns the isolated test to run.
    #[must_use]
    pub fn only(self) -> Option<&'a str> {
        self.values("only").last()
    }

    /// Returns the name of the log level to begin with.
    #[must_use]
    pub fn log_level(self) -> Option<&'a str> {
        self.values("log").last()
    }

    /// Iterates over the lines that say something.
    fn lines(self) -> impl Iterator<Item = &'a str> {
        self.text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    }

    /// Iterates over what follows `key` on the lines that begin with it.
    fn values(self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.lines().filter_map(move |line| {
            line.strip_prefix(key)?
                .strip_prefix(' ')
                .map(str::trim_start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_chooses_everything() {
        let arguments = Arguments::new("");
        assert_eq!(arguments.mode(), Mode::Ordinary);
        assert!(arguments.chooses("heap::any"));
        assert_eq!((arguments.after(), arguments.only()), (None, None));
    }

    #[test]
    fn filters_choose_the_union_and_skips_leave_out() {
        let arguments = Arguments::new("mode list\nfilter heap\nfilter frames\nskip double\n");
        assert_eq!(arguments.mode(), Mode::List);
        assert!(arguments.chooses("heap::a") && arguments.chooses("frames::b"));
        assert!(!arguments.chooses("boot::c") && !arguments.chooses("heap::double_free"));
    }

    #[test]
    fn exact_compares_whole_names() {
        let arguments = Arguments::new("exact\nfilter heap::a\r\n");
        assert!(arguments.chooses("heap::a") && !arguments.chooses("heap::ab"));
    }

    #[test]
    fn last_log_level_counts() {
        let arguments = Arguments::new("log info\nmode list\nlog  debug \nlogging x");
        assert_eq!(arguments.log_level(), Some("debug"));
        assert_eq!(Arguments::new("").log_level(), None);
    }

    #[test]
    fn names_are_read_whole() {
        let arguments =
            Arguments::new("mode isolated\nonly faults::x\nafter heap::y\nafterwards z");
        assert_eq!(arguments.mode(), Mode::Isolated);
        assert_eq!(
            (arguments.after(), arguments.only()),
            (Some("heap::y"), Some("faults::x"))
        );
    }
}
