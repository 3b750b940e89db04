//! How long the heap masks interrupts, in instructions, which are counted exactly: by how much memory there is, and by how
//! many objects are alive.

use super::run_kernel;
use super::session::run;

/// The longest masked sections of one row, by the operation.
type Row = [u64; 3];

/// Reads the rows of the table that `bench masked` prints, such as `1,000 live   4923   17080   5792`.
fn rows(console: &str) -> Vec<(String, Row)> {
    let row = |line: &str| {
        let (number, counts) = line.split_once(" live")?;
        let counts: Option<Vec<u64>> = counts
            .split_whitespace()
            .map(|count| count.parse().ok())
            .collect();
        Some((number.to_owned(), counts?.try_into().ok()?))
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
    let numbers: Vec<&str> = rows.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers, ["100", "1,000", "10,000", "100,000"], "{end:#?}");
    rows
}

#[test]
fn masked_time_grows_neither_with_memory_nor_with_live_objects() {
    let (small, large) = (measured("64M"), measured("512M"));
    for ((number, small), (_, large)) in small.iter().zip(&large) {
        for (small, large) in small.iter().zip(large) {
            // Three times twice the memory. Long runs of free frames are found in a tree that gets a level more each time, which
            // costs a tenth at most in the kernel that checks itself.
            assert!(
                *small > 0 && small.abs_diff(*large) * 10 <= 3 * small,
                "{number} live: {small} in 64 MiB, {large} in 512 MiB"
            );
        }
    }
    for rows in [small, large] {
        let (_, first) = rows[0];
        for (number, row) in &rows {
            for (count, first) in row.iter().zip(first) {
                assert!(*count <= 2 * first, "{number} live: {count} in {rows:?}");
            }
        }
    }
}
