//! Resetting the machine.

use x86_64::instructions::port::{Port, PortReadOnly, PortWriteOnly};
use x86_64::instructions::{hlt, interrupts};
use x86_64::structures::DescriptorTablePointer;
use x86_64::{VirtAddr, instructions::tables::lidt};

use crate::cpu::stop;
use crate::interrupts::timer;
use crate::protocol::REBOOT_LINE;
use crate::{println, qemu};

/// How long a runner may take to reset the machine before the kernel does it.
const ANSWER_SECONDS: u64 = 3;

/// Starts the machine again.
///
/// Under QEMU the runner is asked first: there it tells this reset, which is wanted, from a triple fault, which ends the run.
pub fn reboot() -> ! {
    println!("{REBOOT_LINE}");
    if qemu::is_present() {
        interrupts::enable();
        sleep(ANSWER_SECONDS);
    }
    reset()
}

/// Sleeps for a while; hardly at all where no timer ticks.
fn sleep(seconds: u64) {
    /// Right behind the boot, the first tick may be still to come.
    const WAITS_FOR_FIRST_TICK: usize = 100;
    (0..WAITS_FOR_FIRST_TICK)
        .take_while(|_| !timer::is_ticking())
        .for_each(|_| wait());
    let end = timer::ticks() + seconds * u64::from(timer::FREQUENCY_HZ);
    while timer::is_ticking() && timer::ticks() < end {
        hlt();
    }
}

/// Resets the machine by whatever works: the keyboard controller, the chipset, a triple fault.
fn reset() -> ! {
    stop::all_others();
    reset_by_keyboard_controller();
    reset_by_chipset();
    triple_fault()
}

/// Has the keyboard controller pull the processor's reset line.
fn reset_by_keyboard_controller() {
    /// The port of the controller's status and commands.
    const CONTROLLER: u16 = 0x64;
    /// Status: the last command was not taken yet.
    const IS_BUSY: u8 = 1 << 1;
    /// Command: pulse the reset line.
    const RESET: u8 = 0xfe;
    for _ in 0..100_000 {
        // SAFETY: reading the status changes nothing; where there is no controller, all bits are set.
        if unsafe { PortReadOnly::<u8>::new(CONTROLLER).read() } & IS_BUSY == 0 {
            break;
        }
    }
    // SAFETY: this resets the machine, as is wanted.
    unsafe { PortWriteOnly::new(CONTROLLER).write(RESET) };
    wait();
}

/// Writes to the reset register that chipsets have had since the PIIX3.
fn reset_by_chipset() {
    /// The register.
    const RESET_CONTROL: u16 = 0xcf9;
    /// A reset of everything, not just of the processor …
    const FULL: u8 = 1 << 1;
    /// … now.
    const NOW: u8 = 1 << 2;
    for value in [FULL, FULL | NOW] {
        // SAFETY: this resets the machine, as is wanted; where there is no such register, nothing listens.
        unsafe { PortWriteOnly::new(RESET_CONTROL).write(value) };
    }
    wait();
}

/// Gives a device some milliseconds to do what it was told.
fn wait() {
    for _ in 0..10_000 {
        // SAFETY: this port is for debug codes and does nothing, in about a microsecond.
        unsafe { Port::new(0x80).write(0_u8) };
    }
}

/// Makes the processor fault in a way that it cannot report, which resets it.
pub fn triple_fault() -> ! {
    interrupts::disable();
    let nothing = DescriptorTablePointer {
        limit: 0,
        base: VirtAddr::zero(),
    };
    // SAFETY: no handler is ever called through this table: the next exception ends the machine's run.
    unsafe { lidt(&nothing) };
    loop {
        interrupts::int3();
    }
}
