//! Tests of the commands that allocate by hand, and look at addresses.

use alloc::string::String;
use alloc::vec::Vec;

use kernel::boot;
use kernel::memory::heap_source::HEAP;
use kernel::memory::physical;

use super::super::heap::free_frames_trimmed;
use super::{assert_outputs, assert_takes_nothing, output, run, session};

pub(super) fn alloc() {
    let live = HEAP.statistics().live();
    assert_outputs(&[
        (
            "alloc 4K",
            "#1: 4096 bytes at 0xffff8",
            ", aligned to 16: the start of a live 4096-byte chunk\n",
        ),
        (
            "alloc 100 4K",
            "#2: 100 bytes at 0xffff8",
            "000, aligned to 4096: the start of a live 4096-byte chunk\n",
        ),
        (
            "alloc 0x100000",
            "#3: 1048576 bytes at ",
            "the start of a live 1048576-byte region\n",
        ),
        (
            "alloc 1000G",
            "There is no memory for 1000.0 GiB, aligned to 16 B; without an alignment, the largest allocation that",
            "\n",
        ),
        (
            "alloc 1",
            "#4: 1 bytes at ",
            ": the start of a live 16-byte chunk\n",
        ),
        (
            "alloc",
            "This command needs a size, such as `alloc 4K`. ",
            "Usage: alloc SIZE [ALIGN]\n",
        ),
        (
            "alloc 4X",
            "`4X` is not a size; type a number of bytes such as 100, 0x40, 4K, 2M or 1G. ",
            "\n",
        ),
        (
            "alloc 4 3",
            "`3` is not an alignment; type a power of two such as 16, 4K or 2M. ",
            "\n",
        ),
        ("alloc 0", "`0` is not a size that can be allocated; ", "\n"),
        (
            "alloc 0xffffffffffffffff",
            "`0xffffffffffffffff` is not a size that can be allocated; ",
            "\n",
        ),
        (
            "alloc 1 2 3",
            "There is nothing to be done with `3`; leave it out. ",
            "\n",
        ),
    ]);
    assert_eq!(
        HEAP.statistics().live(),
        live,
        "a session frees what it has"
    );
    let mut session = session();
    for _ in 0..256 {
        run(&mut session, "alloc 16");
    }
    assert_eq!(
        run(&mut session, "alloc 16"),
        "There are 256 allocations already, and no more are kept; `free` some of them.\n"
    );
}

pub(super) fn free() {
    assert_outputs(&[
        (
            "free 1",
            "There is no allocation #1; `alloc` makes one.",
            "\n",
        ),
        ("alloc 100", "#1: ", "\n"),
        ("alloc 1K", "#2: ", "\n"),
        ("alloc 2K", "#3: ", "\n"),
        ("free 1", "#1 is freed: 100 bytes at 0xffff8", "\n"),
        (
            "free #1",
            "There is no allocation #1; there are 2, from #2 to #3.",
            "\n",
        ),
        ("free all", "Freed: 2 allocations, 3.0 KiB.", "\n"),
        ("free all", "Freed: 0 allocations, 0 B.", "\n"),
        ("alloc 1", "#4: ", "\n"),
        (
            "free",
            "This command needs the number of an allocation, such as `free 3`, or `free all`. ",
            "\n",
        ),
        (
            "free x",
            "`x` is not an allocation; type the number that `alloc` gave, or `all`. ",
            "\n",
        ),
    ]);
}

pub(super) fn oom() {
    let (frames, live) = (free_frames_trimmed(), HEAP.statistics().live());
    let oom = output("oom");
    let lines: Vec<&str> = oom.lines().collect();
    assert!(lines[0].starts_with("Before: "), "{oom}");
    for line in &lines[1..4] {
        assert!(line.ends_with(", and then null"), "{oom}");
    }
    assert!(
        lines[4].starts_with("Taken: ")
            && lines[5].starts_with("A vector that asks for 1 MiB more is told: "),
        "{oom}"
    );
    let free_frames = |line: &str| line.split(' ').nth(1).map(String::from);
    assert_eq!(free_frames(lines[0]), free_frames(lines[6]), "{oom}");
    assert!(
        lines[6].ends_with(" frames are free, and the kernel goes on."),
        "{oom}"
    );
    drop(lines);
    drop(oom);
    assert_eq!(
        (free_frames_trimmed(), HEAP.statistics().live()),
        (frames, live)
    );
    assert_takes_nothing("oom");
}

