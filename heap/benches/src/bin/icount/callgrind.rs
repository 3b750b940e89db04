//! Counts with valgrind's callgrind, and reads what it writes.
//!
//! What counts are the instructions of our own program between entry and return of a heap's four functions. Those of the C
//! library (`memcpy`, `memset`) are left out: which of them runs is the processor's choice. So the same program counts
//! the same on every machine.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::counted::NO_MEMORY;

/// The heap's four functions, under the names that a debugger sees: spelled out, and as the linker knows them.
const COUNTED: [&str; 2] = [
    "--toggle-collect=*Called*GlobalAlloc>::*",
    "--toggle-collect=_R*6Called*GlobalAlloc*",
];

/// See [`counted::counted_part`](crate::counted).
const BEGINS: [&str; 2] = [
    "--zero-before=*counted_part",
    "--zero-before=_R*12counted_part",
];

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many operations there were.
    pub(crate) operations: u64,
    /// The instructions that the heap needed for them.
    pub(crate) instructions: u64,
}

impl Count {
    /// Returns the instructions of an operation.
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than a fraction can hold"
    )]
    pub(crate) fn per_operation(self) -> f64 {
        self.instructions as f64 / self.operations as f64
    }
}

/// Returns whether valgrind can be called.
pub(crate) fn is_there() -> bool {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Counts the workload `name` on the heap `contender`, and leaves the profile in `folder`. `None` when the heap has too
/// little memory for it.
///
/// # Errors
///
/// A sentence that says what went wrong.
pub(crate) fn count(name: &str, contender: &str, folder: &Path) -> Result<Option<Count>, String> {
    let program = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let profile = folder.join(format!("{contender}-{name}.callgrind"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args(COUNTED)
        .args(BEGINS)
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&program)
        .args(["--run", name, "--contender", contender])
        .output()
        .map_err(|error| format!("valgrind cannot be called: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} on {contender} failed:\n{words}"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == NO_MEMORY {
        return Ok(None);
    }
    let operations = said
        .trim()
        .parse()
        .map_err(|_| format!("{name} said `{said}` and no number"))?;
    let text = fs::read_to_string(&profile)
        .map_err(|error| format!("{} cannot be read: {error}", profile.display()))?;
    let instructions = instructions_of(&text, &program.to_string_lossy());
    if instructions == 0 {
        return Err(format!(
            "callgrind saw no call of the heap in {name}: are the functions named as in callgrind.rs?"
        ));
    }
    Ok(Some(Count {
        operations,
        instructions,
    }))
}

/// Returns the instructions that a profile counts in the code of `program` itself.
///
/// A profile is lines: `ob=(1) FILE` says whose code follows, `fn=`, `fl=` and the like more about it; `LINE COST` is a cost.
/// A line after `calls=` is the cost of what was called, which is counted where it stands itself. A name is written out
/// once, and is its number from then on.
fn instructions_of(profile: &str, program: &str) -> u64 {
    let mut names = HashMap::new();
    let mut is_ours = false;
    let mut is_call = false;
    let mut sum = 0;
    for line in profile.lines() {
        if let Some((key, value)) = line.split_once('=') {
            if key == "ob" || key == "cob" {
                let name = full_name(value, &mut names);
                if key == "ob" {
                    is_ours = name == program;
                }
            }
            is_call = key == "calls";
        } else if line.starts_with(['+', '-', '*'])
            || line.starts_with(|c: char| c.is_ascii_digit())
        {
            if is_ours && !is_call {
                sum += line
                    .split_ascii_whitespace()
                    .nth(1)
                    .and_then(|cost| cost.parse::<u64>().ok())
                    .unwrap_or(0);
            }
            is_call = false;
        }
    }
    sum
}

/// Returns the name that `value` means: `(1) NAME`, or `(1)` for a name that was written out before.
fn full_name<'a>(value: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match value.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(value).copied().unwrap_or(value),
    }
}

#[cfg(test)]
mod tests {
    use super::instructions_of;

    /// As callgrind writes them, shortened.
    const PROFILE: &str = "\
# callgrind format
version: 1
cmd:  /bin/icount --run x=y
part: 1
desc: Trigger: Program termination
positions: line
events: Ir
summary: 2222

ob=(2) /lib/libc.so.6
fl=(1) memset.S
fn=(1) memset
10 1000
+2 1000

ob=(3) /bin/icount
fl=(2) heap.rs
fn=(2) alloc
16 5
cob=(2)
cfn=(1)
calls=3 10
* 2000
fi=(3) lock.rs
-4 10
+1 7
fn=(4) dealloc
* 200

totals: 2222
";

    #[test]
    fn only_the_program_itself_counts() {
        assert_eq!(instructions_of(PROFILE, "/bin/icount"), 222);
        assert_eq!(instructions_of(PROFILE, "/lib/libc.so.6"), 2000);
        assert_eq!(instructions_of(PROFILE, "/bin/other"), 0);
    }

    #[test]
    fn a_name_may_be_written_out_at_a_call() {
        let profile = "ob=(1) a\n1 5\ncob=(2) b\ncalls=1 1\n1 100\nob=(2)\n1 7\n";
        assert_eq!(instructions_of(profile, "b"), 7);
        assert_eq!(instructions_of(profile, "a"), 5);
    }
}
