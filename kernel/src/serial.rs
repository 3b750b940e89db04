//! The first serial port, COM1.

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
use uart_16550::{BaudRate, Config, InitError, Uart16550};

/// The base I/O port of COM1.
const COM1: u16 = 0x3f8;

/// The UART of COM1.
pub type Com1 = Uart16550<PioBackend>;

/// How the port is set up. The FIFO must be on (QEMU stalls without it). Each received byte raises an interrupt: that wakes
/// the CPU from its sleep at the prompt; the bytes themselves are then read by polling.
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
