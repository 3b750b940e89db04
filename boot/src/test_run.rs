//! A test run: boots the test kernel as often as [`TestFlow`] says, watches the limits, and reports like Rust's own test
//! programs do.

use core::time::Duration;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::escape::without_escapes;
use crate::events::{Event, Events};
use crate::firmware::Ovmf;
use crate::machine::Machine;
use crate::monitor;
use crate::options::TestOptions;
use crate::outcome::Outcome;
use crate::output::{note, say};
use crate::serial::{Control, Line, Serial};
use crate::style::{self, Style};
use crate::symbols::Symbols;
use crate::test_flow::{Boot, Finished, TestFlow};
use crate::{console, disk_image, kernel_elf, leash, output, qemu};

/// How many of the slowest tests the report names.
const SLOWEST: usize = 5;

/// How long a kernel that has said `@test done` may take to leave.
const LEAVING_LIMIT: Duration = Duration::from_secs(10);

/// Runs the tests, and returns this program's exit code.
pub(crate) fn run(options: &TestOptions) -> anyhow::Result<u8> {
    if options.machine.gdb {
        bail!(
            "GDB=1 is for `make run` (or `cargo run -- --gdb`): tests have limits that a debugger would run into"
        );
    }
    let content = kernel_elf::read(&options.elf)?;
    let ovmf = console::ovmf(&options.machine)?;
    let image = disk_image::make(&options.elf, options.machine.boot)?;
    let Some(program) = qemu::find_program(&options.machine.qemu) else {
        let outcome = Outcome::QemuMissing {
            program: options.machine.qemu.clone(),
        };
        note!("{}", style::stderr().bad(&outcome.message()));
        return Ok(outcome.exit_code());
    };
    let events = Events::new()?;
    leash::follow_parent();
    let log = disk_image::folder(&options.elf)?
        .join(format!("serial-{}.log", options.machine.boot.name()));
    TestRun {
        options,
        program,
        image,
        ovmf,
        events,
        symbols: Symbols::new(&options.elf, &content),
        style: style::stdout(options.color),
        flow: TestFlow::new(options.list),
        reported: 0,
        times: Vec::new(),
        boot_times: Vec::new(),
        log: File::create(&log).with_context(|| format!("cannot write {}", log.display()))?,
    }
    .run()
}

/// A test run under way.
struct TestRun<'a> {
    /// What the user asked for.
    options: &'a TestOptions,
    /// QEMU.
    program: PathBuf,
    /// The disk image.
    image: PathBuf,
    /// The firmware, where it is UEFI.
    ovmf: Option<Ovmf>,
    /// What happens outside.
    events: Events,
    /// The names of addresses.
    symbols: Symbols,
    /// Colours.
    style: Style,
    /// What to do next, and the verdicts.
    flow: TestFlow,
    /// How many verdicts have been shown.
    reported: usize,
    /// How long each test took.
    times: Vec<(Duration, String)>,
    /// How long each boot took to the kernel's first line.
    boot_times: Vec<Duration>,
    /// Everything the serial port said, for later.
    log: File,
}

