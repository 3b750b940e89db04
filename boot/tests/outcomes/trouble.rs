//! What is in the way of a run: wrong words, missing things.

use super::session::run;
use super::{boot, folder, run_kernel, with_kernel};

#[test]
fn wrong_words_are_2() {
    for (words, said) in [
        (&[][..], "Usage"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["run"], "not provided"),
        (&["run", "kernel", "--mem", "banana"], "such as 256M or 4G"),
        (
            &["run", "kernel", "--boot", "floppy"],
            "[possible values: uefi, bios]",
        ),
        (&["run", "kernel", "--limit", "0"], "1..=86400"),
        (&["screenshot", "kernel", "--gdb"], "GDB=1 is for"),
    ] {
        run(boot(words), "").must_be(2, said);
    }
}

#[test]
fn missing_or_strange_kernel_is_2() {
    run(boot(&["run", "/nowhere/kernel"]), "").must_be(2, "/nowhere/kernel");
    let strange = folder("strange").join("kernel");
    std::fs::write(&strange, "a poem").expect("can write");
    run(boot(&["run", &strange.to_string_lossy()]), "").must_be(2, "error:");
}

#[test]
fn missing_firmware_is_2_and_says_where_to_name_it() {
    let words = ["--boot", "uefi", "--ovmf-code", "/nowhere/OVMF_CODE.fd"];
    for verb in ["run", "test", "screenshot"] {
        run(with_kernel(verb, &words), "").must_be(2, "STACK_ALLOC_OVMF_CODE");
    }
}

#[test]
fn too_little_memory_is_2_and_says_how_much_to_give() {
    for firmware in ["uefi", "bios"] {
        let words = ["--boot", firmware, "--mem", "16M"];
        run(with_kernel("run", &words), "").must_be(2, "MEM=64M");
    }
}

#[test]
fn missing_qemu_is_125_and_says_how_to_get_it() {
    let words = ["--boot", "bios", "--qemu", "no-such-qemu"];
    for verb in ["run", "test", "screenshot"] {
        run(with_kernel(verb, &words), "").must_be(125, "apt-get install qemu-system-x86");
    }
}

#[test]
fn qemu_that_refuses_its_flags_is_125_and_is_quoted() {
    run(run_kernel(&["--qemuflags", "-no-such-flag"]), "")
        .must_be(125, "-no-such-flag: invalid option");
}
