//! A run for a human or a pipe: the serial console on this terminal, then the outcome.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use crate::escape::{ColourFilter, EscapeFilter};
use crate::events::{Event, Events};
use crate::feed::Gate;
use crate::firmware::{self, Ovmf};
use crate::limits::Limits;
use crate::machine::Machine;
use crate::monitor::{self, Job};
use crate::options::{Accelerator, Firmware, LogLevel, MachineOptions, RunOptions};
use crate::outcome::Outcome;
use crate::output::note;
use crate::serial::{Control, Line, Serial};
use crate::style;
use crate::symbols::Symbols;
use crate::terminal::KeyByKey;
use crate::{disk_image, gdb, kernel_elf, leash, output, qemu};

/// Runs the kernel, and returns this program's exit code.
pub(crate) fn run(options: &RunOptions) -> anyhow::Result<u8> {
    let machine = &options.machine;
    let content = kernel_elf::read(&options.elf)?;
    let ovmf = ovmf(machine)?;
    let image = disk_image::make(&options.elf, machine.boot)?;
    let outcome = match qemu::find_program(&machine.qemu) {
        None => Outcome::QemuMissing {
            program: machine.qemu.clone(),
        },
        Some(program) => {
            let boot = qemu::Boot {
                image: &image,
                ovmf: ovmf.as_ref(),
                arguments: options.log.map_or("", LogLevel::argument),
            };
            let mut events = Events::new()?;
            let mut console = Console::new(options, Symbols::new(&options.elf, &content))?;
            announce(options);
            leash::follow_parent();
            let keys = KeyByKey::enter();
            let outcome = console.watch(
                Machine::start(&program, qemu::arguments(machine, &boot), &mut events)?,
                &events,
            );
            drop(keys);
            outcome?
        }
    };
    let style = style::stderr();
    let message = outcome.message();
    note!(
        "{}",
        if outcome == Outcome::Passed {
            style.good(&message)
        } else {
            style.bad(&message)
        }
    );
    Ok(outcome.exit_code())
}

/// Returns the UEFI firmware, where the machine starts with it. Refuses a machine that would never reach the kernel.
pub(crate) fn ovmf(machine: &MachineOptions) -> anyhow::Result<Option<Ovmf>> {
    check(machine)?;
    match machine.boot {
        Firmware::Uefi => firmware::find(machine).map(Some),
        Firmware::Bios => Ok(None),
    }
}

/// Refuses a machine with too little memory for its firmware, and one that cannot count instructions but should.
fn check(machine: &MachineOptions) -> anyhow::Result<()> {
    let least = machine.boot.least_mebibytes();
    anyhow::ensure!(
        machine.mem.mebibytes() >= least,
        "{} of memory are too little for {} and the boot loader to reach the kernel: give the machine {least}M or more, such \
         as MEM=64M",
        machine.mem,
        machine.boot.name().to_uppercase()
    );
    anyhow::ensure!(
        !machine.icount || machine.accel != Accelerator::Kvm,
        "KVM cannot count instructions: leave out ACCEL=kvm, or ICOUNT=1"
    );
    Ok(())
}

/// Returns a short description of the machine.
pub(crate) fn describe(machine: &MachineOptions) -> String {
    format!(
        "{} in QEMU: {} of memory, {} CPU{}, {}{}",
        machine.boot.name().to_uppercase(),
        machine.mem,
        machine.smp,
        if machine.smp == 1 { "" } else { "s" },
        qemu::accelerator(machine),
        if machine.icount {
            ", counting instructions"
        } else {
            ""
        }
    )
}

/// Says what happens next and how to leave.
fn announce(options: &RunOptions) {
    let machine = &options.machine;
    let leaving = if options.is_bench {
        "The bench leaves by itself; Ctrl-C stops it."
    } else {
        "To leave: `exit` at the prompt, or Ctrl-C."
    };
    note!("Booting with {}. {leaving}", describe(machine));
    if machine.accel == Accelerator::Kvm && !qemu::has_kvm() {
        note!(
            "KVM was asked for, and this machine's processor does not offer it: if the kernel does not come, leave out ACCEL=kvm."
        );
    }
    if machine.gdb {
        note!("Waiting for gdb on port 1234: run `make gdb` in another terminal.");
    }
}

