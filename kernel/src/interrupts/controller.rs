//! The interrupt controllers, whichever they are: APICs where ACPI tells of them and they can be used, else the PICs.
//!
//! Chosen once, at boot. Afterwards only the end of an interrupt and [`Silence`] have to know.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::Once;
use x86_64::instructions::interrupts::without_interrupts;

use super::calibration::{self, Rates};
use super::io_apic::{self, Raises};
use super::local_apic::{self, NoLocalApic};
use super::table::Controllers;
use super::timer::FREQUENCY_HZ;
use super::vector::{SERIAL, SERIAL_LINE};
use super::{pic, pit, timer};
use crate::acpi::madt::Madt;
use crate::acpi::{self, tables::TableError};
use crate::cpu::{MOST_CPUS, Own, PerCpu, identity};

/// What was chosen.
static CHOSEN: Once<Chosen> = Once::new();

/// The APICs were chosen. (The same once more, for handlers.)
static ARE_APICS: AtomicBool = AtomicBool::new(false);

/// A [`Silence`] of this CPU lives.
static IS_SILENT: PerCpu<AtomicBool> =
    PerCpu::new([const { Own::new(AtomicBool::new(false)) }; MOST_CPUS]);

/// What the timer of each CPU's local APIC counts from; 0 where that is not known.
static TIMER_COUNT: AtomicU32 = AtomicU32::new(0);

/// What was chosen. Displays as the timer that ticks, and why it is the old one if it is.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// The controllers.
    pub controllers: Controllers,
    /// Why they are the PICs.
    pub reason: Option<NoApics>,
}

/// Why the APICs are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoApics {
    /// ACPI does not tell of them.
    Tables(TableError),
    /// There is no local APIC.
    Local(NoLocalApic),
    /// No I/O APIC has this input, which is the serial port's, or it cannot reach this CPU.
    NoInput(u32),
    /// There is nothing to measure the timer with.
    NoReference,
}

impl fmt::Display for NoApics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables(error) => error.fmt(f),
            Self::Local(NoLocalApic::None) => f.write_str("the CPU has no local APIC"),
            Self::Local(NoLocalApic::Elsewhere) => {
                f.write_str("CPU and ACPI disagree about the address of the local APIC")
            }
            Self::Local(NoLocalApic::OverMemory) => {
                f.write_str("the local APIC is at an address where memory is")
            }
            Self::NoInput(input) => write!(f, "no I/O APIC serves input {input}"),
            Self::NoReference => {
                f.write_str("there is no clock to measure the local APIC's timer with")
            }
        }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timer = self.controllers.timer();
        write!(f, "{timer} at {FREQUENCY_HZ} Hz, serial input")?;
        match self.reason {
            Some(reason) => write!(f, " (over the old PICs, because {reason})"),
            None => Ok(()),
        }
    }
}

/// Chooses, and sets controllers and timer up. Needs interrupts masked. Further calls change nothing.
pub(super) fn init() -> Chosen {
    *CHOSEN.call_once(|| {
        pic::init();
        start_apics().unwrap_or_else(|reason| {
            start_pics();
            Chosen {
                controllers: Controllers::Pics,
                reason: Some(reason),
            }
        })
    })
}

/// Uses the APICs, or leaves the machine such that the PICs can be used.
fn start_apics() -> Result<Chosen, NoApics> {
    let madt = acpi::madt().map_err(NoApics::Tables)?;
    local_apic::enable(madt.local_apic_address()).map_err(NoApics::Local)?;
    let (serial, apic_id) = (madt.isa_line(SERIAL_LINE), local_apic::id());
    if !io_apic::can_route(&madt, serial, apic_id) {
        return Err(NoApics::NoInput(serial.number));
    }
    local_apic::start_silent_timer();
    let rates = calibration::measure(local_apic::timer_count).ok_or(NoApics::NoReference)?;
    let count = timer_count(rates).ok_or(NoApics::NoReference)?;

    // Nothing from here on fails: the PICs are cut off.
    io_apic::mask_all(&madt);
    for source in madt.nmi_sources() {
        // One that no I/O APIC has is none.
        let _ = io_apic::route(&madt, source, Raises::Nmi, apic_id);
    }
    let is_routed = io_apic::route(&madt, serial, Raises::Vector(SERIAL), apic_id);
    debug_assert!(is_routed, "it was said to be possible");
    local_apic::take_over(&madt);
    ARE_APICS.store(true, Ordering::Relaxed);
    identity::set_local_apic_id(apic_id);
    timer::set_clock(rates.tsc_hz);
    TIMER_COUNT.store(count, Ordering::Relaxed);
    local_apic::start_timer(count);
    let serial_input = serial.number;
    Ok(Chosen {
        controllers: Controllers::Apics { serial_input },
        reason: None,
    })
}

