//! What can be chosen on the command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::Parser;

use crate::contenders::Contender;

/// Measures how fast and how tight the heap is, beside other heaps.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", version = None)]
pub struct Options {
    /// Only these heaps, such as `ours,talc,floor`
    #[arg(long, value_delimiter = ',', value_name = "HEAPS")]
    pub only: Vec<String>,

    /// Only these workloads: groups, or parts of them, such as `lifo,traces/rustc`
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub workloads: Vec<String>,

    /// How often each heap has its turn
    #[arg(long, default_value_t = 7, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,

    /// Fewer sizes, shorter streams: for a first look
    #[arg(long)]
    pub quick: bool,

    /// Where the CSV file and the plots go
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    pub output: PathBuf,

    /// Lists heaps and workloads, and measures nothing
    #[arg(long)]
    pub list: bool,
}

impl Options {
    /// Returns those of `all` that were chosen.
    #[must_use]
    pub fn chosen(&self, all: Vec<Contender>) -> Vec<Contender> {
        let is_chosen = |contender: &Contender| {
            self.only.is_empty() || self.only.iter().any(|name| name == contender.name)
        };
        all.into_iter().filter(is_chosen).collect()
    }

    /// Checks that each heap that was chosen is one of `all`.
    ///
    /// # Errors
    ///
    /// What to say when one is not.
    pub fn check_heaps(&self, all: &[Contender]) -> Result<(), String> {
        for name in &self.only {
            if all.iter().all(|contender| contender.name != name) {
                let names: Vec<_> = all.iter().map(|contender| contender.name).collect();
                return Err(format!(
                    "no heap `{name}` was built in: there are {}",
                    names.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// Returns whether the workload `name` of `group` was chosen.
    #[must_use]
    pub fn is_chosen(&self, group: &str, name: &str) -> bool {
        self.workloads.is_empty()
            || self
                .workloads
                .iter()
                .any(|chosen| is_part(chosen, group, name))
    }

    /// Checks that each choice is one of `names`, which are groups and names in them.
    ///
    /// # Errors
    ///
    /// What to say when one is not.
    pub fn check(&self, names: &[(&str, String)]) -> Result<(), String> {
        for chosen in &self.workloads {
            if !names
                .iter()
                .any(|(group, name)| is_part(chosen, group, name))
            {
                let mut groups: Vec<_> = names.iter().map(|(group, _)| *group).collect();
                groups.dedup();
                return Err(format!(
                    "no workload `{chosen}`: there are {}",
                    groups.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// Returns whether `chosen` means the workload: by its group, or by both.
fn is_part(chosen: &str, group: &str, name: &str) -> bool {
    match chosen.split_once('/') {
        None => chosen == group,
        Some((chosen_group, chosen_name)) => chosen_group == group && chosen_name == name,
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use crate::contenders;
    use clap::Parser;

    /// Returns the options of a command line.
    fn options(line: &str) -> Options {
        Options::parse_from(["bench"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn workloads_are_chosen_by_group_or_name() {
        let chosen = options("--workloads lifo,traces/rustc");
        assert!(chosen.is_chosen("lifo", "16"));
        assert!(chosen.is_chosen("traces", "rustc"));
        assert!(!chosen.is_chosen("traces", "python"));
        assert!(options("").is_chosen("fifo", "16"));
        let names = [("lifo", "16".to_owned()), ("traces", "rustc".to_owned())];
        assert_eq!(chosen.check(&names), Ok(()));
        let error = options("--workloads life").check(&names);
        assert_eq!(
            error,
            Err("no workload `life`: there are lifo, traces".into())
        );
    }

    #[test]
    fn heaps_are_chosen_by_name() {
        let both = options("--only floor,ours");
        assert_eq!(both.check_heaps(&contenders::all()), Ok(()));
        let chosen = both.chosen(contenders::all());
        let names: Vec<_> = chosen.iter().map(|contender| contender.name).collect();
        assert_eq!(names, ["ours", "floor"]);
        let error = options("--only fluor")
            .check_heaps(&contenders::all())
            .expect_err("no such heap");
        assert!(
            error.starts_with("no heap `fluor` was built in: there are ours, "),
            "{error}"
        );
    }
}
