//! What the heap is to reach, and whether it does.
#![forbid(unsafe_code)]

use crate::figures::Figures;
use crate::latency;
use crate::memory::{first_failure, given_back, phases, smallest_arena};
use crate::statistics::geometric_mean;
use crate::table::{Rows, number};
use crate::threads::{self, OVER_MIMALLOC, SPEED_UP};
use crate::timings::OVER_TALC;

/// Which side of a bound is the good one.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// The measured value is to be no more.
    AtMost,
    /// It is to be no less.
    AtLeast,
}

/// One of the targets.
struct Target {
    /// What is measured.
    name: &'static str,
    /// The value of `ours`. `None` if it was not measured.
    measured: fn(&Figures) -> Option<f64>,
    /// Which side is the good one.
    bound: Bound,
    /// What is to be reached.
    reach: f64,
    /// What would be even better.
    aim: f64,
}

/// All that can be measured here: instructions and ripgrep have commands of their own.
const TARGETS: [Target; 20] = [
    at_most(
        "recorded traces, over talc",
        |figures| over_talc(figures, &["traces"]),
        0.75,
        0.62,
    ),
    at_most(
        "LIFO and FIFO pairs, over talc",
        |figures| over_talc(figures, &["lifo", "fifo"]),
        0.60,
        0.50,
    ),
    at_most(
        "bulk shuffled, over talc",
        |figures| over_talc(figures, &["bulk_shuffled"]),
        0.75,
        0.65,
    ),
    at_most("random 10k and 100k live, over talc", random, 0.85, 0.75),
    at_most(
        "Vec, exact growth, over talc",
        |figures| over_talc(figures, &["vec_exact"]),
        0.55,
        0.45,
    ),
    at_most(
        "p99.9 at 100k live, over talc",
        |figures| latency_over_talc(figures, "p99.9"),
        0.60,
        0.50,
    ),
    at_most(
        "max at 100k live, over talc",
        |figures| latency_over_talc(figures, "max"),
        0.80,
        0.60,
    ),
    at_most(
        "max at 100k live, over max at 1k",
        growth_of_max,
        1.50,
        1.50,
    ),
    at_most("smallest arena / peak live, traces", smallest, 1.30, 1.15),
    at_least(
        "live share at first failure: small",
        |figures| failure(figures, "small"),
        0.88,
        0.92,
    ),
    at_least(
        "live share at first failure: mixed",
        |figures| failure(figures, "mixed"),
        0.93,
        0.97,
    ),
    at_least(
        "live share at first failure: page-sized",
        |figures| failure(figures, "page-sized"),
        0.97,
        0.99,
    ),
    at_least("live share after phases", after_phases, 0.55, 0.61),
    at_least(
        "sharded: own objects, two threads over one",
        |figures| sharded(figures, threads::OWN, SPEED_UP),
        1.80,
        1.95,
    ),
    at_most(
        "sharded: producer and consumer, over talc",
        |figures| sharded(figures, threads::PRODUCER_CONSUMER, OVER_TALC),
        0.45,
        0.30,
    ),
    at_most(
        "sharded: producer and consumer, over mimalloc",
        |figures| sharded(figures, threads::PRODUCER_CONSUMER, OVER_MIMALLOC),
        1.30,
        1.00,
    ),
    at_most(
        "sharded: larson, over talc",
        |figures| sharded(figures, threads::LARSON, OVER_TALC),
        0.45,
        0.30,
    ),
    at_most(
        "sharded: larson, over mimalloc",
        |figures| sharded(figures, threads::LARSON, OVER_MIMALLOC),
        1.30,
        1.00,
    ),
    at_least(
        "sharded: live shares, the worst over ours",
        worst_live_share,
        0.90,
        0.97,
    ),
    at_least(
        "sharded: given back, the worst over ours",
        worst_given_back,
        0.90,
        0.97,
    ),
];

/// Names a target that is an upper bound.
const fn at_most(
    name: &'static str,
    measured: fn(&Figures) -> Option<f64>,
    reach: f64,
    aim: f64,
) -> Target {
    Target {
        name,
        measured,
        bound: Bound::AtMost,
        reach,
        aim,
    }
}

/// Names a target that is a lower bound.
const fn at_least(
    name: &'static str,
    measured: fn(&Figures) -> Option<f64>,
    reach: f64,
    aim: f64,
) -> Target {
    Target {
        bound: Bound::AtLeast,
        ..at_most(name, measured, reach, aim)
    }
}

/// Prints the table of targets. What was not measured in this run is left open.
pub fn print(figures: &Figures) {
    let mut table = Rows::new("target", ["measured", "reach", "aim", "result"]);
    for target in &TARGETS {
        let measured = (target.measured)(figures);
        let (sign, result) = (target.bound.sign(), target.result(measured));
        let bounds =
            [target.reach, target.aim].map(|bound| format!("{sign} {}", number(Some(bound))));
        table.add(
            target.name,
            [number(measured)]
                .into_iter()
                .chain(bounds)
                .chain([result.to_owned()]),
        );
    }
    table.note("sharded: two threads, medians of ratios within each round (BENCH_WORKLOADS=threads); and memory with one shard in use.");
    table.note("Times are geometric means of ratios within each round. Ratios are to talc behind the same lock.");
    table.note(
        "Elsewhere: instructions for an operation (`make icount`), ripgrep (`make bench-ripgrep`).",
    );
    table.print("targets");
}

impl Bound {
    /// Returns how it is written.
    const fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
        }
    }

    /// Returns whether `value` is on the good side of `bound`.
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => value <= bound,
            Self::AtLeast => value >= bound,
        }
    }
}

