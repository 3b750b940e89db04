//! The programs end without a word when nobody reads what they print.
#![forbid(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Runs a program whose output has lost its reader, and sees how it ends.
fn ends_quietly(program: &str, arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(program)
        .args(arguments)
        .stdout(writer)
        .output()
        .expect("it was built");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(words, "", "{program}");
    assert_eq!(output.status.signal(), Some(libc::SIGPIPE), "{program}");
}

#[test]
fn bench_ends_quietly() {
    ends_quietly(env!("CARGO_BIN_EXE_bench"), &["--list"]);
}

#[test]
fn icount_ends_quietly() {
    let arguments = ["--run", "lifo-16", "--contender", "ours"];
    ends_quietly(env!("CARGO_BIN_EXE_icount"), &arguments);
}

#[test]
fn ripgrep_ends_quietly() {
    // What it compares need not be a ripgrep.
    let arguments = ["--program", "jemalloc=echo", "--rounds", "1", "folder"];
    ends_quietly(env!("CARGO_BIN_EXE_ripgrep"), &arguments);
}
