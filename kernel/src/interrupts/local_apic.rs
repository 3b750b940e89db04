//! The local APIC: the interrupt controller inside each CPU, with a timer of its own.
//!
//! Its registers are in memory, or (in the mode called x2APIC, which firmware may have switched on) numbered ones of the
//! CPU. The kernel leaves the mode as it is.

use core::arch::asm;
use core::arch::x86_64::__cpuid;

use spin::Once;
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::registers::model_specific::Msr;

use super::memory_registers::MemoryRegisters;
use super::vector::{CALL, FIRST_OF_PICS, SPURIOUS_APIC, TIMER};
use crate::acpi::madt::Madt;

/// How the registers are reached. Set when the APIC is found.
static ACCESS: Once<Access> = Once::new();

/// How the registers are reached.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// In memory.
    Memory {
        /// The registers.
        registers: MemoryRegisters,
        /// Their address: the same for each CPU, and each sees its own there.
        address: u64,
    },
    /// As numbered registers of the CPU.
    Numbered,
}

/// Registers, by their offsets in memory.
mod register {
    /// The number of this APIC.
    pub(super) const ID: u32 = 0x20;
    /// Interrupts of this priority and less are kept back.
    pub(super) const TASK_PRIORITY: u32 = 0x80;
    /// Written when an interrupt is done.
    pub(super) const END_OF_INTERRUPT: u32 = 0xb0;
    /// The spurious vector, and the switch of it all.
    pub(super) const SPURIOUS: u32 = 0xf0;
    /// The first of eight with the interrupts in service.
    pub(super) const IN_SERVICE: u32 = 0x100;
    /// Sends an interrupt; its upper half says whom to.
    pub(super) const COMMAND: u32 = 0x300;
    /// The upper half of the command, where registers are in memory.
    pub(super) const COMMAND_TARGET: u32 = 0x310;
    /// What the timer raises.
    pub(super) const TIMER: u32 = 0x320;
    /// What input 0 raises; that of input 1 follows.
    pub(super) const INPUT_0: u32 = 0x350;
    /// What an error raises.
    pub(super) const ERROR: u32 = 0x370;
    /// Where the timer counts down from.
    pub(super) const INITIAL_COUNT: u32 = 0x380;
    /// Where the timer is.
    pub(super) const CURRENT_COUNT: u32 = 0x390;
    /// What the timer's clock is divided by.
    pub(super) const DIVIDER: u32 = 0x3e0;
}

/// Spurious register: the APIC is on.
const ENABLED: u32 = 1 << 8;
/// Registers that say what is raised: nothing is.
const MASKED: u32 = 1 << 16;
/// Timer: begins again when it is through.
const PERIODIC: u32 = 1 << 17;
/// What is raised is an NMI.
const AS_NMI: u32 = 0b100 << 8;
/// What is sent is a reset of the other CPU.
const AS_RESET: u32 = 0b101 << 8;
/// What is sent is where the other CPU starts.
const AS_START: u32 = 0b110 << 8;
/// What is raised has the vector that the PICs say.
const FROM_PICS: u32 = 0b111 << 8;
/// An input is active when low.
const ACTIVE_LOW: u32 = 1 << 13;
/// An input counts by its level.
const BY_LEVEL: u32 = 1 << 15;
/// Command: on its way.
const PENDING: u32 = 1 << 12;
/// Command: begin (an old distinction; always set).
const ASSERT: u32 = 1 << 14;
/// Divider: by 16.
const BY_16: u32 = 0b0011;
/// Task priority: keep everything back but what CPUs send each other, whose vectors are above that.
const HIGHEST_PRIORITY: u32 = 0xe0;
const _: () = assert!((CALL as u32) >= HIGHEST_PRIORITY + 0x10);
/// How often a command is looked at that does not get on its way.
const MOST_LOOKS: u32 = 100_000;

/// Where the CPU says what of its APIC.
const BASE: Msr = Msr::new(BASE_NUMBER);
/// The number of that register.
const BASE_NUMBER: u32 = 0x1b;
/// Base: switched on; a global switch that few use.
const GLOBALLY_ENABLED: u64 = 1 << 11;
/// Base: registers are numbered.
const IS_NUMBERED: u64 = 1 << 10;
/// Base: the bits of the address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The first of the numbered registers.
const FIRST_NUMBER: u32 = 0x800;

/// Why there is no local APIC to use. The values are told in [`controller`](super::controller).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLocalApic {
    /// The CPU has none.
    None,
    /// The CPU has it elsewhere than ACPI says.
    Elsewhere,
    /// It is where memory is.
    OverMemory,
}