impl Target {
    /// Says how far it was met.
    fn result(&self, measured: Option<f64>) -> &'static str {
        match measured {
            None => "not measured",
            Some(value) if self.bound.holds(value, self.aim) => "aim met",
            Some(value) if self.bound.holds(value, self.reach) => "met",
            Some(_) => "not met",
        }
    }
}

/// Returns the geometric mean of our ratios to talc in all rows of `groups`, none of which may be missing.
fn over_talc(figures: &Figures, groups: &[&str]) -> Option<f64> {
    let mut ratios = Vec::new();
    for group in groups {
        let before = ratios.len();
        ratios.extend(
            figures
                .of(group, "ours", OVER_TALC)
                .map(|figure| figure.value),
        );
        (ratios.len() > before).then_some(())?;
    }
    geometric_mean(&ratios)
}

/// Returns the same of the random mix with many objects.
fn random(figures: &Figures) -> Option<f64> {
    let ratio = |row| figures.get("random", row, "ours", OVER_TALC);
    geometric_mean(&[ratio("10k")?, ratio("100k")?])
}

/// Returns a latency with 100k objects live over talc's.
fn latency_over_talc(figures: &Figures, measure: &str) -> Option<f64> {
    let latency = |contender| figures.get(latency::NAME, "100k", contender, measure);
    Some(latency("ours")? / latency("talc")?)
}

/// Returns how many times the maximum with 1k objects live the one with 100k is.
fn growth_of_max(figures: &Figures) -> Option<f64> {
    let max = |row| figures.get(latency::NAME, row, "ours", "max");
    Some(max("100k")? / max("1k")?)
}

/// Returns the mean over the recorded programs.
fn smallest(figures: &Figures) -> Option<f64> {
    figures.get(smallest_arena::NAME, "mean", "ours", smallest_arena::RATIO)
}

/// Returns the live share at the first failure.
fn failure(figures: &Figures, row: &str) -> Option<f64> {
    figures.get(first_failure::NAME, row, "ours", first_failure::SHARE)
}

/// Returns what was measured of the heap for many processors with two threads.
fn sharded(figures: &Figures, row: &str, measure: &str) -> Option<f64> {
    figures.get(threads::NAME, row, "sharded", measure)
}

/// Returns the least live share of the heap for many processors over that of the one with one lock.
fn worst_live_share(figures: &Figures) -> Option<f64> {
    let failures =
        first_failure::names().map(|row| (first_failure::NAME, row, first_failure::SHARE));
    let phases = (phases::NAME, phases::LAST, phases::SHARE);
    worst_over_ours(figures, failures.chain([phases]))
}

/// Returns the least share that the heap for many processors gives back over that of the one with one lock.
fn worst_given_back(figures: &Figures) -> Option<f64> {
    let rows = given_back::ROWS.into_iter();
    worst_over_ours(
        figures,
        rows.map(|row| (given_back::NAME, row, given_back::SHARE)),
    )
}

/// Returns the least ratio of the heap for many processors to the one with one lock, of questions, rows and measures, none of which
/// may be missing.
fn worst_over_ours<'a>(
    figures: &Figures,
    mut rows: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) -> Option<f64> {
    rows.try_fold(f64::INFINITY, |worst, (question, row, measure)| {
        let figure = |contender| figures.get(question, row, contender, measure);
        Some(worst.min(figure("sharded")? / figure("ours")?))
    })
}

/// Returns the live share at the last failure.
fn after_phases(figures: &Figures) -> Option<f64> {
    figures.get(phases::NAME, phases::LAST, "ours", phases::SHARE)
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, at_least, at_most, over_talc, worst_given_back};
    use crate::figures::Figures;
    use crate::memory::given_back;
    use crate::timings::OVER_TALC;

    #[test]
    fn a_target_is_met_on_its_good_side() {
        let time = at_most("time", |_| None, 0.75, 0.62);
        let results = [0.8, 0.75, 0.62].map(|value| time.result(Some(value)));
        assert_eq!(results, ["not met", "met", "aim met"]);
        assert_eq!(time.result(None), "not measured");
        let share = at_least("share", |_| None, 0.9, 0.95);
        let results = [0.8, 0.92, 0.99].map(|value| share.result(Some(value)));
        assert_eq!(results, ["not met", "met", "aim met"]);
    }

    #[test]
    fn the_worst_of_all_rows_counts() {
        let mut figures = Figures::default();
        let shares = [(0.9, 0.8), (0.8, 0.6), (1.0, 1.0)];
        for (row, (ours, sharded)) in given_back::ROWS.into_iter().zip(shares) {
            assert_eq!(worst_given_back(&figures), None);
            figures.add(given_back::NAME, row, "ours", given_back::SHARE, ours);
            figures.add(given_back::NAME, row, "sharded", given_back::SHARE, sharded);
        }
        let worst = worst_given_back(&figures).expect("all are there");
        assert!((worst - 0.75).abs() < 1e-12, "{worst}");
    }

    #[test]
    fn a_mean_wants_every_group() {
        let mut figures = Figures::default();
        assert!(
            TARGETS
                .iter()
                .all(|target| (target.measured)(&figures).is_none())
        );
        figures.add("lifo", "16", "ours", OVER_TALC, 0.25);
        assert_eq!(over_talc(&figures, &["lifo", "fifo"]), None);
        figures.add("fifo", "16", "ours", OVER_TALC, 1.0);
        let mean = over_talc(&figures, &["lifo", "fifo"]).expect("both are there");
        assert!((mean - 0.5).abs() < 1e-12, "{mean}");
    }
}
