//! Tests of the commands that end the kernel with a report.

use kernel::fault::Fault;

use super::{assert_outputs, output};

pub(super) fn panic() {
    output("panic no more tea");
}

pub(super) fn panic_without_a_text() {
    output("panic");
}

pub(super) fn fault() {
    assert_outputs(&[
        (
            "fault",
            "This command needs the name of a fault, such as `fault pf`.",
            "\n",
        ),
        (
            "fault x",
            "`x` is none of the choices; type one of pf, null, code, call, gp, ud, de, df, stack, triple.",
            "\n",
        ),
    ]);
    let help = output("help fault");
    for fault in Fault::ALL {
        let name = alloc::format!("{}: ", fault.name());
        assert!(help.contains(&name), "{name} in {help}");
    }
    output("fault pf");
}

pub(super) fn fault_gp() {
    output("fault gp");
}

pub(super) fn fault_ud() {
    output("fault ud");
}

pub(super) fn fault_df() {
    output("fault df");
}

pub(super) fn fault_stack() {
    output("fault stack");
}
