//! What happens when nobody reads a program's output any more, as in `bench --list | head -3`.
//!
//! Programs in Rust are told so by an error when they print, and `println!` panics on it. These here print tables and have
//! nothing to clean up: they end where they are, without a word, as other programs in a pipe do.

/// From now on, the program ends when it prints to a pipe that is closed.
pub fn ends_the_program() {
    // SAFETY: this gives SIGPIPE back the default that a process begins with; no function of ours runs as its handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