pub(super) fn what() {
    let mut session = session();
    run(&mut session, "alloc 1000");
    let what = run(&mut session, "what 1");
    for part in [
        ": the start of a live 1024-byte chunk at 0xffff8",
        ", class 1024, page ",
        ", chunk 0 of the stack at 0xffff8",
        "\nIt is mapped to the physical address 0x",
    ] {
        assert!(what.contains(part), "{part} in {what}");
    }
    let on_stack = 0_u8;
    let stack = core::ptr::addr_of!(on_stack).addr();
    let image = boot::IMAGE_BASE + 0x1000;
    let function = (peek as fn() as *const ()).addr();
    let frame = physical::with_frames(|frames| frames.allocate_frame()).expect("there are frames");
    assert_eq!(
        physical::with_frames(|frames| frames.free_frame(frame)),
        Ok(())
    );
    let free = physical::frame_pointer(frame).addr();
    for (address, place, mapping) in [
        (
            stack as u64,
            " on the call stack `boot`\nIt is mapped ",
            ", writable.\n",
        ),
        (image, "in the kernel's code and constants\n", "\n"),
        (
            function as u64,
            "in the kernel's code and constants\n",
            ", executable.\n",
        ),
        (free.get() as u64, ", which is free\n", ", writable.\n"),
        (0x10, ": next to address 0\nIt is not mapped.\n", "\n"),
        (
            0x1234 << 48,
            ": not an address: in neither half of the address space\nIt is not mapped.\n",
            "\n",
        ),
    ] {
        let output = run(&mut session, &alloc::format!("what {address:#x}"));
        assert!(
            output.contains(place) && output.ends_with(mapping),
            "{output}"
        );
    }
    assert_outputs(&[
        (
            "what",
            "This command needs an address or the number of an allocation, such as `what 3`.",
            "\n",
        ),
        (
            "what 9",
            "There is no allocation #9; `alloc` makes one.",
            "\n",
        ),
        (
            "what up",
            "`up` is not an address or an allocation; type an address such as 0xffff",
            "\n",
        ),
    ]);
}

pub(super) fn peek() {
    static TEXT: [u8; 20] = *b"stack_alloc\0\xff in RAM";
    let address = TEXT.as_ptr().addr();
    let output = output(&alloc::format!("peek {address:#x} 20"));
    let rows: Vec<&str> = output.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "+000   73 74 61 63 6b 5f 61 6c  6c 6f 63 00 ff 20 69 6e  |stack_alloc.. in|",
            "+010   20 52 41 4d                                       | RAM|",
        ]
    );
    let device = kernel::memory::PHYSICAL_MEMORY_BASE + 0xfee0_0000;
    let device = alloc::format!("peek {device:#x}");
    assert_outputs(&[
        ("alloc 100", "#1: ", "\n"),
        ("peek 1", "64 bytes at 0xffff8", "|\n"),
        ("peek 1 1", "1 bytes at 0xffff8", "|\n"),
        (
            "peek 0x10",
            "64 bytes at 0x0000000000000010: next to address 0\n",
            "\n0x0000000000000010 is not mapped.\n",
        ),
        (
            &device,
            "64 bytes at 0xffff8000fee00000: ",
            " is mapped, but to no memory: looking at a device may change it.\n",
        ),
        (
            "peek 0xfffffffffffffffc",
            "64 bytes at ",
            " is not mapped.\n",
        ),
        (
            "peek 1 4097",
            "`4097` is not a number of bytes that can be shown; type one from 1 to 4096. ",
            "\n",
        ),
        (
            "peek",
            "This command needs an address or the number of an allocation, such as `peek 3`. ",
            "\n",
        ),
        (
            "peek 2",
            "There is no allocation #2; there are 1, from #1 to #1.",
            "\n",
        ),
        (
            "peek 1 2 3",
            "There is nothing to be done with `3`; leave it out. ",
            "\n",
        ),
    ]);
}
