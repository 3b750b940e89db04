//! The first serial port, COM1.

use uart_16550::backend::Backend;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER, LSR, MCR, offsets};
use uart_16550::{BaudRate, Config, InitError, Uart16550};

/// The base I/O port of COM1.
const COM1: u16 = 0x3f8;

/// The UART of COM1.
pub type Com1 = Uart16550<PioBackend>;

/// How the port is set up. The FIFO must be on (QEMU stalls without it). Each received byte raises an interrupt.
const CONFIG: Config = Config {
    interrupts: IER::DATA_READY,
    baud_rate: BaudRate::Baud115200,
    fifo_trigger_level: Some(FifoTriggerLevel::One),
    ..Config::DEFAULT
};

/// Returns the driver of COM1. The device is not touched.
///
/// # Safety
///
/// No other driver of COM1 is used at the same time.
#[must_use]
pub const unsafe fn com1() -> Com1 {
    // SAFETY: COM1's eight ports are a UART's, or nobody's; the caller excludes a second driver.
    match unsafe { Uart16550::new_port(COM1) } {
        Ok(uart) => uart,
        Err(_) => panic!("COM1 is a valid port"),
    }
}

/// Sets the device up.
///
/// # Errors
///
/// [`InitError::DeviceNotPresent`] where there is no serial port.
pub fn init(uart: &mut Com1) -> Result<(), InitError> {
    uart.init(CONFIG)
}

/// Has the device receive a byte from itself. What was printed before has gone out by then, and what comes from outside
/// meanwhile is received as always.
pub fn loop_back(uart: &mut Com1, byte: u8) {
    wait_until_sent(uart);
    let modem_control = uart.mcr();
    write_modem_control(uart, modem_control | MCR::LOOP_BACK);
    uart.send_bytes_exact(&[byte]);
    wait_until_sent(uart);
    write_modem_control(uart, modem_control);
}

/// Waits until the last bit has gone out.
fn wait_until_sent(uart: &mut Com1) {
    while !uart.lsr().contains(LSR::TRANSMITTER_EMPTY) {
        core::hint::spin_loop();
    }
}

/// Writes the modem control register, which the driver only reads.
fn write_modem_control(uart: &mut Com1, value: MCR) {
    /// The register, in the driver's words.
    const REGISTER: u8 = 4;
    const { assert!(REGISTER as usize == offsets::MCR) };
    // SAFETY: the register exists. Its loop-back bit keeps what is sent from going out; the others stay as the driver set them.
    unsafe { uart.backend_mut().write(REGISTER, value.bits()) };
}