/// The serial console on this terminal.
struct Console<'a> {
    /// What the user asked for.
    options: &'a RunOptions,
    /// The lines.
    serial: Serial,
    /// The names of addresses.
    symbols: Symbols,
    /// Takes out the escape codes that are not wanted.
    codes: Codes,
    /// How much of the open line is on the terminal.
    shown: usize,
    /// The gate of the standard input, once that is connected.
    gate: Option<Arc<Gate>>,
    /// How long the run may take.
    limits: Limits,
    /// The kernel has asked for a reboot and was not heard of since.
    is_rebooting: bool,
    /// Everything the serial port said, for later.
    log: std::fs::File,
}

impl<'a> Console<'a> {
    /// Makes the console.
    fn new(options: &'a RunOptions, symbols: Symbols) -> anyhow::Result<Self> {
        let path = log_path(options)?;
        // A debugger may stop a boot for as long as it likes.
        let boot_limit = (!options.machine.gdb).then_some(options.machine.boot_limit);
        Ok(Self {
            options,
            serial: Serial::default(),
            symbols,
            codes: Codes::wanted(),
            shown: 0,
            gate: None,
            limits: Limits::new(Instant::now(), options.limit, boot_limit),
            is_rebooting: false,
            log: std::fs::File::create(&path)
                .with_context(|| format!("cannot write {}", path.display()))?,
        })
    }

    /// Shows what the machine says until it ends, is stopped or runs out of time.
    fn watch(&mut self, machine: Machine, events: &Events) -> anyhow::Result<Outcome> {
        loop {
            let limit = self.limits.next(self.serial.is_kernel());
            match events.next(limit.map(|limit| limit.end)) {
                Event::Output(bytes, receipt) => {
                    drop(self.log.write_all(&bytes));
                    self.show(&bytes, &machine)?;
                    output::give(receipt);
                }
                Event::Unwritable(kind) => return Err(output::unwritable(kind.into())),
                Event::JobDone(job, result) => monitor::report(&job, &result),
                Event::OutputEnd => {
                    let mut outcome = machine.wait()?;
                    if self.is_rebooting {
                        outcome = outcome.after_reboot_request();
                    }
                    self.end_open_line();
                    if !self.serial.is_kernel() {
                        self.show_firmware();
                    }
                    return Ok(outcome);
                }
                Event::Signal(signal) => {
                    machine.kill();
                    self.end_open_line();
                    return Ok(Outcome::Interrupted { signal });
                }
                Event::Timeout => {
                    let complaint = machine.kill();
                    self.end_open_line();
                    if !complaint.is_empty() {
                        note!("QEMU said: {complaint}");
                    }
                    self.show_firmware();
                    let (limit, during) = limit
                        .map(|limit| (limit.length, limit.during))
                        .unwrap_or_default();
                    return Ok(Outcome::TimedOut {
                        limit,
                        during: during.to_owned(),
                    });
                }
            }
        }
    }

    /// Shows new output.
    fn show(&mut self, bytes: &[u8], machine: &Machine) -> anyhow::Result<()> {
        for line in self.serial.feed(bytes) {
            match line {
                Line::Control(control) => self.obey(control, machine)?,
                Line::Text(text) => self.end_line(&text)?,
                Line::Ready => {
                    self.end_line(crate::protocol::READY_LINE)?;
                    self.gate
                        .get_or_insert_with(|| machine.connect_input())
                        .ready();
                }
                Line::Prompt => {
                    if let Some(gate) = &self.gate {
                        gate.prompt();
                    }
                }
            }
        }
        let open = self.serial.take_open_text();
        self.shown += open.len();
        self.write(&open)
    }

    /// Does what a line for the runner says.
    fn obey(&mut self, control: Control, machine: &Machine) -> anyhow::Result<()> {
        match control {
            Control::Image(base) => {
                if core::mem::take(&mut self.is_rebooting) {
                    machine.start_job(Job::EndAtReset);
                }
                self.symbols.set_base(base);
                gdb::remember_base(&self.options.elf, base)?;
            }
            Control::Ask(request) => machine.grant(request),
            Control::Reboot => {
                note!("Starting the machine again, as the kernel asks.");
                self.is_rebooting = true;
                self.limits.reset(Instant::now());
                if let Some(gate) = &self.gate {
                    gate.pause();
                }
                machine.start_job(Job::Reboot);
            }
            _ => {}
        }
        Ok(())
    }

