//! How long the heap masks interrupts, in instructions, which are counted exactly: by how much memory there is, and by how
//! many objects are alive; and for what another CPU gives back.

use super::run_kernel;
use super::session::run;

/// The longest masked sections of one row, by the operation.
type Row = [u64; 3];

/// What the rows are about.
const NAMES: [&str; 5] = [
    "100 live",
    "1,000 live",
    "10,000 live",
    "100,000 live",
    "freed by another CPU",
];

/// Reads the rows of the table that `bench masked` prints, such as `1,000 live   4923   17080   5792`.
fn rows(console: &str) -> Vec<(String, Row)> {
    let row = |line: &str| {
        let mut names = NAMES
            .iter()
            .filter_map(|name| Some((*name, line.strip_prefix(name)?)));
        let (name, counts) = names.next()?;
        let counts: Option<Vec<u64>> = counts
            .split_whitespace()
            .map(|count| count.parse().ok())
            .collect();
        Some((name.to_owned(), counts?.try_into().ok()?))
    };
    console.lines().filter_map(row).collect()
}

/// Returns the rows from a machine with so much memory.
fn measured(memory: &str) -> Vec<(String, Row)> {
    let end = run(
        run_kernel(&["--icount", "--mem", memory]),
        "bench masked\nexit\n",
    );
    end.must_be(0, "counting instructions");
    end.must_show("All numbers are instructions, counted exactly.", 1);
    let rows = rows(&end.console);
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, NAMES, "{end:#?}");
    rows
}

#[test]
fn masked_time_grows_neither_with_memory_nor_with_live_objects() {
    let (small, large) = (measured("64M"), measured("512M"));
    for ((name, small), (_, large)) in small.iter().zip(&large) {
        for (small, large) in small.iter().zip(large) {
            // Three times twice the memory. Long runs of free frames are found in a tree that gets a level more each time, which
            // costs a tenth at most in the kernel that checks itself.
            assert!(
                small.abs_diff(*large) * 10 <= 3 * small,
                "{name}: {small} in 64 MiB, {large} in 512 MiB"
            );
        }
    }
    for rows in [small, large] {
        let (_, first) = rows[0];
        assert!(first.iter().all(|count| *count > 0), "{rows:?}");
        for (name, row) in &rows {
            for (count, first) in row.iter().zip(first) {
                assert!(*count <= 2 * first, "{name}: {count} in {rows:?}");
            }
        }
    }
}
