//! Runs that are stopped from outside, and the QEMU that must not be left behind.

use core::time::Duration;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use rustix::process::{Signal, kill_process};

use super::fakes::fake_qemu;
use super::session::{Running, find, run};
use super::{boot, folder, run_kernel};

/// Waits until no QEMU with this name is left.
#[track_caller]
fn wait_until_gone(name: &str) {
    for _ in 0..6000 {
        if find(name).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("QEMU `{name}` has outlived its program by a minute");
}

#[test]
fn interrupt_is_130_and_takes_qemu_along() {
    let running = Running::until_ready(run_kernel(&[]), "interrupted");
    running.qemu();
    running.signal(Signal::INT);
    let (status, name) = running.wait();
    assert_eq!(status.code(), Some(130));
    assert_eq!(find(&name), [], "QEMU must be gone when the program is");
}

#[test]
fn killed_program_takes_qemu_along() {
    let mut command = run_kernel(&[]);
    // Who is killed leaves temporary files behind.
    command.env("TMPDIR", folder("killed"));
    let running = Running::until_ready(command, "killed");
    running.qemu();
    running.signal(Signal::KILL);
    let (status, name) = running.wait();
    assert_eq!(status.signal(), Some(9));
    wait_until_gone(&name);
}

#[test]
fn killed_qemu_is_125() {
    let running = Running::until_ready(run_kernel(&[]), "killed-qemu");
    kill_process(running.qemu(), Signal::KILL).expect("can send a signal");
    assert_eq!(running.wait().0.code(), Some(125));
}

#[test]
fn program_that_stands_for_qemu_is_ended_with_all_that_it_has_started() {
    // It does not become QEMU, but starts it; what it has started holds the pipes.
    let script = "sh -c 'sleep 20; touch \"$0\"' \"$(dirname \"$0\")/lived\"\nexit 3";
    let qemu = fake_qemu("wrapper", script);
    let mut command = run_kernel(&["--limit", "1"]);
    command.arg("--qemu").arg(&qemu);
    run(command, "").must_be(124, "Timed out after 1 s");
    assert!(!qemu.with_file_name("lived").exists());
}

#[test]
fn qemu_that_closes_its_output_and_goes_on_is_ended() {
    let script = "exec >&- 2>&-; sleep 60; touch \"$(dirname \"$0\")/lived\"";
    let qemu = fake_qemu("deaf", script);
    let mut command = run_kernel(&[]);
    command.arg("--qemu").arg(&qemu);
    run(command, "").must_be(125, "did not end within 5 s");
    assert!(!qemu.with_file_name("lived").exists());
}

#[test]
fn program_on_a_leash_runs_for_its_parent_alone() {
    let own = std::process::id().to_string();
    let file = folder("leash").join("made");
    let file = file.to_string_lossy();
    // As if the parent had died, and another one had taken its place.
    let other = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    run(boot(&["leash", &other.to_string(), "touch", &file]), "").must_be(2, "has ended");
    assert!(!std::path::Path::new(&*file).exists());
    run(boot(&["leash", &own, "touch", &file]), "").must_be(0, "");
    assert!(std::path::Path::new(&*file).exists());
}

#[test]
fn closed_output_ends_the_run_and_qemu() {
    use std::io::Write;
    let running = Running::until_ready(run_kernel(&[]), "unread");
    let (mut program, mut input, name) = running.stop_reading();
    // Something must be said for the program to notice.
    input.write_all(b"help\n").expect("can type");
    assert_eq!(program.wait().expect("can wait").code(), Some(141));
    wait_until_gone(&name);
}

#[test]
fn paths_of_images_may_go_unread() {
    let mut command = super::with_kernel("image", &["--boot", "bios"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("can run");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // And where they are read, they are there.
    let end = run(super::with_kernel("image", &["--boot", "bios"]), "");
    assert!(
        std::path::Path::new(end.console.trim()).is_file(),
        "{end:?}"
    );
}