/// Finds the local APIC of this CPU, by what ACPI says of it, and switches it on. What the firmware has it do with the PICs
/// goes on.
pub(super) fn enable(address: u64) -> Result<(), NoLocalApic> {
    if __cpuid(1).edx >> 9 & 1 == 0 {
        return Err(NoLocalApic::None);
    }
    // SAFETY: CPUs with an APIC have this register.
    let base = unsafe { BASE.read() };
    if base & GLOBALLY_ENABLED == 0 {
        return Err(NoLocalApic::None);
    }
    let access = if base & IS_NUMBERED != 0 {
        Access::Numbered
    } else {
        let in_memory = u32::try_from(address).ok();
        let in_memory = in_memory.filter(|_| base & ADDRESS == address);
        // SAFETY: CPU and ACPI agree that the APIC's registers are there.
        let registers = unsafe { MemoryRegisters::at(in_memory.ok_or(NoLocalApic::Elsewhere)?) };
        Access::Memory {
            registers: registers.ok_or(NoLocalApic::OverMemory)?,
            address,
        }
    };
    ACCESS.call_once(|| access);
    switch_on();
    Ok(())
}

/// Switches the local APIC of a further CPU on, the one that runs this, in the way that was found for the first: it takes what
/// other CPUs send it, and its own timer's interrupts. Returns whether that way leads to it.
pub(super) fn join() -> bool {
    // SAFETY: the first CPU has this register, so this one does.
    let base = unsafe { BASE.read() };
    let is_reached = match ACCESS.get() {
        None => false,
        Some(Access::Memory { address, .. }) => {
            let is_in_memory = base & (GLOBALLY_ENABLED | IS_NUMBERED) == GLOBALLY_ENABLED;
            is_in_memory && base & ADDRESS == *address
        }
        Some(Access::Numbered) => {
            // SAFETY: the first CPU has this mode, so this one does, and nobody has used its APIC's registers in memory.
            unsafe { Msr::new(BASE_NUMBER).write(base | GLOBALLY_ENABLED | IS_NUMBERED) };
            true
        }
    };
    if is_reached {
        switch_on();
        // Its inputs are for the first CPU alone.
        for input in [0, 1] {
            write(register::INPUT_0 + 0x10 * input, MASKED);
        }
        end_what_firmware_left();
    }
    is_reached
}

/// Has this CPU's APIC take interrupts, its timer still.
fn switch_on() {
    write(register::TASK_PRIORITY, 0);
    write(register::TIMER, MASKED);
    write(register::ERROR, MASKED);
    write(register::SPURIOUS, ENABLED | u32::from(SPURIOUS_APIC));
}

/// Has the APIC take interrupts from I/O APICs alone: the PICs are cut off. NMIs come in where ACPI says.
pub(super) fn take_over(madt: &Madt<'_>) {
    for input in [0, 1] {
        write(register::INPUT_0 + 0x10 * input, MASKED);
    }
    for (input, wiring) in madt.nmi_inputs(id()).filter(|(input, _)| *input < 2) {
        let polarity = if wiring.is_active_low { ACTIVE_LOW } else { 0 };
        let trigger = if wiring.is_level_triggered {
            BY_LEVEL
        } else {
            0
        };
        let raised = AS_NMI | polarity | trigger;
        write(register::INPUT_0 + 0x10 * u32::from(input), raised);
    }
    end_what_firmware_left();
}

/// Has the APIC hand interrupts of the PICs on, as it does after a reset when it is switched off: its input 0 is their wire.
pub(super) fn let_pics_through() {
    write(register::INPUT_0, FROM_PICS);
}

/// Ends interrupts that the firmware has taken and not ended: they would keep ours back.
fn end_what_firmware_left() {
    let is_any_left = || (0..8).any(|word| read(register::IN_SERVICE + 0x10 * word) != 0);
    // Each end takes one, and there are 256 at most.
    for _ in 0..256 {
        if !is_any_left() {
            break;
        }
        end_of_interrupt();
    }
}

/// Has the timer count down silently, as far as it can, to be measured with [`timer_count`].
pub(super) fn start_silent_timer() {
    write(register::TIMER, MASKED);
    write(register::DIVIDER, BY_16);
    write(register::INITIAL_COUNT, u32::MAX);
}

/// Returns where the timer is.
pub(super) fn timer_count() -> u32 {
    read(register::CURRENT_COUNT)
}

/// Has the timer raise its vector each time it has counted `count` down.
pub(super) fn start_timer(count: u32) {
    write(register::DIVIDER, BY_16);
    write(register::TIMER, PERIODIC | u32::from(TIMER));
    write(register::INITIAL_COUNT, count);
}

