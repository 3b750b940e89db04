//! How numbers read.

use std::format;

use super::{Bytes, percent};

#[test]
fn bytes_read_in_the_unit_that_suits_them() {
    assert_eq!(format!("{}", Bytes(0)), "0 B");
    assert_eq!(format!("{}", Bytes(1023)), "1023 B");
    assert_eq!(format!("{}", Bytes(1536)), "1.5 KiB");
    assert_eq!(format!("{}", Bytes(1 << 20)), "1.0 MiB");
    assert_eq!(format!("{}", Bytes(5 << 30)), "5.0 GiB");
    assert_eq!(format!("{}", Bytes(usize::MAX)), "16777215.9 TiB");
}

#[test]
fn bytes_stand_under_each_other() {
    let lines = [0, 1000, 1024, 5 << 20].map(|bytes| format!("{:>12}|", Bytes(bytes)));
    assert_eq!(
        lines,
        [
            "       0 B  |",
            "    1000 B  |",
            "     1.0 KiB|",
            "     5.0 MiB|"
        ]
    );
}

#[test]
fn nothing_of_nothing_is_no_percentage() {
    assert_eq!((percent(1, 2), percent(0, 0), percent(2, 2)), (50, 0, 100));
}
