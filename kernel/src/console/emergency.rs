//! The kernel's last words.

use core::fmt::{self, Write};
use core::hint::spin_loop;

use x86_64::instructions::interrupts::without_interrupts;

use super::{CONSOLE, Lines};
use crate::serial::{self, Com1};

/// The serial port, taken over from whoever uses it, for the last words of the kernel.
///
/// The interrupted user of the port has the other text in the middle of its own, if it goes on at all.
#[derive(Debug)]
pub struct Emergency(Com1);

impl Emergency {
    /// Takes the port, without any lock.
    ///
    /// # Safety
    ///
    /// As long as it lives, interrupts are masked, other CPUs do not print (they are stopped, or the console's lock is held), and
    /// its owner does not print in another way.
    #[must_use]
    pub unsafe fn take() -> Self {
        // SAFETY: the other driver is not used: its users do not run, because interrupts are masked and other CPUs do not print, and
        // the owner promises not to be one. Another one like this is taken only where a failure interrupts this one for good.
        Self(unsafe { serial::com1() })
    }
}

/// How often somebody who must not wait looks whether the console is free.
const LOOKS: u32 = 1_000_000;

/// Has `body` print in the middle of whatever this CPU is doing, with interrupts masked, even if that is printing. Other CPUs
/// do not print meanwhile, unless one is at it for very long.
pub(crate) fn interject(body: impl FnOnce(&mut Emergency)) {
    without_interrupts(|| {
        // Held while `body` prints. Where it cannot be had, it is most likely this CPU's already.
        let _console = (0..LOOKS).find_map(|_| {
            spin_loop();
            CONSOLE.try_lock()
        });
        // SAFETY: interrupts are masked; and the console is locked, by us or by what we are in the middle of. (If another CPU has it
        // for so long, the texts mix: the two drivers share nothing but the device.)
        body(&mut unsafe { Emergency::take() });
    });
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Lines(&mut self.0).write_str(text)
    }
}
