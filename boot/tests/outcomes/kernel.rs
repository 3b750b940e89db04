//! How the kernel itself ends a run.

use super::session::{run, run_with_open_input};
use super::{folder, run_kernel, with_kernel};

#[test]
fn leaving_passes() {
    let end = run(run_kernel(&[]), "exit\n");
    end.must_be(0, "The kernel ended with exit code 0.");
    end.must_show("\nready\n", 1);
}

#[test]
fn code_of_exit_comes_back_and_every_line_of_a_pipe_is_run() {
    let commands: String = (0..40)
        .map(|number| format!("command-{number}\n"))
        .collect();
    let end = run(run_kernel(&[]), &(commands + "exit 42\n"));
    end.must_be(42, "The kernel ended with exit code 42.");
    end.must_show("> command-", 40);
}

#[test]
fn end_of_input_leaves_though_its_last_line_has_no_end() {
    run(run_kernel(&[]), "help").must_be(0, "The kernel ended with exit code 0.");
}

#[test]
fn panic_is_101_and_named_by_file_and_line() {
    let end = run(run_kernel(&[]), "panic\n");
    end.must_be(101, "The kernel panicked; its report is above.");
    end.must_show("panicked at", 1);
    end.must_show("backtrace:", 1);
}

#[test]
fn triple_fault_is_102_behind_a_reboot_too() {
    let end = run(run_kernel(&[]), "reboot\nfault triple\n");
    end.must_be(102, "a triple fault");
    end.must_show("\nready\n", 2);
}

#[test]
fn reboot_starts_again_and_loses_no_line_of_a_pipe() {
    let end = run(run_kernel(&[]), "reboot\nhelp me\nreboot\nexit 7\n");
    end.must_be(7, "The kernel ended with exit code 7.");
    end.must_show("\nready\n", 3);
    end.must_show("help me\n", 1);
}

#[test]
fn machine_without_a_monitor_runs_and_ends_at_a_reboot() {
    // No socket has such a path.
    let long = folder(&"long-".repeat(40));
    let mut command = run_kernel(&[]);
    command.env("TMPDIR", &long);
    let end = run(command, "help\nreboot\nexit 7\n");
    end.must_be(125, "The machine was reset, as the kernel had asked");
    assert!(end.said.contains("TMPDIR"), "{end:#?}");
    end.must_show("exit 7", 0);
}

#[test]
fn kernel_that_goes_on_for_too_long_is_ended() {
    // It is at its prompt by then, or still on the way where this machine is slow.
    let end = run_with_open_input(run_kernel(&["--limit", "4"]));
    end.must_be(124, "Timed out after 4 s of running; QEMU was ended.");
}

#[test]
fn machine_that_never_reaches_the_kernel_is_ended() {
    let end = run(run_kernel(&["--boot-limit", "1", "--qemuflags", "-S"]), "");
    end.must_be(124, "Timed out after 1 s before the kernel's first line");
}

#[test]
fn kernel_without_a_plan_is_a_failed_test_run() {
    let end = run(
        with_kernel("test", &["--boot", "bios", "--test-limit", "1"]),
        "",
    );
    end.must_be(1, "");
    end.must_show("Timed out after 1 s before the first test", 1);
}
