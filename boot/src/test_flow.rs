//! A test run as a state machine: which boot comes next, and what each test's verdict is.
//!
//! It sees lines and endings and knows neither QEMU nor the clock, so it is tested with made-up consoles.
//!
//! 1. One boot runs the ordinary tests, one after the other. The kernel first prints its plan.
//! 2. A test that brings the kernel down has failed; another boot goes on behind it.
//! 3. Each isolated test gets a boot of its own.
//! 4. A planned test without a verdict at the end has failed too: silence is not success.

use crate::outcome::Outcome;
use crate::serial::Control;

/// The most lines that are kept of what a test prints: the last ones.
const KEPT_LINES: usize = 10_000;

/// One start of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// Prints the plan only.
    List,
    /// Prints the plan and runs the ordinary tests.
    Ordinary,
    /// Runs the ordinary tests behind this one.
    After(String),
    /// Runs this isolated test.
    Isolated(String),
}

/// A test's verdict, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The test's name.
    pub(crate) name: String,
    /// Why it failed; `None` where it passed.
    pub(crate) failure: Option<String>,
    /// What it printed.
    pub(crate) output: Vec<String>,
}

/// A planned test.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    /// Its name.
    name: String,
    /// Whether it needs a boot of its own.
    isolated: bool,
    /// Whether there is a verdict.
    is_finished: bool,
}

/// The test that runs now.
#[derive(Debug, Default)]
struct Running {
    /// Its name.
    name: String,
    /// Why it failed, as far as it has said.
    messages: Vec<String>,
    /// What it has printed.
    output: Vec<String>,
}

/// The state of a test run.
#[derive(Debug)]
pub(crate) struct TestFlow {
    /// The chosen tests, in the order of the kernel's plan.
    plan: Vec<Planned>,
    /// The boot that runs now, or comes next; `None` at the end.
    boot: Option<Boot>,
    /// The test that runs now.
    running: Option<Running>,
    /// The last test that ran in this boot.
    last: Option<String>,
    /// The kernel has said that this boot has no more tests.
    is_done: bool,
    /// The verdicts, in the order they came.
    finished: Vec<Finished>,
}

impl TestFlow {
    /// The name under which trouble outside of any test is reported.
    pub(crate) const NO_TEST: &str = "(outside of any test)";

    /// Starts a run, or a listing.
    pub(crate) fn new(is_list: bool) -> Self {
        let boot = if is_list { Boot::List } else { Boot::Ordinary };
        Self {
            plan: Vec::new(),
            boot: Some(boot),
            running: None,
            last: None,
            is_done: false,
            finished: Vec::new(),
        }
    }

    /// Returns the next boot; `None` at the end of the run.
    pub(crate) fn next_boot(&self) -> Option<&Boot> {
        self.boot.as_ref()
    }

    /// Returns the names of the planned tests.
    pub(crate) fn planned(&self) -> impl ExactSizeIterator<Item = &str> {
        self.plan.iter().map(|test| test.name.as_str())
    }

    /// Returns the verdicts, in the order they came.
    pub(crate) fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// Says whether the kernel has nothing more to do in this boot.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Says in words where the kernel is, for a time-out.
    pub(crate) fn whereabouts(&self) -> String {
        match (&self.running, &self.last) {
            (Some(test), _) => format!("in test `{}`", test.name),
            (None, Some(last)) => format!("behind test `{last}`"),
            (None, None) => "before the first test".to_owned(),
        }
    }

    /// Takes a line of text. Behind a failure it is still about that failure.
    pub(crate) fn text(&mut self, line: String) {
        match (
            &mut self.running,
            self.last.is_some(),
            self.finished.last_mut(),
        ) {
            (Some(test), _, _) => keep(&mut test.output, line),
            (None, true, Some(failed)) if failed.failure.is_some() => {
                keep(&mut failed.output, line);
            }
            _ => {}
        }
    }

    /// Takes a message from the kernel.
    pub(crate) fn control(&mut self, control: Control) {
        match control {
            Control::Plan { name, isolated } => self.plan.push(Planned {
                name,
                isolated,
                is_finished: false,
            }),
            Control::Start(name) => {
                self.abandon("the kernel began the next test without a verdict on this one");
                self.running = Some(Running {
                    name,
                    ..Running::default()
                });
            }
            Control::Message(message) => {
                if let Some(test) = &mut self.running {
                    test.messages.push(message);
                }
            }
            Control::Pass(name) => self.verdict(name, true),
            Control::Fail(name) => self.verdict(name, false),
            Control::Done => {
                self.abandon("the kernel had no more tests, and no verdict on this one");
                self.is_done = true;
            }
            Control::Image(_) | Control::Ask(_) | Control::Reboot | Control::Unknown(_) => {}
        }
    }