/// Tells the APIC that the handler is done.
pub(super) fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Returns whether the APIC waits for the end of an interrupt.
pub(super) fn is_in_service(vector: u8) -> bool {
    let (word, bit) = (u32::from(vector / 32), vector % 32);
    read(register::IN_SERVICE + 0x10 * word) >> bit & 1 == 1
}

/// Has the APIC keep back everything but NMIs and what other CPUs send, or no longer.
pub(super) fn keep_back(is_wanted: bool) {
    let priority = if is_wanted { HIGHEST_PRIORITY } else { 0 };
    write(register::TASK_PRIORITY, priority);
}

/// Returns the number of this CPU's APIC.
pub(super) fn id() -> u32 {
    match ACCESS.get() {
        Some(Access::Memory { .. }) => read(register::ID) >> 24,
        _ => read(register::ID),
    }
}

/// What a local APIC can send to another one, or to itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    /// An interrupt of this vector.
    Vector(u8),
    /// An NMI.
    Nmi,
    /// Puts the CPU back to where it waits for [`Start`](Self::Start), whatever it is doing.
    Reset,
    /// Has a CPU that waits begin at the start of this frame, as an 8086 does.
    Start(u8),
}

impl Message {
    /// Returns the lower half of the command that sends it.
    const fn command(self) -> u32 {
        match self {
            Self::Vector(vector) => ASSERT | vector as u32,
            Self::Nmi => ASSERT | AS_NMI,
            Self::Reset => ASSERT | AS_RESET,
            Self::Start(frame) => ASSERT | AS_START | frame as u32,
        }
    }
}

/// Has the APIC send an NMI to its own CPU. It comes soon, not at once. Returns whether there is an APIC to send it.
pub fn send_nmi_to_self() -> bool {
    send_to_self(Message::Nmi)
}

/// Has the APIC send an interrupt to its own CPU, with a vector that is no exception. Returns whether there is an APIC to send
/// it. For tests.
pub fn send_vector_to_self(vector: u8) -> bool {
    vector >= FIRST_OF_PICS && send_to_self(Message::Vector(vector))
}

/// Has the APIC send something to its own CPU.
fn send_to_self(message: Message) -> bool {
    without_interrupts(|| send(id(), message))
}

/// Has the APIC of this CPU send something to that of another one. It comes soon, not at once. Returns whether that can be done:
/// there is an APIC, and it can name the other one.
///
/// Not to be called in an NMI, but by one who does not return: the command may be half written there.
pub(crate) fn send(apic_id: u32, message: Message) -> bool {
    let command = message.command();
    match ACCESS.get() {
        None => false,
        Some(Access::Memory { .. }) => {
            // All bits set would be everybody.
            let Some(target) = u8::try_from(apic_id).ok().filter(|id| *id != u8::MAX) else {
                return false;
            };
            without_interrupts(|| {
                write(register::COMMAND_TARGET, u32::from(target) << 24);
                write(register::COMMAND, command);
                // Where the other one does not take it in time, it has none.
                for _ in 0..MOST_LOOKS {
                    if read(register::COMMAND) & PENDING == 0 {
                        break;
                    }
                    core::hint::spin_loop();
                }
            });
            true
        }
        Some(Access::Numbered) => {
            // What was written to memory before must be there when the message comes; this register does not wait for that.
            // SAFETY: waits, and does nothing else.
            unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
            let value = u64::from(apic_id) << 32 | u64::from(command);
            // SAFETY: all CPUs of the kernel have handlers for NMIs and for each vector; what a CPU that is to be started begins
            // with is the sender's business.
            unsafe { numbered(register::COMMAND).write(value) };
            true
        }
    }
}

/// Reads a register; 0 where there is no APIC.
fn read(register: u32) -> u32 {
    match ACCESS.get() {
        None => 0,
        Some(Access::Memory { registers, .. }) => registers.read(register),
        #[expect(clippy::cast_possible_truncation, reason = "they have 32 bits")]
        // SAFETY: in this mode, the CPU has all registers of this module under their numbers.
        Some(Access::Numbered) => unsafe { numbered(register).read() as u32 },
    }
}

/// Writes a register; nothing where there is no APIC.
fn write(register: u32, value: u32) {
    match ACCESS.get() {
        None => {}
        Some(Access::Memory { registers, .. }) => registers.write(register, value),
        // SAFETY: as for `read`; each vector that is written here has a handler.
        Some(Access::Numbered) => unsafe { numbered(register).write(u64::from(value)) },
    }
}

/// Returns a register by its number.
const fn numbered(register: u32) -> Msr {
    Msr::new(FIRST_NUMBER + (register >> 4))
}
