//! A picture of the screen: boots without a window, types commands, and has QEMU write what the screen shows.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::escape::without_escapes;
use crate::events::{Event, Events};
use crate::limits::{Limit, Limits};
use crate::machine::Machine;
use crate::monitor::{self, Job};
use crate::options::ScreenshotOptions;
use crate::outcome::Outcome;
use crate::output::note;
use crate::serial::{Control, Line, Serial};
use crate::{console, disk_image, kernel_elf, leash, output, png, qemu, style};

/// How long the kernel may draw behind its last prompt.
const DRAWING_TIME: Duration = Duration::from_secs(1);

/// What is typed where the user names no command: something to be seen on the screen.
const USUAL_COMMAND: &str = "stress 60 1";

/// How many seconds behind it the picture is taken: it is still at work then, and the graph over time almost full.
const USUAL_DELAY: u64 = 50;

/// The exit code where the kernel left, all well, before there was a picture.
const EXIT_TOO_EARLY: u8 = 1;

/// Takes the picture, and returns this program's exit code.
pub(crate) fn run(options: &ScreenshotOptions) -> anyhow::Result<u8> {
    let mut machine = options.machine.clone();
    if machine.gdb {
        bail!("GDB=1 is for `make run` (or `boot run --gdb`): nobody types at a debugger here");
    }
    let script = Script::new(options)?;
    "none".clone_into(&mut machine.display);
    machine.qemuflags.insert_str(0, "-vga std ");
    kernel_elf::read(&options.elf)?;
    let ovmf = console::ovmf(&machine)?;
    // The output is looked at now, not after the boot.
    let output = std::path::absolute(&options.output).context("the output needs a path")?;
    if output.is_dir() {
        bail!(
            "{} is a folder: name a file for the picture, such as OUTPUT=screen.png",
            output.display()
        );
    }
    let folder = output.parent().unwrap_or(&output);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let image = disk_image::make(&options.elf, machine.boot)?;
    let Some(program) = qemu::find_program(&machine.qemu) else {
        return Ok(end(&Outcome::QemuMissing {
            program: machine.qemu,
        }));
    };
    let boot = qemu::Boot {
        image: &image,
        ovmf: ovmf.as_ref(),
        arguments: "",
    };
    note!("Booting with {}.", console::describe(&machine));
    let mut events = Events::new()?;
    leash::follow_parent();
    let session = Session {
        limits: Limits::new(
            Instant::now(),
            Some(options.limit),
            Some(machine.boot_limit),
        ),
        machine: Machine::start(&program, qemu::arguments(&machine, &boot), &mut events)?,
        typed: None,
        script,
        progress: Progress::Booting,
        is_rebooting: false,
    };
    let picture = tempfile::Builder::new()
        .prefix("stack_alloc-")
        .suffix(".png")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    if let Some(outcome) = session.watch(&events, picture.path())? {
        return Ok(end(&outcome));
    }
    let content = fs::read(picture.path()).context("cannot read the picture that QEMU wrote")?;
    let Some((width, height)) = png::size(&content) else {
        bail!(
            "QEMU wrote something, but no PNG: is this a QEMU of version 7.1 or later, built with libpng?"
        );
    };
    // Copied, not renamed: the temporary file may be read by its owner alone.
    fs::write(&output, content).with_context(|| format!("cannot write {}", output.display()))?;
    note!(
        "Wrote {}: {width} x {height} pixels.",
        options.output.display()
    );
    Ok(0)
}

/// Says how a run without a picture ended, and returns the exit code.
fn end(outcome: &Outcome) -> u8 {
    let style = style::stderr();
    note!("{} There is no picture.", style.bad(&outcome.message()));
    match outcome.exit_code() {
        0 => EXIT_TOO_EARLY,
        code => code,
    }
}

/// What is done before the picture is taken.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    /// What is still to be typed.
    commands: VecDeque<String>,
    /// How long behind the last command the picture is taken, whether it is done or not; `None` waits for it to be done.
    delay: Option<Duration>,
}