impl TestRun<'_> {
    /// Boots until there is nothing more to run, then reports.
    fn run(mut self) -> anyhow::Result<u8> {
        let start = Instant::now();
        if !self.options.list {
            say!(
                "\nbooting with {}",
                console::describe(&self.options.machine)
            )?;
        }
        while let Some(boot) = self.flow.next_boot().cloned() {
            let outcome = self.boot(&boot)?;
            self.flow.end(&outcome);
            self.report_verdicts()?;
            match outcome {
                Outcome::Interrupted { .. }
                | Outcome::QemuMissing { .. }
                | Outcome::QemuFailed { .. } => {
                    note!("{}", style::stderr().bad(&outcome.message()));
                    self.report(start)?;
                    return Ok(outcome.exit_code());
                }
                _ => {}
            }
        }
        if self.options.list {
            return self.list();
        }
        self.report(start)?;
        let is_empty = self.flow.planned().len() == 0;
        if is_empty && self.options.filters.is_empty() && self.options.skip.is_empty() {
            note!(
                "{}",
                style::stderr().bad("The kernel has no tests; that cannot be right.")
            );
            return Ok(1);
        }
        Ok(u8::from(self.failures().next().is_some()))
    }

    /// Runs one boot to its end.
    fn boot(&mut self, boot: &Boot) -> anyhow::Result<Outcome> {
        let arguments = kernel_arguments(boot, self.options);
        let boot = qemu::Boot {
            image: &self.image,
            ovmf: self.ovmf.as_ref(),
            arguments: &arguments,
        };
        writeln!(
            self.log,
            "\n=== boot with: {}",
            arguments.trim_end().replace('\n', "; ")
        )
        .context("cannot write the log")?;
        let machine = Machine::start(
            &self.program,
            qemu::arguments(&self.options.machine, &boot),
            &mut self.events,
        )?;
        let mut serial = Serial::default();
        let start = Instant::now();
        let mut last_word = start;
        let mut has_asked_for_reboot = false;
        loop {
            let limit = self.limit(&serial);
            match self.events.next(Some(last_word + limit)) {
                Event::Output(bytes, receipt) => {
                    self.log.write_all(&bytes).context("cannot write the log")?;
                    for line in serial.feed(&bytes) {
                        match line {
                            // Not progress: a test that does nothing but ask must meet its limit.
                            Line::Control(Control::Ask(request)) => {
                                machine.grant(request);
                                continue;
                            }
                            Line::Control(Control::Reboot) => has_asked_for_reboot = true,
                            Line::Control(_) => {
                                self.take_time(&line, start, last_word);
                                last_word = Instant::now();
                                output::take_stall();
                            }
                            _ => {}
                        }
                        self.take(line)?;
                    }
                    output::give(receipt);
                }
                Event::Unwritable(kind) => return Err(output::unwritable(kind.into())),
                Event::JobDone(job, result) => monitor::report(&job, &result),
                Event::OutputEnd => {
                    self.show_firmware(&serial);
                    let outcome = machine.wait()?;
                    return Ok(if has_asked_for_reboot {
                        outcome.after_reboot_request()
                    } else {
                        outcome
                    });
                }
                Event::Signal(signal) => {
                    machine.kill();
                    return Ok(Outcome::Interrupted { signal });
                }
                Event::Timeout => {
                    if let Some(stalled) = output::take_stall() {
                        // For so long the kernel was held back by who reads our output.
                        last_word += stalled;
                        continue;
                    }
                    let complaint = machine.kill();
                    if !complaint.is_empty() {
                        note!("QEMU said: {complaint}");
                    }
                    self.show_firmware(&serial);
                    return Ok(Outcome::TimedOut {
                        limit,
                        during: self.flow.whereabouts(),
                    });
                }
            }
        }
    }

    /// Returns how long the kernel may be silent towards the runner where it is now.
    fn limit(&self, serial: &Serial) -> Duration {
        if self.flow.is_done() {
            LEAVING_LIMIT
        } else if serial.is_kernel() {
            Duration::from_secs(self.options.test_limit)
        } else {
            Duration::from_secs(self.options.machine.boot_limit)
        }
    }

    /// Notes how long a test or a boot took.
    fn take_time(&mut self, line: &Line, start: Instant, last_word: Instant) {
        match line {
            Line::Control(Control::Image(_)) => self.boot_times.push(start.elapsed()),
            Line::Control(Control::Pass(name) | Control::Fail(name)) => {
                self.times.push((last_word.elapsed(), name.clone()));
            }
            _ => {}
        }
    }

    /// Takes a line from the console.
    fn take(&mut self, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Control(control) => {
                if let Control::Image(base) = control {
                    self.symbols.set_base(base);
                }
                self.flow.control(control);
                self.report_verdicts()?;
            }
            Line::Text(text) => {
                let text = self.symbols.annotated(&text);
                if self.options.nocapture {
                    let shown = if self.style.is_coloured() {
                        text.clone()
                    } else {
                        without_escapes(text.as_bytes())
                    };
                    say!("{shown}")?;
                }
                self.flow.text(without_escapes(text.as_bytes()));
            }
            Line::Ready | Line::Prompt => {}
        }
        Ok(())
    }

    /// Shows the verdicts that have come since the last call.
    fn report_verdicts(&mut self) -> anyhow::Result<()> {
        let new = self
            .flow
            .finished()
            .get(self.reported..)
            .unwrap_or_default();
        self.reported += new.len();
        for test in new {
            let verdict = match test.failure {
                None if self.options.quiet => continue,
                None => self.style.good("ok"),
                Some(_) => self.style.bad("FAILED"),
            };
            let time = self.times.iter().rev().find(|(_, name)| *name == test.name);
            let time = time
                .map(|(time, _)| format!(" ({} ms)", time.as_millis()))
                .unwrap_or_default();
            say!("test {} ... {verdict}{time}", test.name)?;
        }
        Ok(())
    }

    /// Shows what came before the kernel, if there was a kernel to come.
    fn show_firmware(&self, serial: &Serial) {
        let firmware = serial.firmware_tail();
        if !serial.is_kernel() && !firmware.is_empty() {
            note!("The kernel was not reached. Firmware and boot loader said last:\n{firmware}");
        }
    }

    /// Prints the names of the tests, as Rust's own test programs do, and returns the exit code.
    fn list(&self) -> anyhow::Result<u8> {
        for name in self.flow.planned() {
            say!("{name}: test")?;
        }
        say!("\n{} tests, 0 benchmarks", self.flow.planned().len())?;
        Ok(u8::from(self.failures().next().is_some()))
    }

    /// Returns the tests that failed.
    fn failures(&self) -> impl Iterator<Item = &Finished> {
        self.flow
            .finished()
            .iter()
            .filter(|test| test.failure.is_some())
    }

    /// Prints the failures in full, the times and the sum.
    fn report(&self, start: Instant) -> anyhow::Result<()> {
        let failed = self.failures().count();
        let passed = self.flow.finished().len() - failed;
        if failed > 0 {
            self.report_failures()?;
        }
        self.report_times()?;
        let verdict = if failed == 0 {
            self.style.good("ok")
        } else {
            self.style.bad("FAILED")
        };
        say!(
            "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; finished in {:.2}s\n",
            start.elapsed().as_secs_f64()
        )
    }

    /// Prints each failure's reason and output, then the names.
    fn report_failures(&self) -> anyhow::Result<()> {
        say!("\nfailures:")?;
        for test in self.failures() {
            say!("\n---- {} ----", test.name)?;
            say!("{}", test.failure.as_deref().unwrap_or_default())?;
            if !test.output.is_empty() {
                say!("\n{}", test.output.join("\n"))?;
            }
        }
        say!("\nfailures:")?;
        for test in self.failures() {
            say!("    {}", test.name)?;
        }
        Ok(())
    }

    /// Prints the slowest tests and the time that booting took.
    fn report_times(&self) -> anyhow::Result<()> {
        let mut times = self.times.clone();
        times.sort_by_key(|(time, _)| core::cmp::Reverse(*time));
        if times.len() > 1 && !self.options.quiet {
            say!("\nslowest tests:")?;
            for (time, name) in times.iter().take(SLOWEST) {
                say!("{:>8} ms  {name}", time.as_millis())?;
            }
        }
        if let (Some(first), all) = (self.boot_times.first(), &self.boot_times) {
            let sum: Duration = all.iter().sum();
            say!(
                "boots: {}, the first in {:.1} s, all in {:.1} s",
                all.len(),
                first.as_secs_f64(),
                sum.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

/// Returns the kernel's arguments for a boot, one a line.
fn kernel_arguments(boot: &Boot, options: &TestOptions) -> String {
    let mut lines = match boot {
        Boot::List => vec!["mode list".to_owned()],
        Boot::Ordinary => vec!["mode ordinary".to_owned()],
        Boot::After(name) => vec!["mode ordinary".to_owned(), format!("after {name}")],
        Boot::Isolated(name) => vec!["mode isolated".to_owned(), format!("only {name}")],
    };
    lines.extend(options.filters.iter().map(|text| format!("filter {text}")));
    lines.extend(options.skip.iter().map(|text| format!("skip {text}")));
    if options.exact {
        lines.push("exact".to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Command;
    use clap::Parser;

    /// Options as from `boot test kernel WORDS`.
    fn options(words: &[&str]) -> TestOptions {
        let words = ["boot", "test", "kernel"].iter().chain(words);
        let Ok(Command::Test(options)) = Command::try_parse_from(words) else {
            panic!("must parse")
        };
        options
    }

    #[test]
    fn choice_of_tests_reaches_the_kernel() {
        let options = options(&["heap", "--skip", "slow one", "--exact"]);
        assert_eq!(
            kernel_arguments(&Boot::Ordinary, &options),
            "mode ordinary\nfilter heap\nskip slow one\nexact\n"
        );
    }

    #[test]
    fn later_boots_say_where_to_go_on() {
        let options = options(&[]);
        assert_eq!(
            kernel_arguments(&Boot::After("a".to_owned()), &options),
            "mode ordinary\nafter a\n"
        );
        assert_eq!(
            kernel_arguments(&Boot::Isolated("b".to_owned()), &options),
            "mode isolated\nonly b\n"
        );
        assert_eq!(kernel_arguments(&Boot::List, &options), "mode list\n");
    }
}
