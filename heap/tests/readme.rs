//! The README's promises: every feature in its table names tests, and each of them exists.
//!
//! The table is the one whose last column is headed `test`. A cell of that column holds one or more of `` `file::name` ``
//! in backquotes: the file that the test is in, seen from this crate's folder, without `.rs`, and the test's function.

use std::fs;
use std::path::Path;

/// Returns the last cell of each line of the tables whose last column is headed `test`, without the heads.
fn test_cells(readme: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut is_feature_table = false;
    let mut lines = readme.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(cell) = last_cell(line) else {
            is_feature_table = false;
            continue;
        };
        let is_rule = |line: &&str| line.starts_with("|-") || line.starts_with("|:");
        if lines.peek().is_some_and(is_rule) {
            lines.next();
            is_feature_table = cell == "test";
        } else if is_feature_table {
            cells.push(cell);
        }
    }
    cells
}

/// Returns the last cell of a table's line, `None` for other lines.
fn last_cell(line: &str) -> Option<&str> {
    let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    cells.rsplit('|').next().map(str::trim)
}

/// Returns file and function of every test that a cell names.
fn tests_in(cell: &str) -> Vec<(&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.rsplit_once("::")).collect()
}

/// Returns whether `source` has a test of that name: one that is listed for every kind of heap, or a function below the attribute
/// that makes it one.
fn has_test(source: &str, name: &str) -> bool {
    is_listed(source, name) || is_marked(source, name)
}

/// Returns whether `on_every_heap!` makes a test of that name, each in a line of its own.
fn is_listed(source: &str, name: &str) -> bool {
    let mut lists = source.split("on_every_heap! {").skip(1);
    lists.any(|list| {
        let lines = list.lines().take_while(|line| *line != "}");
        lines
            .into_iter()
            .any(|line| line.trim() == format!("{name},"))
    })
}

/// Returns whether `source` has a function of that name below the attribute that makes it a test.
fn is_marked(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let functions = (0..lines.len()).filter(|number| lines[*number].starts_with(&head));
    functions.into_iter().any(|number| {
        let above = lines[..number].iter().rev();
        above
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .any(|line| *line == "#[test]")
    })
}

/// Returns what is wrong with the table, as sentences. `source` answers with the text of a file.
fn faults(readme: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for cell in test_cells(readme) {
        let tests = tests_in(cell);
        if tests.is_empty() {
            faults.push(format!("no `file::name` of a test in: {cell}"));
        }
        for (file, name) in tests {
            match source(file) {
                None => faults.push(format!("no file {file}.rs, which `{file}::{name}` names")),
                Some(text) if !has_test(&text, name) => {
                    faults.push(format!("no test {name} in {file}.rs"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}

#[test]
fn every_feature_names_tests_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = |file: &str| fs::read_to_string(folder.join(format!("{file}.rs"))).ok();
    let readme = fs::read_to_string(folder.join("README.md")).expect("there is a README");
    assert_eq!(faults(&readme, source), Vec::<String>::new());
}

/// A README with a table of features and others around it.
const EXAMPLE: &str = "
| cost | under the lock |
|---|---|
| constant | all of it |

| feature | limit | test |
|:--|---|---|
| gives back | `trim` | `tests/give_back::goes_back`, `tests/shadow::random` |
| checks | none | `src/bitmap/tests::words` |
Text behind it.
| not | a table |
";

/// The source of every file that [`EXAMPLE`] names.
const SOURCE: &str = "
#[test]
fn goes_back() {}

proptest! {
    #[test]
    #[ignore = \"slow\"]
    fn random(word in any::<u64>()) {}
}

/// Says what it does.
fn helper() {}

#[test]
// Why.
fn words() {}
";

#[test]
fn names_are_read_from_the_last_column_of_the_feature_table() {
    let cells = test_cells(EXAMPLE);
    let names: Vec<_> = cells.into_iter().flat_map(tests_in).collect();
    assert_eq!(
        names,
        [
            ("tests/give_back", "goes_back"),
            ("tests/shadow", "random"),
            ("src/bitmap/tests", "words"),
        ]
    );
}

#[test]
fn a_table_of_tests_that_exist_has_no_fault() {
    let faults = faults(EXAMPLE, |_| Some(SOURCE.to_owned()));
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_name_that_no_test_has_is_a_fault() {
    for wrong in ["go_back", "helper", "word", ""] {
        let readme = EXAMPLE.replace("words", wrong);
        let faults = faults(&readme, |_| Some(SOURCE.to_owned()));
        assert_eq!(faults, [format!("no test {wrong} in src/bitmap/tests.rs")]);
    }
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let faults = faults(EXAMPLE, |file| {
        (file != "tests/shadow").then(|| SOURCE.to_owned())
    });
    assert_eq!(
        faults,
        ["no file tests/shadow.rs, which `tests/shadow::random` names"]
    );
}

#[test]
fn a_feature_without_a_test_is_a_fault() {
    let readme = EXAMPLE.replace("`src/bitmap/tests::words`", "of course");
    let faults = faults(&readme, |_| Some(SOURCE.to_owned()));
    assert_eq!(faults, ["no `file::name` of a test in: of course"]);
}

#[test]
fn a_test_that_runs_on_every_heap_is_one() {
    let source = "fn goes_back<H: Heap>() {}\n\non_every_heap! { Source:\n    goes_back,\n}\n\nfn helper() {}\n";
    assert!(has_test(source, "goes_back"));
    assert!(!has_test(source, "helper") && !has_test(source, "goes"));
}
