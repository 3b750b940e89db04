//! What may be passed on of this program's standard input, and when.
//!
//! Nothing before the kernel is ready: the firmware would eat it. From a terminal, every key at once. From a pipe, one line
//! for each prompt: a command that looks for a key then does not meet the next command, and a machine that is reset loses no
//! line, because none was on its way.

use std::io::{self, BufRead};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the kernel takes for the end of its input.
const END_OF_TRANSMISSION: u8 = 0x04;

/// The most bytes of a line that are passed on at once.
const LONGEST_PIECE: u64 = 4096;

/// How much may be passed on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    /// Whatever comes.
    Keys,
    /// A line for each prompt.
    Lines,
}

/// What may be passed on now.
#[derive(Debug, PartialEq, Eq)]
struct State {
    /// How much at a time.
    portion: Portion,
    /// The kernel reads commands, and nobody has asked for a reboot since.
    is_ready: bool,
    /// There is a prompt for which no line was given yet.
    has_prompt: bool,
    /// The last piece was not the end of its line.
    is_in_line: bool,
}

impl State {
    /// Nothing may be passed on yet.
    const fn new(portion: Portion) -> Self {
        Self {
            portion,
            is_ready: false,
            has_prompt: false,
            is_in_line: false,
        }
    }

    /// Says whether the next piece may be passed on.
    fn is_open(&self) -> bool {
        self.is_ready && (self.portion == Portion::Keys || self.has_prompt || self.is_in_line)
    }

    /// Notes that a piece is being passed on.
    fn pass(&mut self, piece: &[u8]) {
        self.has_prompt = false;
        self.is_in_line = !piece.ends_with(b"\n");
    }

    /// Notes that the kernel has written its line `ready`.
    fn ready(&mut self) {
        self.is_ready = true;
    }

    /// Notes a prompt.
    fn prompt(&mut self) {
        self.has_prompt = true;
    }

    /// Notes that the machine is reset. The kernel has taken the line that asked for it.
    fn pause(&mut self) {
        *self = Self::new(self.portion);
    }
}

/// The gate between the standard input and the machine.
#[derive(Debug)]
pub(crate) struct Gate {
    /// What may pass.
    state: Mutex<State>,
    /// Wakes who waits at the gate.
    opened: Condvar,
}

impl Gate {
    /// A gate that is closed until the kernel is ready.
    pub(crate) const fn new(portion: Portion) -> Self {
        Self {
            state: Mutex::new(State::new(portion)),
            opened: Condvar::new(),
        }
    }

    /// Takes note that the kernel has written its line `ready`.
    pub(crate) fn ready(&self) {
        self.change(State::ready);
    }

    /// Takes note of a prompt.
    pub(crate) fn prompt(&self) {
        self.change(State::prompt);
    }

    /// Closes the gate until the kernel is ready again.
    pub(crate) fn pause(&self) {
        self.change(State::pause);
    }