/// Sets the local APIC of a further CPU up, the one that runs this, and has its timer tick as the first one's does. Needs
/// interrupts masked. Returns whether that could be done.
pub(crate) fn join() -> bool {
    let count = TIMER_COUNT.load(Ordering::Relaxed);
    let can_join = count > 0 && local_apic::join();
    if can_join {
        identity::set_local_apic_id(local_apic::id());
        local_apic::start_timer(count);
    }
    can_join
}

/// Returns what the local APIC's timer has to count from; `None` where it does not count as fast as that.
fn timer_count(rates: Rates) -> Option<u32> {
    let count = rates.other_hz / u64::from(FREQUENCY_HZ);
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// Uses the PICs and the 8254.
fn start_pics() {
    // A local APIC that was found before something else was missing stands between the PICs and the CPU.
    local_apic::let_pics_through();
    let rates = calibration::measure(|| 0);
    timer::set_clock(rates.map_or(0, |rates| rates.tsc_hz));
    pit::start(FREQUENCY_HZ);
    pic::let_through(true);
}

/// Returns the controllers that are used.
#[must_use]
pub fn controllers() -> Controllers {
    CHOSEN
        .get()
        .map_or(Controllers::Pics, |chosen| chosen.controllers)
}

/// Returns the table of the APICs where they are used.
pub(super) fn apics() -> Option<Madt<'static>> {
    let are_apics = ARE_APICS.load(Ordering::Relaxed);
    acpi::madt().ok().filter(|_| are_apics)
}

/// Tells the controller that the handler of `vector` is done.
pub(super) fn end_of_interrupt(vector: u8) {
    if ARE_APICS.load(Ordering::Relaxed) {
        local_apic::end_of_interrupt();
    } else {
        pic::end_of_interrupt(vector);
    }
}

/// Tells the controller that the handler of `vector`, which nobody expected, is done, if it waits for that: code may have
/// raised the vector, and an end too many would be another one's.
pub(super) fn end_if_in_service(vector: u8) {
    if !ARE_APICS.load(Ordering::Relaxed) {
        pic::end_if_in_service(vector);
    } else if local_apic::is_in_service(vector) {
        local_apic::end_of_interrupt();
    }
}

/// Returns whether a [`Silence`] of this CPU lives.
pub(super) fn is_silent() -> bool {
    IS_SILENT.here().load(Ordering::Relaxed)
}

/// While this lives, the controller keeps every interrupt but NMIs and those of other CPUs back from the CPU that made it, though
/// interrupts are enabled. A tick that is due meanwhile comes afterwards, more of them are lost.
///
/// Its owner must not wait for other tasks, which might go on with it on another CPU. (Nothing preempts it: no ticks.)
#[derive(Debug)]
#[must_use = "the interrupts come again when this is dropped"]
pub struct Silence(());

impl Silence {
    /// Has every interrupt kept back.
    pub fn new() -> Self {
        keep_back(true);
        Self(())
    }
}

impl Default for Silence {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        keep_back(false);
    }
}

/// Has the controller keep everything back, or no longer.
fn keep_back(is_wanted: bool) {
    // In one step: nothing moves to another CPU in between.
    without_interrupts(|| {
        IS_SILENT.here().store(is_wanted, Ordering::Relaxed);
        if ARE_APICS.load(Ordering::Relaxed) {
            local_apic::keep_back(is_wanted);
        } else {
            pic::let_through(!is_wanted);
        }
    });
}
