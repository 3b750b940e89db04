//! What becomes of the tests in a kernel. Real ones do not fail, so a shell script plays QEMU and the kernel in it: it
//! writes to the serial console and ends with a status as they would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::session::{End, run};
use super::{folder, with_kernel};

/// The status of a QEMU whose kernel left with code 0, by the rule of the exit port.
pub(crate) const PASSED: &str = "129";
/// The same for a kernel that panicked.
const PANICKED: &str = "35";

/// Makes a program, in the folder `name`, that plays QEMU and a kernel that is `script`. The script finds QEMU's arguments, the
/// kernel's among them, in `$*`.
pub(crate) fn fake_qemu(name: &str, script: &str) -> PathBuf {
    let program = folder(name).join("qemu");
    fs::write(
        &program,
        format!("#!/bin/sh\necho '@image 0x1000'\n{script}\n"),
    )
    .expect("can write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .expect("can make it a program");
    program
}

/// Runs the tests of a kernel that is `script`.
fn tests_of(name: &str, script: &str) -> End {
    let words = ["--boot", "bios", "--test-limit", "1", "--qemu"];
    let mut command = with_kernel("test", &words);
    command.arg(fake_qemu(name, script));
    run(command, "")
}

#[test]
fn passed_tests_are_0() {
    let end = tests_of(
        "passing",
        &format!("printf '@test %s\\n' 'plan a ordinary' 'start a' 'pass a' done; exit {PASSED}"),
    );
    end.must_be(0, "");
    end.must_show("test result: ok. 1 passed; 0 failed;", 1);
}

#[test]
fn failing_crashing_and_hanging_tests_are_told_apart_and_the_rest_is_run() {
    let end = tests_of(
        "failing",
        &format!(
            r#"case "$*" in
*"after hangs"*)
    printf '@test %s\n' 'start passes' 'pass passes' done; exit {PASSED} ;;
*"after crashes"*)
    printf '@test %s\n' 'start hangs'; exec sleep 1000 ;;
*"after fails"*)
    printf '@test %s\n' 'start crashes'; echo 'last words'; exit 0 ;;
*)
    printf '@test plan %s ordinary\n' fails crashes hangs passes
    printf '@test %s\n' 'start fails' 'message x.rs:1:2: not today' 'fail fails'; exit {PANICKED} ;;
esac"#
        ),
    );
    end.must_be(1, "");
    end.must_show("test result: FAILED. 1 passed; 3 failed;", 1);
    end.must_show("---- fails ----\nx.rs:1:2: not today\n", 1);
    end.must_show("---- crashes ----\nThe machine reset itself", 1);
    end.must_show("\nlast words\n", 1);
    end.must_show("---- hangs ----\nTimed out after 1 s in test `hangs`", 1);
    end.must_show("test passes ... ok", 1);
}

#[test]
fn reboot_in_a_test_is_its_failure() {
    let end = tests_of(
        "rebooting",
        "printf '@test %s\\n' 'plan a ordinary' 'start a'; echo @reboot; exit 0",
    );
    end.must_be(1, "");
    end.must_show("The machine was reset, as the kernel had asked", 1);
}

#[test]
fn broken_qemu_ends_a_test_run_with_125() {
    let end = tests_of(
        "broken",
        "printf '@test %s\\n' 'plan a ordinary' 'start a'; echo 'out of luck' >&2; kill -SEGV $$",
    );
    end.must_be(125, "(signal 11). It said: out of luck");
    end.must_show("0 passed; 1 failed;", 1);
}

#[test]
fn kernel_without_tests_is_no_success() {
    tests_of("empty", &format!("echo '@test done'; exit {PASSED}"))
        .must_be(1, "The kernel has no tests");
}
