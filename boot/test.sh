#!/usr/bin/env bash
# Runs every test there is, and ends with one line: `N passed, N failed, N skipped`. Called by the Makefile, which has set
# up the toolchain. A failed step does not stop the others. The logs stay in target/test-logs.
#
#   boot/test.sh         everything
#   boot/test.sh host    what needs no kernel
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/target/test-logs
cd "$root" && rm -rf "$logs" && mkdir -p "$logs" || exit 2
steps=()

# step NAME COMMAND…: runs one step; its log says if it failed.
step() {
    local log=$logs/$1.log
    printf '\n=== %s\n' "$1"
    steps+=("$log")
    logged "$@" | tee "$log"
}

# logged NAME COMMAND…: runs one step, and says at the end how long it took, and if it failed.
logged() {
    local start=$SECONDS
    if "${@:2}" 2>&1 </dev/null; then
        printf '=== %s: %d s\n' "$1" $((SECONDS - start))
    else
        printf 'step failed\n=== %s failed after %d s\n' "$1" $((SECONDS - start))
    fi
}

# proofs_beside NAME…: begins to run these one after another, beside what follows; what they say waits in their logs.
proofs_beside() {
    beside=("$@")
    printf '\n=== beside the next steps: %s\n' "$*"
    # A process group of its own, which ends when this script does.
    set -m
    for proof in "$@"; do
        logged "$proof" env MIRI_WITHOUT_THREADS=1 LOOM_MAX_PREEMPTIONS=2 boot/proofs.sh "$proof" >"$logs/$proof.log"
    done &
    set +m
    # shellcheck disable=SC2064 # this very process
    trap "kill -- -$! 2>/dev/null" EXIT
}

# end_proofs: waits for these, and shows what they have said.
end_proofs() {
    printf '\n=== waiting for %s\n' "${beside[*]}"
    wait
    trap - EXIT
    for proof in "${beside[@]}"; do
        printf '\n=== %s\n' "$proof"
        cat "$logs/$proof.log"
        steps+=("$logs/$proof.log")
    done
}

# Cargo for this machine: called from outside, because .cargo/config.toml is about the kernel's target.
host_test() (
    cd / && CARGO_TARGET_DIR="$root/target" cargo test --manifest-path "$root/Cargo.toml" "$@"
)

# The packages of the benchmarks are no members of the workspace. What they compare with is left out.
benches_test() (
    cd / && export CARGO_TARGET_DIR="$root/target/benches" || exit
    cargo test --locked --manifest-path "$root/heap/benches/Cargo.toml" --no-default-features \
        && cargo test --locked --manifest-path "$root/heap/benches/ripgrep/Cargo.toml" --features stack_alloc
)

outcomes_test() {
    cargo build && STACK_ALLOC_KERNEL=$root/target/x86_64-target/debug/kernel \
        host_test --package boot --test outcomes
}

kernel_test() { STACK_ALLOC_BOOT=$1 cargo test -- "${@:2}"; }

# On machines with four CPUs and with two: what needs more than one, and what they have to share; of the tests that want a boot
# each, some. (All tests run there: `make kernel-test SMP=4`.)
smp_test() {
    local own_boots=(fault_on lock_taken nobody_waits calling_others)
    STACK_ALLOC_SMP=4 kernel_test bios smp:: cpus:: tasks:: wandering:: heap:: $(printf -- '--skip %s ' "${own_boots[@]}") \
        && STACK_ALLOC_SMP=2 kernel_test bios smp::all smp::unm wandering:: cpus::a
}

if [ ! -x target/debug/boot ]; then
    echo "The first build makes the boot loader too: two to six minutes, once."
fi
step host-stack_alloc host_test --package stack_alloc
step host-kernel host_test --package kernel_library
step host-boot host_test --package boot
step host-benches benches_test
if [ "${1:-}" != host ]; then
    # Proofs use one CPU most of the time, and so does a kernel in QEMU. (`make loom` goes further, and `make miri` has threads.)
    proofs_beside features msrv asan valgrind miri loom
    # How runs of the runner end, which wants a kernel.
    step outcomes outcomes_test
    # Most tests do not know which firmware was there; booting and the memory map do. Those that end the kernel want a boot each, and
    # UEFI boots faster: a BIOS reads all of the image in small pieces.
    step kernel-uefi kernel_test uefi
    step kernel-bios kernel_test bios boot heap guarded_stacks:: scattered::
    # Neither does it know who interrupts: machines without the old timer, which is what others are measured with, or any APIC.
    step kernel-without-8254 env STACK_ALLOC_QEMUFLAGS='-machine pit=off' cargo test -- boot
    step kernel-without-apic env STACK_ALLOC_QEMUFLAGS='-cpu qemu64,-apic' cargo test -- boot interrupts
    # This one wants all of the machine.
    end_proofs
    step kernel-smp smp_test
    step icount boot/icount.sh check
fi

echo
if ! BOOT_COMMAND=tally boot/runner.sh "${steps[@]}"; then
    if [ ! -x target/debug/boot ]; then
        echo "0 passed, ${#steps[@]} failed"
    fi
    exit 1
fi
