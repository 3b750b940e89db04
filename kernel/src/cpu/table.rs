//! The CPUs as text: what the command `cpus` shows. Pure.
#![forbid(unsafe_code)]

use core::fmt;

use crate::stack_name::StackName;

/// What is known of a CPU at one moment.
#[derive(Clone, Copy, Debug)]
pub struct CpuFacts {
    /// Its number.
    pub cpu: usize,
    /// What interrupt controllers call it; `None` where the machine has no APICs.
    pub apic_id: Option<u32>,
    /// What it runs: the name of a task; `None` where it has nothing to do.
    pub task: Option<StackName>,
    /// Tasks that wait there for their turn.
    pub waiting: usize,
    /// Interrupts and exceptions so far.
    pub interrupts: u64,
    /// Ticks of its timer so far.
    pub ticks: u64,
    /// Those at which it had nothing to do.
    pub idle_ticks: u64,
    /// How often it has forgotten pages because another CPU unmapped them.
    pub forgotten: u64,
}

impl CpuFacts {
    /// Returns how much of its time it has had nothing to do, in tenths of a percent; `None` before the first tick.
    fn idle_permille(&self) -> Option<u64> {
        (self.idle_ticks * 1000).checked_div(self.ticks)
    }
}

/// The line above those of the CPUs. Displays as that.
#[derive(Clone, Copy, Debug)]
pub struct Heading;

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "CPU  APIC  state    waiting  interrupts       ticks     idle  forgot  task"
        )
    }
}

impl fmt::Display for CpuFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            waiting,
            interrupts,
            ticks,
            forgotten,
            ..
        } = self;
        write!(f, "{cpu:>3}  ")?;
        match self.apic_id {
            Some(id) => write!(f, "{id:>4}")?,
            None => write!(f, "{:>4}", "-")?,
        }
        let state = if self.task.is_some() {
            "running"
        } else {
            "idle"
        };
        write!(
            f,
            "  {state:<7}  {waiting:>7}  {interrupts:>10}  {ticks:>10}"
        )?;
        match self.idle_permille() {
            Some(permille) => write!(f, "  {:>3}.{} %", permille / 10, permille % 10)?,
            None => write!(f, "  {:>7}", "-")?,
        }
        match self.task {
            Some(task) => writeln!(f, "  {forgotten:>6}  {task}"),
            None => writeln!(f, "  {forgotten:>6}  -"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// A CPU that has ticked so often.
    fn facts(ticks: u64, idle_ticks: u64, task: Option<&str>) -> CpuFacts {
        CpuFacts {
            cpu: 3,
            apic_id: Some(6),
            task: task.map(StackName::new),
            waiting: 2,
            interrupts: 1234,
            ticks,
            idle_ticks,
            forgotten: 17,
        }
    }

    #[test]
    fn lines_are_aligned_with_the_heading() {
        let running = facts(1000, 123, Some("worker")).to_string();
        assert_eq!(
            running,
            "  3     6  running        2        1234        1000   12.3 %      17  worker\n"
        );
        let heading = Heading.to_string();
        let column = |line: &str, text: &str| line.find(text).map(|at| at + text.len());
        assert_eq!(column(&heading, "interrupts"), column(&running, "1234"));
        assert_eq!(column(&heading, "ticks"), column(&running, "1000"));
        assert_eq!(column(&heading, "idle"), column(&running, "12.3 %"));
        assert_eq!(column(&heading, "forgot"), column(&running, "17"));
        assert_eq!(heading.find("task"), running.find("worker"));
        assert_eq!(heading.find("state"), running.find("running"));
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let fresh = CpuFacts {
            apic_id: None,
            ..facts(0, 0, None)
        };
        assert_eq!(
            fresh.to_string(),
            "  3     -  idle           2        1234           0        -      17  -\n"
        );
        assert!(facts(3, 3, None).to_string().contains("  100.0 %  "));
    }
}
