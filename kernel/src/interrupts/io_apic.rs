//! The I/O APICs: each of their inputs is a line of a device, and has an entry that says what it raises, and where.

use lock_api::Mutex;

use super::memory_registers::MemoryRegisters;
use crate::acpi::madt::{Input, IoApic, Madt};
use crate::lock::{MaskingLock, named_lock};

named_lock!(IoApicsLock, "the I/O APICs' lock");

/// Held while a register is chosen and used: that takes two steps.
static IN_USE: Mutex<MaskingLock<IoApicsLock>, ()> = Mutex::new(());

/// What an input raises.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raises {
    /// An interrupt of this vector.
    Vector(u8),
    /// An NMI.
    Nmi,
}

/// The register that chooses another one.
const SELECT: u32 = 0x00;
/// The register chosen.
const WINDOW: u32 = 0x10;
/// The register, chosen, that says how many inputs there are.
const VERSION: u32 = 0x01;
/// The first register, chosen, of the inputs' entries: two each.
const FIRST_ENTRY: u32 = 0x10;
/// Entry: nothing is raised.
const MASKED: u32 = 1 << 16;

/// Masks every input there is.
pub(super) fn mask_all(madt: &Madt<'_>) {
    for io_apic in madt.io_apics().filter_map(Found::new) {
        (0..io_apic.inputs()).for_each(|input| io_apic.write_entry(input, MASKED, 0));
    }
}

/// Returns whether there is such an input, and can raise something at the CPU with this local APIC.
pub(super) fn can_route(madt: &Madt<'_>, input: Input, apic_id: u32) -> bool {
    find(madt, input.number).is_some() && u8::try_from(apic_id).is_ok()
}

/// Has an input raise something at the CPU with this local APIC. Returns whether that could be done.
pub(super) fn route(madt: &Madt<'_>, input: Input, raises: Raises, apic_id: u32) -> bool {
    let (Some((io_apic, index)), Ok(target)) = (find(madt, input.number), u8::try_from(apic_id))
    else {
        return false;
    };
    let trigger = u32::from(input.wiring.is_level_triggered) << 15;
    let (what, trigger) = match raises {
        Raises::Vector(vector) => (u32::from(vector), trigger),
        // NMIs must be said to come by an edge, however the line is wired.
        Raises::Nmi => (0b100 << 8, 0),
    };
    let polarity = u32::from(input.wiring.is_active_low) << 13;
    io_apic.write_entry(index, what | polarity | trigger, u32::from(target) << 24);
    true
}

/// Masks an input.
pub(super) fn mask(madt: &Madt<'_>, input: Input) {
    if let Some((io_apic, index)) = find(madt, input.number) {
        io_apic.write_entry(index, MASKED, 0);
    }
}

/// Returns the I/O APIC that has an input, and which of its inputs that is.
fn find(madt: &Madt<'_>, input: u32) -> Option<(Found, u32)> {
    madt.io_apics().find_map(|io_apic| {
        let index = input.checked_sub(io_apic.first_input)?;
        let found = Found::new(io_apic)?;
        (index < found.inputs()).then_some((found, index))
    })
}

/// An I/O APIC of this machine.
struct Found(MemoryRegisters);

impl Found {
    /// Finds its registers; `None` where ACPI says that they are where memory is.
    fn new(io_apic: IoApic) -> Option<Self> {
        // SAFETY: ACPI says that an I/O APIC is there, in a table whose sum is right; there is nobody else to ask.
        unsafe { MemoryRegisters::at(io_apic.address) }.map(Self)
    }

    /// Returns how many inputs it has.
    fn inputs(&self) -> u32 {
        let _in_use = IN_USE.lock();
        self.0.write(SELECT, VERSION);
        (self.0.read(WINDOW) >> 16 & 0xff) + 1
    }

    /// Writes the entry of an input. The half that can raise something comes last.
    fn write_entry(&self, input: u32, low: u32, high: u32) {
        let _in_use = IN_USE.lock();
        let first = FIRST_ENTRY + 2 * input;
        for (register, value) in [(first, MASKED), (first + 1, high), (first, low)] {
            self.0.write(SELECT, register);
            self.0.write(WINDOW, value);
        }
    }
}
