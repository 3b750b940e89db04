//! The state machine, fed with made-up consoles.

use core::time::Duration;

use super::{Boot, TestFlow};
use crate::outcome::Outcome;
use crate::serial::{Line, Serial};

/// Plays one boot: the console's text, then the end.
fn play(flow: &mut TestFlow, console: &str, outcome: &Outcome) {
    let mut serial = Serial::default();
    serial.feed(b"@image 0xffff800000000000\n");
    for line in serial.feed(console.as_bytes()) {
        match line {
            Line::Control(control) => flow.control(control),
            Line::Text(text) => flow.text(text),
            Line::Ready | Line::Prompt => {}
        }
    }
    flow.end(outcome);
}

/// The names of the tests that passed, and of those that failed.
fn verdicts(flow: &TestFlow) -> (Vec<&str>, Vec<&str>) {
    let names = |failed: bool| {
        let chosen = flow
            .finished()
            .iter()
            .filter(move |test| test.failure.is_some() == failed);
        chosen.map(|test| test.name.as_str()).collect()
    };
    (names(false), names(true))
}

/// Why the last test failed.
#[track_caller]
fn last_failure(flow: &TestFlow) -> &str {
    flow.finished()
        .last()
        .and_then(|test| test.failure.as_deref())
        .expect("the last test failed")
}

/// The plan of three ordinary tests.
const PLAN: &str = "@test plan a ordinary\n@test plan b ordinary\n@test plan c ordinary\n";
/// The run of a test that passes.
const A: &str = "@test start a\n@test pass a\n";
/// The run of another one.
const B: &str = "@test start b\n@test pass b\n";
/// The run of a third one.
const C: &str = "@test start c\n@test pass c\n";

#[test]
fn ordinary_tests_share_one_boot() {
    let mut flow = TestFlow::new(false);
    assert_eq!(flow.next_boot(), Some(&Boot::Ordinary));
    play(
        &mut flow,
        &format!("{PLAN}{A}{B}{C}@test done\n"),
        &Outcome::Passed,
    );
    assert_eq!(flow.next_boot(), None);
    assert_eq!(verdicts(&flow), (vec!["a", "b", "c"], vec![]));
}

#[test]
fn failed_test_keeps_its_message_and_output() {
    let mut flow = TestFlow::new(false);
    let failing = "@test start b\nhello\n@test message b.rs:1:2: no\n@test fail b\n   0: 0x1\n";
    play(
        &mut flow,
        &format!("{PLAN}{A}{failing}{C}@test done\n"),
        &Outcome::Failed(1),
    );
    assert_eq!(verdicts(&flow), (vec!["a", "c"], vec!["b"]));
    assert_eq!(flow.finished()[1].failure.as_deref(), Some("b.rs:1:2: no"));
    assert_eq!(flow.finished()[1].output, ["hello", "   0: 0x1"]);
}

#[test]
fn flood_of_a_test_keeps_its_end() {
    let mut flow = TestFlow::new(false);
    let flood: String = (0..5 * super::KEPT_LINES)
        .map(|number| format!("line {number}\n"))
        .collect();
    let console = format!("{PLAN}@test start a\n{flood}@test fail a\n{flood}");
    play(&mut flow, &console, &Outcome::Panicked);
    let output = &flow.finished()[0].output;
    assert!((super::KEPT_LINES..2 * super::KEPT_LINES).contains(&output.len()));
    let last = format!("line {}", 5 * super::KEPT_LINES - 1);
    assert_eq!(output.last(), Some(&last));
}

#[test]
fn crash_fails_its_test_and_the_rest_goes_on() {
    for crash in [Outcome::Panicked, Outcome::TripleFault, Outcome::Passed] {
        let mut flow = TestFlow::new(false);
        play(&mut flow, &format!("{PLAN}{A}@test start b\n"), &crash);
        assert_eq!(last_failure(&flow), crash.message());
        assert_eq!(flow.next_boot(), Some(&Boot::After("b".to_owned())));
        play(&mut flow, &format!("{C}@test done\n"), &Outcome::Passed);
        assert_eq!(flow.next_boot(), None);
        assert_eq!(verdicts(&flow), (vec!["a", "c"], vec!["b"]));
    }
}

