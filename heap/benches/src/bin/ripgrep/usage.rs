//! What the system counts for a process.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a process needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of processor time, in user mode and in the system. How much of it was which, Linux only guesses.
    pub(crate) cpu: f64,
    /// The most bytes of memory that it had at a time.
    pub(crate) memory: f64,
}

/// Runs a program to its end, with its output thrown away.
///
/// # Errors
///
/// A sentence, if it fails.
pub(crate) fn of(program: &Path, arguments: &[String]) -> Result<Usage, String> {
    let complain = |what: &str| format!("{}: {what}", program.display());
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| complain(&error.to_string()))?;
    let number = libc::pid_t::try_from(child.id()).map_err(|error| complain(&error.to_string()))?;
    let (mut status, mut usage) = (0, core::mem::MaybeUninit::<libc::rusage>::uninit());
    // SAFETY: both pointers lead to what may be written. The child is waited for here and nowhere else.
    let ended = unsafe { libc::wait4(number, &raw mut status, 0, usage.as_mut_ptr()) };
    if ended != number {
        return Err(complain("nobody knows how it ended"));
    }
    if status != 0 {
        return Err(complain("it failed"));
    }
    // SAFETY: `wait4` has written it, as it has found the process.
    let usage = unsafe { usage.assume_init() };
    Ok(Usage {
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // Linux counts KiB.
        memory: usage.ru_maxrss as f64 * 1024.0,
    })
}

/// Returns a time in seconds.
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::of;
    use std::path::Path;

    #[test]
    fn a_shell_that_counts_needs_time_and_memory() {
        let words = ["-c", "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done"];
        let usage = of(Path::new("/bin/sh"), &words.map(String::from)).expect("it ends well");
        assert!(usage.cpu > 0.001, "{usage:?}");
        assert!(usage.memory > 100_000.0, "{usage:?}");
        assert!(of(Path::new("/bin/false"), &[]).is_err());
        assert!(of(Path::new("/nowhere/rg"), &[]).is_err());
    }
}
