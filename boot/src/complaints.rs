//! What QEMU writes to its error output, kept for when it is wanted.

use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::events::Receipt;

/// The most bytes that are kept: the last ones. `-d int` alone makes QEMU write millions.
const KEPT: usize = 64 * 1024;

/// What was written so far.
#[derive(Debug)]
pub(crate) struct Complaints {
    /// The last bytes.
    text: Arc<Mutex<Vec<u8>>>,
    /// Says when there will be no more.
    end: Receiver<()>,
}

impl Complaints {
    /// Begins to collect what comes from `stream`.
    pub(crate) fn collect(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (receipt, end) = Receipt::new();
        let collected = Arc::clone(&text);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => keep(&collected, &buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // What was read before an error is still worth showing.
                    Ok(0) | Err(_) => break,
                }
            }
            drop(receipt);
        });
        Self { text, end }
    }

    /// Returns the text when it is whole, or what there is of it after `patience`: who has the other end of the stream may
    /// outlive QEMU.
    pub(crate) fn take(&self, patience: Duration) -> String {
        // An error either way: nothing is ever sent.
        let _ = self.end.recv_timeout(patience);
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// Adds `bytes`, and lets the first ones go where they are too many.
fn keep(text: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
    text.extend(bytes);
    if text.len() > 2 * KEPT {
        let surplus = text.len() - KEPT;
        text.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whole_text_is_waited_for() {
        let (stream, mut qemu) = std::io::pipe().expect("a pipe");
        let complaints = Complaints::collect(stream);
        let qemu = thread::spawn(move || {
            for word in ["out ", "of ", "luck\n"] {
                qemu.write_all(word.as_bytes()).expect("is read");
                thread::yield_now();
            }
        });
        assert_eq!(complaints.take(Duration::from_secs(60)), "out of luck");
        qemu.join().expect("no panic");
    }

    #[test]
    fn stream_that_stays_open_is_not_waited_for() {
        let (stream, _qemu) = std::io::pipe().expect("a pipe");
        assert_eq!(Complaints::collect(stream).take(Duration::ZERO), "");
    }

    #[test]
    fn flood_keeps_its_end() {
        let text = Mutex::default();
        for number in 0..100_000 {
            keep(&text, format!("line {number}\n").as_bytes());
        }
        let text = text.into_inner().expect("no panic");
        assert!((KEPT..=2 * KEPT).contains(&text.len()));
        assert!(text.ends_with(b"line 99998\nline 99999\n"));
    }
}