impl Script {
    /// What the user asks for.
    fn new(options: &ScreenshotOptions) -> anyhow::Result<Self> {
        let is_usual = options.commands.is_empty();
        let commands = if is_usual {
            VecDeque::from([USUAL_COMMAND.to_owned()])
        } else {
            commands(&options.commands)
        };
        let delay = options.delay.or(is_usual.then_some(USUAL_DELAY));
        if let Some(delay) = delay.filter(|&delay| delay >= options.limit) {
            bail!(
                "the picture cannot be taken {delay} s behind the last command when the whole run may take {} s: shorten \
                 DELAY, or raise --limit (STACK_ALLOC_LIMIT)",
                options.limit
            );
        }
        Ok(Self {
            commands,
            delay: delay.map(Duration::from_secs),
        })
    }
}

/// Returns the commands to type. One `;` parts two of them, as in the variable of `make`.
fn commands(words: &[String]) -> VecDeque<String> {
    words
        .iter()
        .flat_map(|word| word.split(';'))
        .map(|command| command.trim().to_owned())
        .filter(|command| !command.is_empty())
        .collect()
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The kernel was not heard of.
    Booting,
    /// It was heard of, and does something.
    Running,
    /// All is typed, and the kernel draws until then.
    Drawing(Instant),
    /// QEMU writes the picture.
    Writing,
}

/// A run under way.
struct Session {
    /// QEMU.
    machine: Machine,
    /// The command that was typed last.
    typed: Option<String>,
    /// What is still to be done.
    script: Script,
    /// How far the run is.
    progress: Progress,
    /// The kernel has asked for a reboot and was not heard of since.
    is_rebooting: bool,
    /// How long the run may take.
    limits: Limits,
}

impl Session {
    /// Runs until the picture is in the file, and then ends the machine; returns an outcome where something came in between.
    fn watch(mut self, events: &Events, picture: &Path) -> anyhow::Result<Option<Outcome>> {
        let mut serial = Serial::default();
        loop {
            let limit = self.limits.next(serial.is_kernel());
            match events.next(self.deadline(limit)) {
                Event::Output(bytes, receipt) => {
                    for line in serial.feed(&bytes) {
                        self.take(line)?;
                    }
                    output::give(receipt);
                }
                Event::Unwritable(kind) => return Err(output::unwritable(kind.into())),
                Event::Timeout if self.is_drawn(limit) => {
                    self.progress = Progress::Writing;
                    self.machine.start_job(Job::Screenshot(picture.to_owned()));
                }
                Event::JobDone(Job::Screenshot(_), result) => {
                    self.machine.kill();
                    return result
                        .map(|()| None)
                        .context("QEMU's monitor cannot take a picture of the screen");
                }
                Event::JobDone(job, result) => monitor::report(&job, &result),
                Event::OutputEnd => return self.machine.wait().map(Some),
                Event::Signal(signal) => {
                    self.machine.kill();
                    return Ok(Some(Outcome::Interrupted { signal }));
                }
                Event::Timeout => {
                    let limit = limit.map(|limit| limit.length).unwrap_or_default();
                    let during = self.whereabouts();
                    self.machine.kill();
                    return Ok(Some(Outcome::TimedOut { limit, during }));
                }
            }
        }
    }

    /// Returns the moment at which something is to be done though nothing happens.
    fn deadline(&self, limit: Option<Limit>) -> Option<Instant> {
        let drawn = match self.progress {
            Progress::Drawing(end) => Some(end),
            _ => None,
        };
        drawn.into_iter().chain(limit.map(|limit| limit.end)).min()
    }

    /// Says whether the time to draw was over before the limit was there.
    fn is_drawn(&self, limit: Option<Limit>) -> bool {
        matches!(self.progress, Progress::Drawing(end) if limit.is_none_or(|limit| end < limit.end))
    }

