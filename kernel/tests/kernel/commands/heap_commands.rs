//! Tests of the commands about the heap.

use alloc::vec::Vec;

use kernel::memory::heap_source::HEAP;
use kernel::{console, cpu};

use super::{assert_outputs, assert_takes_nothing, output, run, session};

pub(super) fn heap() {
    let output = output("heap");
    assert!(
        output.starts_with("chunk size   stacks  chunks used    of total  use %"),
        "{output}"
    );
    assert!(
        output.ends_with("\ncheck: every invariant of the heap holds.\n"),
        "{output}"
    );
}

pub(super) fn heap_classes() {
    let classes = output("slabinfo");
    let head = "chunk size   stacks  chunks used    of total  use %        used  ";
    assert!(classes.starts_with(head), "{classes}");
    // The session lives in the heap.
    assert!(classes.lines().count() > 2, "{classes}");
    assert_takes_nothing("heap classes");
}

pub(super) fn heap_map() {
    let mut session = session();
    run(&mut session, "alloc 20000");
    run(&mut session, "alloc 1M");
    let map = run(&mut session, "heap map");
    assert!(map.starts_with("block 0xffff8"), "{map}");
    let first = map.lines().nth(1).expect("the pages of the first block");
    assert!(first.starts_with('#') && first.len() == 64, "{first}");
    assert!(map.contains("[===="), "a run of five pages: {map}");
    assert!(
        map.contains("\nregion 0xffff8") && map.contains(": 1.0 MiB\n"),
        "{map}"
    );
    assert!(map.contains("\nPages: # the heap's own, "), "{map}");
    let details = run(&mut session, "heap map 1");
    assert!(
        details.starts_with("address             pages  holds\n0xffff8"),
        "{details}"
    );
    assert!(
        details.contains("      5  one allocation of 20.0 KiB\n"),
        "{details}"
    );
    let region = run(&mut session, "heap map 2");
    assert!(
        region.starts_with("No block of the heap has the address 0xffff8"),
        "{region}"
    );
    assert_eq!(
        run(&mut session, "heap map 7"),
        "There is no allocation #7; there are 2, from #1 to #2.\n"
    );
    assert!(
        run(&mut session, "heap map x").starts_with("`x` is not an address or an allocation; ")
    );
}

pub(super) fn heap_top() {
    let mut session = session();
    run(&mut session, "alloc 8M");
    run(&mut session, "alloc 4M");
    let top = run(&mut session, "heap top");
    let lines: Vec<&str> = top.lines().collect();
    assert!(lines[0].starts_with("sizes "), "{top}");
    assert!(
        lines[1].starts_with("regions ") && lines[1].contains(" 12.0 MiB"),
        "{top}"
    );
    let objects = lines
        .iter()
        .position(|line| line.starts_with("objects "))
        .expect("a second table");
    assert!(
        lines[objects + 1].ends_with("      8.0 MiB   region"),
        "{top}"
    );
    assert!(
        lines[objects + 2].ends_with("      4.0 MiB   region"),
        "{top}"
    );
    assert_takes_nothing("heap top");
}

pub(super) fn heap_check() {
    let check = output("heap check");
    assert!(
        check.starts_with("check: every invariant of the heap holds.\nIt walked over "),
        "{check}"
    );
    assert_takes_nothing("heap check");
}

pub(super) fn heap_watch() {
    let watch = output("heap watch 1");
    let lines: Vec<&str> = watch.lines().collect();
    assert_eq!(
        lines[0],
        "   asked for        used        held   objects   allocations/s       frees/s"
    );
    assert_eq!(
        (lines.len(), lines[1].len()),
        (2, lines[0].len()),
        "{watch}"
    );
    // A key that says no more than to stop, and one that is kept.
    console::unread_byte(b'q');
    assert_eq!(output("heap watch 3600").lines().count(), 1);
    console::unread_byte(b'x');
    assert_eq!(output("heap watch 3600").lines().count(), 1);
    assert_eq!(console::try_read_byte(), Some(b'x'));
    assert_outputs(&[
        (
            "heap watch",
            "This command needs a number of seconds",
            "Usage: heap watch SECONDS\n",
        ),
        (
            "heap watch 0",
            "`0` is not a number of seconds; type one from 1 to 3600.",
            "\n",
        ),
        (
            "heap watch 1 2",
            "There is nothing to be done with `2`; leave it out.",
            "\n",
        ),
    ]);
}

pub(super) fn heap_peak() {
    let peak = output("heap peak");
    let lines: Vec<&str> = peak.lines().collect();
    assert_eq!(lines[0], "since the start        now        peak");
    assert!(
        lines[1].starts_with("asked for ") && lines[2].starts_with("held "),
        "{peak}"
    );
    assert_takes_nothing("heap peak");
}

pub(super) fn heap_cpus() {
    let cpus = output("heap cpus");
    let lines: Vec<&str> = cpus.lines().collect();
    assert_eq!(
        lines[0],
        "CPU   allocations         frees    of these crossed  blocks        held"
    );
    assert_eq!(lines.len(), 1 + cpu::count(), "{cpus}");
    for (number, line) in lines[1..].iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0].parse(), Ok(number), "{cpus}");
        assert!(
            words[1..4].iter().all(|word| word.parse::<u64>().is_ok()),
            "{cpus}"
        );
    }
    assert_takes_nothing("heap cpus");
}

pub(super) fn heap_trim() {
    // Four blocks: so many are kept when nothing is in them any more.
    let objects: Vec<Vec<u8>> = (0..4).map(|_| Vec::with_capacity(200 << 10)).collect();
    drop(objects);
    let held = HEAP.statistics().bytes_held;
    let trim = output("heap trim");
    assert!(
        trim.starts_with("held: ") && trim.ends_with(" now.\n"),
        "{trim}"
    );
    assert!(HEAP.statistics().bytes_held < held, "{trim}");
    assert_takes_nothing("heap trim");
}
