//! What the kernel's heap costs on each CPU, in instructions, which are counted exactly: by how many CPUs there are.

use super::run_kernel;
use super::session::run;

/// A line of the table that `bench cpus` prints: an allocation and a free of the CPU's own object while the others wait, the
/// same while they work, and a free by the next CPU.
type Row = [u64; 5];

/// Reads the lines of the table, such as `  0   563   873   563   873   1593   623   8080`; with one CPU, the last three are `-`.
fn rows(console: &str) -> Vec<Row> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, costs) = words.split_first().filter(|_| words.len() == 8)?;
        let costs = costs.iter().take(5).map(|cost| match *cost {
            "-" => Some(0),
            cost => cost.parse().ok(),
        });
        costs.collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    let table = console.lines().skip_while(|line| !line.starts_with("CPU "));
    table.skip(1).map_while(row).collect()
}

/// Returns the lines from a machine with so many CPUs.
fn measured(cpus: usize) -> Vec<Row> {
    let end = run(
        run_kernel(&["--icount", "--smp", &cpus.to_string()]),
        "bench cpus\nexit\n",
    );
    end.must_be(0, "counting instructions");
    end.must_show("All numbers are instructions, counted exactly.", 1);
    let rows = rows(&end.console);
    assert_eq!(rows.len(), cpus, "{end:#?}");
    rows
}

/// Requires that numbers are the same, but for 2 %.
#[track_caller]
fn must_be_equal(what: &str, numbers: &[u64]) {
    let first = numbers[0];
    for number in numbers {
        assert!(
            *number > 0 && number.abs_diff(first) * 50 <= first,
            "{what}: {numbers:?}"
        );
    }
}

#[test]
fn costs_do_not_grow_with_the_number_of_cpus() {
    let [one, two, four] = [1, 2, 4].map(measured);
    assert_eq!(one[0][4], 0, "there is no other CPU");
    let all: Vec<Row> = [&one[..], &two, &four].concat();
    let column =
        |rows: &[Row], index: usize| -> Vec<u64> { rows.iter().map(|row| row[index]).collect() };
    let own = |index| [column(&all, index), column(&all, index + 2)].concat();
    must_be_equal("allocations", &own(0));
    must_be_equal("frees", &own(1));
    must_be_equal("frees by the next CPU", &column(&all[1..], 4));
}
