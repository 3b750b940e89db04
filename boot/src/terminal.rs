//! The state of the terminal: keys go to the guest one by one while it runs, and everything is put back afterwards.
//!
//! Signals keep their keys, so that Ctrl-C reaches this program whatever the guest does.

use std::io;
use std::panic;
use std::sync::Mutex;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// The state to put back; `None` while the terminal is as we found it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, giving keys one by one for as long as this lives.
#[derive(Debug)]
pub(crate) struct KeyByKey;

impl KeyByKey {
    /// Changes the terminal at the standard input; does nothing where that is not a terminal.
    pub(crate) fn enter() -> Self {
        if let Ok(before) = tcgetattr(io::stdin()) {
            let mut state = before.clone();
            state
                .local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            state.special_codes[SpecialCodeIndex::VMIN] = 1;
            state.special_codes[SpecialCodeIndex::VTIME] = 0;
            if let Ok(mut place) = BEFORE.lock() {
                *place = Some(before);
            }
            // A terminal that refuses stays as it is: lines instead of keys, no harm.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &state);
        }
        Self
    }
}

impl Drop for KeyByKey {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back into the state it was found in.
fn restore() {
    // `try_lock`: this also runs from a panic, whatever that interrupted.
    if let Ok(mut place) = BEFORE.try_lock()
        && let Some(before) = place.take()
    {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// Makes a panic of this program put the terminal back before its message is printed.
pub(crate) fn restore_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
    }));
}