    /// Takes the end of a boot, and chooses the next one.
    pub(crate) fn end(&mut self, outcome: &Outcome) {
        let Some(boot) = self.boot.take() else { return };
        let has_failed = self.last.is_some()
            && self
                .finished
                .last()
                .is_some_and(|test| test.failure.is_some());
        if self.running.is_some() {
            self.abandon(&outcome.message());
        } else if !self.has_ended_well(outcome) && (!has_failed || self.is_done) {
            let failure = format!(
                "{} The kernel was {}.",
                outcome.message(),
                self.whereabouts()
            );
            self.finish(Self::NO_TEST.to_owned(), Some(failure), Vec::new());
        }
        let is_possible = !matches!(
            outcome,
            Outcome::Interrupted { .. } | Outcome::QemuMissing { .. } | Outcome::QemuFailed { .. }
        );
        self.boot = is_possible.then(|| self.behind(boot)).flatten();
        if self.boot.is_none() {
            self.fail_unfinished(|_| true, "it was never run");
        }
        self.last = None;
        self.is_done = false;
    }

    /// Says whether the kernel announced the end of this boot. Which code it left with says nothing that the verdicts
    /// have not said; a test of panics may well leave by a panic.
    fn has_ended_well(&self, outcome: &Outcome) -> bool {
        self.is_done
            && matches!(
                outcome,
                Outcome::Passed | Outcome::Failed(_) | Outcome::Panicked
            )
    }

    /// Chooses the boot behind `boot`.
    fn behind(&mut self, boot: Boot) -> Option<Boot> {
        match boot {
            Boot::List => return None,
            Boot::Ordinary | Boot::After(_) => {
                let is_left = self
                    .plan
                    .iter()
                    .any(|test| !test.isolated && !test.is_finished);
                match self.last.take() {
                    Some(last) if is_left && !self.is_done => return Some(Boot::After(last)),
                    // Without progress, one more boot would end like this one.
                    _ => self.fail_unfinished(|test| !test.isolated, "it was never run"),
                }
            }
            Boot::Isolated(name) => {
                self.fail_unfinished(|test| test.name == name, "its boot ended before it began");
            }
        }
        self.plan
            .iter()
            .find(|test| !test.is_finished)
            .map(|test| Boot::Isolated(test.name.clone()))
    }

    /// Fails the running test, if there is one, for want of a verdict.
    fn abandon(&mut self, reason: &str) {
        if let Some(test) = self.running.take() {
            let mut messages = test.messages;
            messages.push(reason.to_owned());
            self.last = Some(test.name.clone());
            self.finish(test.name, Some(messages.join("\n")), test.output);
        }
    }

    /// Takes the kernel's verdict on the running test.
    fn verdict(&mut self, name: String, is_pass: bool) {
        let test = self.running.take().unwrap_or_default();
        let mut messages = test.messages;
        if test.name != name {
            messages.push(format!(
                "the kernel gave a verdict while it was running `{}`",
                test.name
            ));
        } else if !is_pass && messages.is_empty() {
            messages.push("the kernel gave no reason".to_owned());
        }
        let failure = (!is_pass || test.name != name).then(|| messages.join("\n"));
        self.last = Some(name.clone());
        self.finish(name, failure, test.output);
    }

    /// Fails the planned tests without a verdict that `is_meant` chooses.
    fn fail_unfinished(&mut self, is_meant: impl Fn(&Planned) -> bool, reason: &str) {
        let names: Vec<String> = self
            .plan
            .iter()
            .filter(|test| !test.is_finished && is_meant(test))
            .map(|test| test.name.clone())
            .collect();
        for name in names {
            self.finish(name, Some(reason.to_owned()), Vec::new());
        }
    }

    /// Writes a verdict down.
    fn finish(&mut self, name: String, failure: Option<String>, output: Vec<String>) {
        for test in self.plan.iter_mut().filter(|test| test.name == name) {
            test.is_finished = true;
        }
        self.finished.push(Finished {
            name,
            failure,
            output,
        });
    }
}

/// Adds a line, and lets the first ones go where they are too many.
fn keep(lines: &mut Vec<String>, line: String) {
    lines.push(line);
    if lines.len() >= 2 * KEPT_LINES {
        lines.drain(..KEPT_LINES);
    }
}

#[cfg(test)]
mod tests;
