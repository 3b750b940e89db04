//! The table of interrupts as text: what the command `irq` shows. Pure.
#![forbid(unsafe_code)]

use core::fmt;
use core::time::Duration;

use super::counts::VECTORS;
use super::vector::{
    self, CALL, EXPECTED, FIRST_OF_PICS, SERIAL, SERIAL_LINE, SOFTWARE, SPURIOUS_APIC,
    SPURIOUS_FIRST_PIC, SPURIOUS_SECOND_PIC, TIMER,
};

/// The hardware that delivers interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// Local APIC and I/O APIC.
    Apics {
        /// The input of the I/O APICs that the serial port has.
        serial_input: u32,
    },
    /// The two 8259 PICs of the first PCs.
    Pics,
}

impl Controllers {
    /// Returns the name of the timer that ticks.
    #[must_use]
    pub const fn timer(self) -> &'static str {
        match self {
            Self::Apics { .. } => "local APIC timer",
            Self::Pics => "8254 timer",
        }
    }
}

/// How often interrupts have come, one line for each that is expected or has come, and how long the heap kept them out.
#[derive(Clone, Copy, Debug)]
pub struct InterruptTable {
    /// Who delivers them.
    pub controllers: Controllers,
    /// How often each has come, by vector.
    pub counts: [u64; VECTORS],
    /// The longest time that the heap has masked interrupts; `None` where the machine's clock is not known.
    pub longest_masked: Option<Duration>,
}

impl fmt::Display for InterruptTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vector  {:<22}  {:<17}  {:>12}", "name", "from", "count")?;
        for (vector, count) in (0..=u8::MAX).zip(self.counts) {
            if count > 0 || EXPECTED.contains(&vector) {
                let (name, from) = (vector::name(vector), self.from(vector));
                writeln!(f, "{vector:>6}  {name:<22}  {from:<17}  {count:>12}")?;
            }
        }
        self.fmt_masked(f)
    }
}

impl InterruptTable {
    /// Writes how long the heap kept interrupts out.
    fn fmt_masked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(longest) = self.longest_masked else {
            return writeln!(
                f,
                "\nHow long the heap masks interrupts is not known: this machine has no clock to measure with."
            );
        };
        let (micros, tenths) = (longest.as_micros(), longest.subsec_nanos() % 1000 / 100);
        writeln!(
            f,
            "\nlongest time that the heap masked interrupts: {micros}.{tenths} microseconds\n\
             Under emulation the host's pauses are in it; in a machine with ICOUNT=1 it is exact, 1000 instructions to a microsecond."
        )
    }

    /// Returns where a vector comes from.
    fn from(&self, vector: u8) -> From {
        match (vector, self.controllers) {
            (TIMER, Controllers::Apics { .. }) | (SPURIOUS_APIC | CALL, _) => From::Local,
            (SERIAL, Controllers::Apics { serial_input }) => From::IoApic(serial_input),
            (TIMER, Controllers::Pics) => From::Pic(TIMER - FIRST_OF_PICS),
            (SERIAL, Controllers::Pics) => From::Pic(SERIAL_LINE),
            (SPURIOUS_FIRST_PIC | SPURIOUS_SECOND_PIC, _) => From::Pic(vector - FIRST_OF_PICS),
            (SOFTWARE, _) => From::Code,
            (0..FIRST_OF_PICS, _) => From::Cpu,
            _ => From::Unknown,
        }
    }
}

/// Where an interrupt comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    /// The CPU itself, or, for an NMI, its pin.
    Cpu,
    /// An instruction.
    Code,
    /// The local APIC.
    Local,
    /// An input of the I/O APICs.
    IoApic(u32),
    /// A line of the PICs.
    Pic(u8),
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("CPU"),
            Self::Code => f.pad("int instruction"),
            Self::Local => f.pad("local APIC"),
            Self::Unknown => f.pad("?"),
            Self::IoApic(input) => Numbered("I/O APIC input", *input).fmt(f),
            Self::Pic(line) => Numbered("PIC line", u32::from(*line)).fmt(f),
        }
    }
}

/// A word and a number behind it, as wide as the formatter asks.
struct Numbered(&'static str, u32);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = f.width().unwrap_or(0).saturating_sub(self.0.len() + 1);
        write!(f, "{} {:<room$}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    /// A table where `vector` has come 12 times.
    fn text(controllers: Controllers, vector: u8, longest_masked: Option<Duration>) -> String {
        let mut counts = [0; VECTORS];
        counts[usize::from(vector)] = 12;
        let table = InterruptTable {
            controllers,
            counts,
            longest_masked,
        };
        table.to_string()
    }

    #[test]
    fn columns_are_aligned() {
        let text = text(Controllers::Apics { serial_input: 4 }, TIMER, None);
        let lines = || text.lines().take_while(|line| !line.is_empty());
        assert_eq!(lines().count(), 1 + EXPECTED.len());
        let length = lines().next().map(str::len);
        assert!(lines().all(|line| Some(line.len()) == length), "{text}");
    }

    #[test]
    fn expected_vectors_are_shown_and_others_that_have_come() {
        let apics = text(Controllers::Apics { serial_input: 20 }, TIMER, None);
        assert!(
            apics.contains("    32  timer                   local APIC                   12\n")
        );
        assert!(
            apics.contains("    36  serial port             I/O APIC input 20             0\n")
        );
        let pics = text(Controllers::Pics, 100, None);
        assert!(pics.contains("    32  timer                   PIC line 0                    0\n"));
        assert!(pics.contains("   100  unexpected              ?                            12\n"));
    }

    #[test]
    fn longest_time_is_in_microseconds() {
        let masked = Some(Duration::from_nanos(12_345_678));
        let text = text(Controllers::Pics, 2, masked);
        assert!(
            text.contains("masked interrupts: 12345.6 microseconds\n"),
            "{text}"
        );
    }
}