    /// Shows the rest of a line, with the names of the addresses in it.
    fn end_line(&mut self, text: &str) -> anyhow::Result<()> {
        let annotated = self.symbols.annotated(text);
        let shown = core::mem::take(&mut self.shown);
        // A line end may have been cut in two, its first half shown.
        let rest = annotated
            .as_bytes()
            .get(shown.min(text.len())..)
            .unwrap_or_default()
            .to_vec();
        self.write(&rest)?;
        self.write(b"\n")
    }

    /// Moves to a new line if the kernel left in the middle of one.
    fn end_open_line(&mut self) {
        if core::mem::take(&mut self.shown) > 0 {
            drop(self.write(b"\n"));
        }
    }

    /// Shows what came before the kernel, if anything.
    fn show_firmware(&self) {
        let firmware = self.serial.firmware_tail();
        if !self.serial.is_kernel() && !firmware.is_empty() {
            note!("The kernel was not reached. Firmware and boot loader said last:\n{firmware}");
        }
    }

    /// Writes to the standard output, without the escape codes that are not wanted.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match &mut self.codes {
            Codes::All => output::write(bytes),
            Codes::NoColours(filter) => output::write(&filter.pass(bytes)),
            Codes::None(filter) => output::write(&filter.pass(bytes)),
        }
    }
}

/// Which escape codes of the kernel are shown.
#[derive(Debug)]
enum Codes {
    /// All of them.
    All,
    /// Those that move the cursor: somebody types who wants no colours, or shares what he sees with a program.
    NoColours(ColourFilter),
    /// None: it is text for a program or a file.
    None(EscapeFilter),
}

impl Codes {
    /// Looks who reads and who types.
    fn wanted() -> Self {
        let is_seen = std::io::stdout().is_terminal();
        if is_seen && style::stdout(clap::ColorChoice::Auto).is_coloured() {
            Self::All
        } else if is_seen || std::io::stdin().is_terminal() {
            Self::NoColours(ColourFilter::default())
        } else {
            Self::None(EscapeFilter::default())
        }
    }
}

/// Returns where the serial console is logged.
fn log_path(options: &RunOptions) -> anyhow::Result<PathBuf> {
    Ok(disk_image::folder(&options.elf)?
        .join(format!("serial-{}.log", options.machine.boot.name())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Command;

    /// The machine of `boot run kernel ARGUMENTS`.
    fn machine(arguments: &[&str]) -> MachineOptions {
        let words = ["boot", "run", "kernel"].iter().chain(arguments);
        match Command::try_parse_from(words) {
            Ok(Command::Run(options)) => options.machine,
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn machine_too_small_for_its_firmware_is_refused_with_what_to_do() {
        for arguments in [
            ["--boot", "uefi", "--mem", "16M"],
            ["--boot", "uefi", "--mem", "47M"],
            ["--boot", "bios", "--mem", "16M"],
        ] {
            let refusal = ovmf(&machine(&arguments)).expect_err("must be refused");
            assert!(refusal.to_string().contains("MEM=64M"), "{refusal}");
        }
        assert!(ovmf(&machine(&["--boot", "bios", "--mem", "24M"])).is_ok());
    }

    #[test]
    fn counting_instructions_is_for_tcg() {
        let bios = |accel| machine(&["--boot", "bios", "--icount", "--accel", accel]);
        let refusal = ovmf(&bios("kvm")).expect_err("must be refused");
        assert!(refusal.to_string().contains("ICOUNT=1"), "{refusal}");
        for accel in ["tcg", "auto"] {
            assert!(ovmf(&bios(accel)).is_ok());
            assert_eq!(qemu::accelerator(&bios(accel)), "tcg");
        }
        assert!(describe(&bios("auto")).ends_with("tcg, counting instructions"));
    }
}