    /// Takes a line from the console.
    fn take(&mut self, line: Line) -> anyhow::Result<()> {
        match line {
            Line::Control(Control::Image(_)) => {
                if core::mem::take(&mut self.is_rebooting) {
                    self.machine.start_job(Job::EndAtReset);
                }
                self.progress = Progress::Running;
            }
            Line::Control(Control::Ask(request)) => self.machine.grant(request),
            Line::Control(Control::Reboot) => {
                self.is_rebooting = true;
                self.progress = Progress::Booting;
                self.limits.reset(Instant::now());
                self.machine.start_job(Job::Reboot);
            }
            Line::Prompt => return self.take_prompt(),
            // What the kernel answers is not on its screen.
            Line::Text(text) => note!("{}", without_escapes(text.as_bytes())),
            Line::Control(_) | Line::Ready => {}
        }
        Ok(())
    }

    /// Types the next command, or lets the kernel draw.
    fn take_prompt(&mut self) -> anyhow::Result<()> {
        if matches!(self.progress, Progress::Drawing(_) | Progress::Writing) {
            // The last command was done before its time was over.
            return Ok(());
        }
        let command = self.script.commands.pop_front();
        if let Some(command) = &command {
            note!("Typing `{command}`.");
            self.machine.type_in(format!("{command}\n").as_bytes())?;
        }
        if self.script.commands.is_empty() && (command.is_none() || self.script.delay.is_some()) {
            let drawing_time = self.script.delay.unwrap_or(DRAWING_TIME);
            self.progress = Progress::Drawing(Instant::now() + drawing_time);
        }
        self.typed = command.or(self.typed.take());
        Ok(())
    }

    /// Says in words what the kernel is doing, for a time-out.
    fn whereabouts(&self) -> String {
        match (self.progress, &self.typed) {
            (Progress::Booting, _) => "before the kernel's first line".to_owned(),
            (_, None) => "before the kernel's first prompt".to_owned(),
            (_, Some(command)) => format!("behind the command `{command}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Command;

    /// What `boot screenshot kernel WORDS` does.
    fn script(words: &[&str]) -> anyhow::Result<(Vec<String>, Option<u64>)> {
        let words = ["boot", "screenshot", "kernel"].iter().chain(words);
        let Ok(Command::Screenshot(options)) = Command::try_parse_from(words) else {
            panic!("must parse")
        };
        let script = Script::new(&options)?;
        Ok((
            script.commands.into(),
            script.delay.map(|delay| delay.as_secs()),
        ))
    }

    #[test]
    fn semicolons_part_commands() {
        let words = ["heap map; frames".to_owned(), ";; stress 1 ;".to_owned()];
        assert_eq!(commands(&words), ["heap map", "frames", "stress 1"]);
        assert_eq!(commands(&[]).len(), 0);
        assert_eq!(commands(&[String::new()]).len(), 0);
    }

    #[test]
    fn usual_picture_is_of_a_command_at_work() {
        let (usual, delay) = (USUAL_COMMAND.to_owned(), Some(USUAL_DELAY));
        assert_eq!(
            script(&[]).expect("all right"),
            (vec![usual.clone()], delay)
        );
        let words = ["--delay", "5"];
        assert_eq!(script(&words).expect("all right"), (vec![usual], Some(5)));
    }

    #[test]
    fn commands_of_ones_own_are_waited_for_unless_there_is_a_delay() {
        let heap = vec!["heap".to_owned()];
        let words = ["--commands", "heap", "--delay", "5"];
        assert_eq!(
            script(&words[..2]).expect("all right"),
            (heap.clone(), None)
        );
        assert_eq!(script(&words).expect("all right"), (heap, Some(5)));
        let words = ["--commands", ""];
        assert_eq!(script(&words).expect("all right"), (vec![], None));
    }

    #[test]
    fn delay_that_never_ends_is_refused() {
        let refusal = script(&["--delay", "9", "--limit", "9"]).expect_err("too long");
        assert!(refusal.to_string().contains("shorten DELAY"), "{refusal}");
        assert!(script(&["--delay", "8", "--limit", "9"]).is_ok());
    }
}
