//! The numbers of a run, in words. Pure.
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Add;

use crate::counted::Counted;
use crate::cpu::MOST_CPUS;
use crate::tasks::Counts as Turns;

/// What has been done, on one CPU or on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps of the tasks.
    pub steps: u64,
    /// Objects that they allocated.
    pub allocations: u64,
    /// Objects resized.
    pub resizes: u64,
    /// Requests that were answered with null.
    pub nulls: u64,
    /// Objects that one context allocated and another one freed.
    pub exchanged: u64,
    /// Objects that one CPU allocated and another one freed.
    pub crossed: u64,
    /// Runs of interrupt handlers.
    pub handler_runs: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            allocations: self.allocations + other.allocations,
            resizes: self.resizes + other.resizes,
            nulls: self.nulls + other.nulls,
            exchanged: self.exchanged + other.exchanged,
            crossed: self.crossed + other.crossed,
            handler_runs: self.handler_runs + other.handler_runs,
        }
    }
}

/// What a CPU has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfCpu {
    /// In the stress.
    pub counts: Counts,
    /// With its turns, meanwhile.
    pub turns: Turns,
}

/// A run, at its end or in the middle. Displays as a line; [`table`](Self::table) tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Seconds that have passed.
    pub seconds: u64,
    /// What the random streams start from.
    pub seed: u64,
    /// How many tasks.
    pub tasks: usize,
    /// How many CPUs.
    pub cpus: usize,
    /// How often the whole heap was checked.
    pub checks: u64,
    /// What each CPU has done.
    pub of_cpus: [OfCpu; MOST_CPUS],
}

impl Report {
    /// Returns what all CPUs have done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = self.of_cpus.iter().map(|cpu| cpu.counts);
        counts.fold(Counts::default(), Counts::add)
    }

    /// Returns the table of what each CPU has done.
    #[must_use]
    pub const fn table(&self) -> Table<'_> {
        Table(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            seed,
            tasks,
            ..
        } = self;
        let counts = self.counts();
        write!(
            f,
            "{seconds} s, seed {seed}, {tasks} tasks on {}: {} steps, {} allocations, {} resizes, {} exchanged, {} null; \
             {} of handlers; {}",
            Counted(self.cpus, "CPU"),
            counts.steps,
            counts.allocations,
            counts.resizes,
            counts.exchanged,
            counts.nulls,
            Counted(counts.handler_runs, "run"),
            Counted(self.checks, "check")
        )
    }
}

/// What each CPU has done, a line each. Displays as a table.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "cpu       steps  handler runs    freed here  from elsewhere   idle"
        )?;
        for (cpu, of_cpu) in self.0.of_cpus[..self.0.cpus].iter().enumerate() {
            let OfCpu { counts, turns } = of_cpu;
            let idle = turns.idle_ticks * 100 / turns.ticks.max(1);
            writeln!(
                f,
                "{cpu:>3}{:>12}{:>14}{:>14}{:>16}{idle:>5} %",
                counts.steps, counts.handler_runs, counts.crossed, turns.steals
            )?;
        }
        f.write_str(
            "\nfreed here: objects that another CPU had allocated; from elsewhere: turns of tasks that waited for another CPU.",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    /// A report of two CPUs.
    fn report() -> Report {
        let mut of_cpus = [OfCpu::default(); MOST_CPUS];
        of_cpus[0].counts = Counts {
            steps: 7,
            allocations: 6,
            resizes: 5,
            nulls: 4,
            exchanged: 3,
            crossed: 9,
            handler_runs: 2,
        };
        of_cpus[1].counts.steps = 10;
        of_cpus[1].turns = Turns {
            switches: 30,
            steals: 20,
            ticks: 8,
            idle_ticks: 1,
        };
        Report {
            seconds: 20,
            seed: 1,
            tasks: 6,
            cpus: 2,
            checks: 1,
            of_cpus,
        }
    }

    #[test]
    fn a_report_is_one_line() {
        assert_eq!(
            report().to_string(),
            "20 s, seed 1, 6 tasks on 2 CPUs: 17 steps, 6 allocations, 5 resizes, 3 exchanged, 4 null; 2 runs of handlers; 1 check"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_cpu_and_aligned_columns() {
        let text = report().table().to_string();
        let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines.iter().all(|line| line.len() == lines[0].len()),
            "{text}"
        );
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let rows: [String; 2] = [words(lines[1]), words(lines[2])];
        assert_eq!(rows, ["0 7 2 9 0 0 %", "1 10 0 0 20 12 %"]);
    }
}