#[test]
fn kernel_that_reports_its_own_panic_counts_once() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        &format!("{PLAN}@test start a\n@test message x\n@test fail a\n"),
        &Outcome::Panicked,
    );
    assert_eq!(verdicts(&flow), (vec![], vec!["a"]));
    assert_eq!(flow.next_boot(), Some(&Boot::After("a".to_owned())));
}

#[test]
fn time_out_names_the_test() {
    let mut flow = TestFlow::new(false);
    let mut serial = Serial::default();
    serial.feed(b"@image 0x0\n");
    for line in serial.feed(format!("{PLAN}@test start a\n").as_bytes()) {
        if let Line::Control(control) = line {
            flow.control(control);
        }
    }
    assert_eq!(flow.whereabouts(), "in test `a`");
    flow.end(&Outcome::TimedOut {
        limit: Duration::from_secs(60),
        during: flow.whereabouts(),
    });
    assert!(last_failure(&flow).contains("Timed out after 60 s in test `a`"));
    assert_eq!(flow.next_boot(), Some(&Boot::After("a".to_owned())));
}

#[test]
fn isolated_tests_get_a_boot_each() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        "@test plan x isolated\n@test plan a ordinary\n@test plan y isolated\n\
        @test start a\n@test pass a\n@test done\n",
        &Outcome::Passed,
    );
    assert_eq!(flow.next_boot(), Some(&Boot::Isolated("x".to_owned())));
    play(
        &mut flow,
        "@test start x\npanicked\n@test pass x\n@test done\n",
        &Outcome::Panicked,
    );
    assert_eq!(flow.next_boot(), Some(&Boot::Isolated("y".to_owned())));
    play(&mut flow, "@test start y\n", &Outcome::TripleFault);
    assert_eq!(flow.next_boot(), None);
    assert_eq!(verdicts(&flow), (vec!["a", "x"], vec!["y"]));
}

#[test]
fn boot_without_done_fails() {
    let mut flow = TestFlow::new(false);
    play(&mut flow, &format!("{PLAN}{A}{B}{C}"), &Outcome::Passed);
    assert_eq!(verdicts(&flow).1, [TestFlow::NO_TEST]);
    assert!(last_failure(&flow).contains("behind test `c`"));
}

#[test]
fn planned_test_that_never_ran_fails() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        &format!("{PLAN}{A}{C}@test done\n"),
        &Outcome::Passed,
    );
    assert_eq!(verdicts(&flow), (vec!["a", "c"], vec!["b"]));
    assert_eq!(flow.next_boot(), None);
}

#[test]
fn kernel_that_never_starts_a_test_is_not_booted_for_ever() {
    let mut flow = TestFlow::new(false);
    play(&mut flow, PLAN, &Outcome::TripleFault);
    assert_eq!(flow.next_boot(), None);
    assert_eq!(
        verdicts(&flow),
        (vec![], vec![TestFlow::NO_TEST, "a", "b", "c"])
    );
}

#[test]
fn isolated_boot_that_starts_nothing_fails_its_test() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        "@test plan x isolated\n@test done\n",
        &Outcome::Passed,
    );
    play(&mut flow, "@test done\n", &Outcome::Passed);
    assert_eq!(verdicts(&flow), (vec![], vec!["x"]));
    assert_eq!(flow.next_boot(), None);
}

#[test]
fn missing_verdict_is_a_failure() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        &format!("{PLAN}@test start a\n{B}{C}@test done\n"),
        &Outcome::Passed,
    );
    assert_eq!(verdicts(&flow), (vec!["b", "c"], vec!["a"]));
}

#[test]
fn broken_qemu_ends_the_run() {
    let mut flow = TestFlow::new(false);
    play(
        &mut flow,
        &format!("{PLAN}{A}"),
        &Outcome::QemuFailed {
            status: "status 1".to_owned(),
            complaint: String::new(),
        },
    );
    assert_eq!(flow.next_boot(), None);
    assert_eq!(verdicts(&flow).0, ["a"]);
}

#[test]
fn empty_plan_ends_at_once() {
    let mut flow = TestFlow::new(false);
    play(&mut flow, "@test done\n", &Outcome::Passed);
    assert_eq!(flow.next_boot(), None);
    assert_eq!(verdicts(&flow), (vec![], vec![]));
    assert_eq!(flow.planned().len(), 0);
}
