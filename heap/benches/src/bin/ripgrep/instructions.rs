//! What callgrind counts: the instructions of a whole process in user mode.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::contender::Contender;

/// Returns whether there is a valgrind.
pub(crate) fn can_be_counted() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Counts the instructions of a program's run, and leaves the profile in `folder`.
///
/// # Errors
///
/// A sentence, if it fails.
pub(crate) fn count(
    contender: &Contender,
    arguments: &[String],
    folder: &Path,
) -> Result<f64, String> {
    let profile = folder.join(format!("{}.callgrind", contender.name));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&contender.program)
        .args(arguments)
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "ripgrep on {} failed under callgrind:\n{words}",
            contender.name
        ));
    }
    let text =
        fs::read_to_string(&profile).map_err(|error| format!("{}: {error}", profile.display()))?;
    total(&text).ok_or_else(|| format!("{}: it has no total", profile.display()))
}

/// Returns the total of a profile.
fn total(profile: &str) -> Option<f64> {
    let mut lines = profile.lines();
    lines.find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_is_at_the_end() {
        let profile = "events: Ir\nsummary: 7\n\nfn=(1) main\n1 300\n\ntotals: 300\n";
        assert_eq!(total(profile), Some(300.0));
        assert_eq!(total("fn=(1) main\n1 300\n"), None);
    }
}
