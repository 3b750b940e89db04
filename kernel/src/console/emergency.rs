//! The kernel's last words.

use core::fmt::{self, Write};

use super::Lines;
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
    /// As long as it lives, interrupts are masked, and its owner does not print in another way.
    #[must_use]
    pub unsafe fn take() -> Self {
        // SAFETY: the other driver is not used: its users do not run, because there is one CPU and interrupts are masked, and the
        // owner promises not to be one. Another one like this is taken only where a failure interrupts this one for good.
        Self(unsafe { serial::com1() })
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Lines(&mut self.0).write_str(text)
    }
}
