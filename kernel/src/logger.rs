//! What the kernel says of itself, through the `log` crate: `log::info!` and its like, filtered by a level.
//!
//! Information is printed as it is; other messages begin with their level. Logging prints, so it takes the console's lock: not
//! for code that holds another one.

use core::str::FromStr;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::println;
use crate::style::Style;

/// What is shown if nobody says otherwise.
const DEFAULT: LevelFilter = LevelFilter::Info;

/// The names of the levels; each shows what those before it show, and more.
pub const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Prints to the console.
struct ConsoleLogger;

impl Log for ConsoleLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args();
        match record.level() {
            Level::Error => println!("{}: {message}", Style::Red.paint("error")),
            Level::Warn => println!("{}: {message}", Style::Yellow.paint("warning")),
            Level::Info => println!("{message}"),
            Level::Debug => println!("{}: {message}", Style::Dim.paint("debug")),
            Level::Trace => println!("{}: {message}", Style::Dim.paint("trace")),
        }
    }

    fn flush(&self) {}
}

/// Makes `log::info!` and its like print. `level` is the name of a level, if somebody chose one. Further calls change the level
/// alone.
pub fn init(level: Option<&str>) {
    // Fails where a logger is set already: this one.
    let _ = log::set_logger(&ConsoleLogger);
    let chosen = level.and_then(|level| LevelFilter::from_str(level).ok());
    log::set_max_level(chosen.unwrap_or(DEFAULT));
    if let Some(unknown) = level.filter(|_| chosen.is_none()) {
        log::warn!("there is no log level `{unknown}`");
    }
}

/// Changes the level; returns whether there is one with this name.
#[must_use]
pub fn set_level(name: &str) -> bool {
    let is_known = LEVELS.contains(&name);
    if let Some(level) = LevelFilter::from_str(name).ok().filter(|_| is_known) {
        log::set_max_level(level);
    }
    is_known
}

/// Returns the name of the level.
#[must_use]
pub fn level() -> &'static str {
    LEVELS[log::max_level() as usize]
}