    /// Passes a piece on once it may.
    fn pass(&self, piece: Vec<u8>, type_in: &impl Fn(Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        while !state.is_open() {
            state = self
                .opened
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.pass(&piece);
        drop(state);
        type_in(piece)
    }

    /// Changes the state and wakes who waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.opened.notify_all();
    }

    /// Returns the state. A thread that panicked cannot have left it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes `input` on to `type_in` through the gate, and a Ctrl-D at its end. Ends early where `type_in` fails.
pub(crate) fn run(
    gate: &Gate,
    portion: Portion,
    mut input: impl BufRead,
    type_in: impl Fn(Vec<u8>) -> io::Result<()>,
) {
    let mut is_in_line = false;
    loop {
        let piece = match portion {
            Portion::Keys => keys(&mut input),
            Portion::Lines => piece_of_line(&mut input),
        };
        let piece = piece.unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        is_in_line = !piece.ends_with(b"\n");
        if gate.pass(piece, &type_in).is_err() {
            return;
        }
    }
    // The kernel takes Ctrl-D for the end on an empty line only.
    let has_ended =
        !(is_in_line && portion == Portion::Lines) || gate.pass(vec![b'\n'], &type_in).is_ok();
    if has_ended {
        // Fails where QEMU has ended already.
        drop(gate.pass(vec![END_OF_TRANSMISSION], &type_in));
    }
}

/// Reads whatever there is.
fn keys(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let bytes = input.fill_buf()?.to_vec();
    input.consume(bytes.len());
    Ok(bytes)
}

/// Reads to the end of the line, or a part of it where it is very long.
fn piece_of_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    io::Read::take(&mut *input, LONGEST_PIECE).read_until(b'\n', &mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;

    /// What arrived at the machine so far, by the pieces.
    fn arrived(pieces: &Receiver<Vec<u8>>) -> Vec<String> {
        pieces
            .try_iter()
            .map(|piece| String::from_utf8_lossy(&piece).into_owned())
            .collect()
    }

    /// Feeds `input` at a gate that `steps` moves; returns the pieces after each step.
    fn feed(input: &'static [u8], steps: &[fn(&mut State)]) -> Vec<String> {
        let mut state = State::new(Portion::Lines);
        let mut input = input;
        let mut passed = Vec::new();
        for step in steps {
            step(&mut state);
            let mut now = String::new();
            while state.is_open() {
                let piece = piece_of_line(&mut input).expect("memory does not fail");
                if piece.is_empty() {
                    break;
                }
                state.pass(&piece);
                now.push_str(&String::from_utf8_lossy(&piece));
            }
            passed.push(now);
        }
        passed
    }

    #[test]
    fn a_prompt_lets_one_line_through() {
        assert_eq!(
            feed(
                b"heap\nframes\nexit\n",
                &[
                    State::prompt,
                    State::ready,
                    State::prompt,
                    State::prompt,
                    State::prompt
                ]
            ),
            ["", "heap\n", "frames\n", "exit\n", ""]
        );
    }

    #[test]
    fn nothing_passes_from_a_reboot_to_the_next_prompt() {
        let steps: &[fn(&mut State)] = &[
            State::ready,
            State::prompt,
            State::pause,
            State::prompt,
            State::ready,
            State::pause,
            State::ready,
            State::prompt,
        ];
        assert_eq!(
            feed(b"reboot\nheap\nexit\n", steps),
            ["", "reboot\n", "", "", "heap\n", "", "", "exit\n"]
        );
    }

    #[test]
    fn keys_pass_at_once_but_for_a_reboot() {
        let mut state = State::new(Portion::Keys);
        assert!(!state.is_open());
        state.ready();
        assert!(state.is_open());
        state.pass(b"h");
        assert!(state.is_open());
        state.pause();
        assert!(!state.is_open());
        state.ready();
        assert!(state.is_open());
    }

    #[test]
    fn long_lines_pass_in_pieces_for_one_prompt() {
        let mut state = State::new(Portion::Lines);
        state.ready();
        state.prompt();
        let long = vec![b'x'; 10_000];
        let mut input = &long[..];
        let mut passed = 0;
        while passed < long.len() {
            assert!(state.is_open());
            let piece = piece_of_line(&mut input).expect("memory does not fail");
            state.pass(&piece);
            passed += piece.len();
        }
        state.pass(b"\n");
        assert!(!state.is_open());
    }

    #[test]
    fn end_of_a_pipe_is_control_d_on_a_line_of_its_own() {
        for (input, expected) in [
            (&b"heap\nexit"[..], &["heap\n", "exit", "\n", "\x04"][..]),
            (b"heap\n", &["heap\n", "\x04"]),
            (b"", &["\x04"]),
        ] {
            let gate = Gate::new(Portion::Lines);
            let (sender, pieces) = channel();
            gate.ready();
            let gate = &gate;
            thread::scope(|scope| {
                let feeder = scope.spawn(move || {
                    run(gate, Portion::Lines, input, |piece| {
                        sender.send(piece).map_err(io::Error::other)
                    });
                });
                while !feeder.is_finished() {
                    gate.prompt();
                    thread::sleep(Duration::from_millis(1));
                }
            });
            assert_eq!(arrived(&pieces), expected);
        }
    }

    #[test]
    fn feeding_ends_with_the_machine() {
        let gate = Gate::new(Portion::Keys);
        gate.ready();
        run(&gate, Portion::Keys, &b"heap\n"[..], |_| {
            Err(io::Error::other("ended"))
        });
    }
}
