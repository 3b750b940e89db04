//! Pictures of the screen, and what comes in between.

use super::fakes::fake_qemu;
use super::session::run;
use super::{folder, with_kernel};

#[test]
fn picture_is_a_png_of_the_whole_screen() {
    let output = folder("screenshot").join("new folder").join("screen.png");
    let mut command = with_kernel("screenshot", &["--boot", "uefi"]);
    command
        .arg("--output")
        .arg(&output)
        .args(["--commands", "help;reboot", "frames"]);
    let end = run(command, "");
    end.must_be(0, "1280 x 800 pixels");
    for command in ["help", "reboot", "frames"] {
        assert!(
            end.said.contains(&format!("Typing `{command}`.\n")),
            "{end:#?}"
        );
    }
    let picture = std::fs::read(&output).expect("a file was written");
    assert!(picture.starts_with(b"\x89PNG\r\n"));
    let leftovers = std::fs::read_dir(output.parent().expect("a folder")).expect("can look");
    assert_eq!(leftovers.count(), 1);
}

#[test]
fn kernel_that_leaves_too_early_leaves_no_picture() {
    let output = folder("no-screenshot").join("screen.png");
    for (command, code) in [("exit", 1), ("exit 9", 9)] {
        let words = ["--boot", "bios", "--commands", command, "--output"];
        let mut program = with_kernel("screenshot", &words);
        program.arg(&output);
        run(program, "").must_be(code, "There is no picture.");
        assert!(!output.exists());
    }
}

#[test]
fn machine_that_stands_still_is_given_up() {
    let output = folder("late-screenshot").join("screen.png");
    let words = [
        "--boot",
        "bios",
        "--limit",
        "1",
        "--commands",
        "help",
        "--qemuflags",
        "-S",
        "--output",
    ];
    let mut program = with_kernel("screenshot", &words);
    program.arg(&output);
    run(program, "").must_be(124, "Timed out after 1 s before the kernel's first line");
    assert!(!output.exists());
}

#[test]
fn picture_can_be_taken_of_a_command_at_work() {
    let output = folder("delayed-screenshot").join("screen.png");
    // It would be at work for longer than the run may take.
    let words = ["--commands", "stress 3600 1", "--delay", "1", "--output"];
    let mut program = with_kernel("screenshot", &["--boot", "bios"]);
    program.args(words).arg(&output);
    run(program, "").must_be(0, "Typing `stress 3600 1`.\n");
    assert!(output.exists());
}

#[test]
fn boot_behind_a_reboot_has_its_own_time() {
    let script = "echo ready; printf '> '; read line; sleep 3; echo; echo @reboot; sleep 0.1
        echo '@image 0x1000'; echo ready; printf '> '; exec sleep 1000";
    let output = folder("rebooted-screenshot").join("screen.png");
    let words = [
        "--boot",
        "bios",
        "--boot-limit",
        "3",
        "--commands",
        "reboot",
    ];
    let mut program = with_kernel("screenshot", &words);
    program.arg("--output").arg(&output);
    program
        .arg("--qemu")
        .arg(fake_qemu("rebooting-late", script));
    // A script has no monitor: but that is all that is missing.
    run(program, "").must_be(2, "cannot take a picture of the screen");
}
