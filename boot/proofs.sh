#!/usr/bin/env bash
# Runs the heap's tests where more is seen than a plain run sees. Called by the Makefile and by boot/test.sh, with the
# toolchain of the set-up first on PATH.
#
#   boot/proofs.sh asan       under the address sanitizer: every read and write of the tests is one of live memory
#   boot/proofs.sh tsan       those with threads under the thread sanitizer: whatever two threads touch is in an order, or atomic
#   boot/proofs.sh valgrind   a part of them under valgrind: nothing uninitialised is used to decide or to address
#   boot/proofs.sh miri       a part of them in Miri: no undefined behaviour, and every pointer keeps its provenance
#   boot/proofs.sh loom       models of what CPUs do to each other, in every order of events that loom knows in which threads
#                             are interrupted by others at most LOOM_MAX_PREEMPTIONS times: 3, unless set
#   boot/proofs.sh msrv       the library, built by the oldest Rust that it promises to build with
#   boot/proofs.sh features   the library and its unit tests with every feature alone, all tests with all of them
#
# What cannot run here says `skipped: why`, which is no failure, and which boot/src/tally.rs counts.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
host=x86_64-unknown-linux-gnu
oldest=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/heap/Cargo.toml")

# What stands between `cargo` and `test`: `miri`, or nothing.
under=

skip() { printf 'skipped: %s\n' "$*"; }

# heap_test FOLDER ARGUMENT…: `cargo test` for the heap, built in a folder of its own, since flags differ. Called from
# outside, because .cargo/config.toml is about the kernel's target.
heap_test() (
    cd / && CARGO_TARGET_DIR=$root/$1 \
        cargo $under test --manifest-path "$root/Cargo.toml" --package stack_alloc "${@:2}"
)

asan() {
    local library
    library=$(rustc --print sysroot)/lib/rustlib/$host/lib
    if ! compgen -G "$library/librustc*_rt.asan.a" >/dev/null; then
        skip "this Rust comes without the address sanitizer; rustup's nightly has it"
        return
    fi
    # Programs that get our `malloc` cannot have the sanitizer's at the same time; the README's test reads files alone.
    local tests=() name
    while IFS= read -r name; do
        tests+=(--test "$name")
    done < <(cd heap/tests && printf '%s\n' *.rs | sed 's,\.rs$,,' | grep -vxE 'real_programs|readme')
    # A test asks the host for more than there can be, and expects null. Some leak memory that a heap is to have for ever;
    # what the heap loses they count themselves.
    ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 RUSTFLAGS=-Zsanitizer=address \
        heap_test target/asan --target "$host" --all-features --no-fail-fast --lib "${tests[@]}"
}

# The standard library is built for it too: its locks would order nothing otherwise.
tsan() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    if ! compgen -G "$sysroot/lib/rustlib/$host/lib/librustc*_rt.tsan.a" >/dev/null; then
        skip "this Rust comes without the thread sanitizer; rustup's nightly has it"
        return
    fi
    # One way to panic for all, or the library is there twice.
    RUSTFLAGS='-Zsanitizer=thread --cfg tsan' CARGO_PROFILE_DEV_PANIC=unwind \
        heap_test target/tsan -Zbuild-std --target "$host" --no-fail-fast \
        --test sharded_threads --test cache_threads --test global
}

# The tests that are quick there: the unit tests have next to no memory, random programs have all kinds of it.
valgrind() {
    boot/setup.sh tool valgrind || { skip "no valgrind"; return; }
    PROPTEST_CASES=32 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind --quiet --error-exitcode=99' \
        heap_test target/valgrind --test shadow --test fuzz_corpus --test misuse --test in_place --test lying_sources \
        --test sources --test reserve --test shrinkers --test fixed_heap
}

# Modules that forbid unsafe code have nothing that Miri could find. Of the others, the tests are left out that take a good
# part of a minute each. Random programs, short ones here, do what those do and more.
miri() {
    boot/setup.sh tool miri || { skip "no Miri, which is a component of rustup's nightly"; return; }
    local safe=() file failed=0
    while IFS= read -r file; do
        safe+=(--skip "$(sed 's,^heap/src/,,; s,\.rs$,,; s,/,::,g' <<<"$file")::tests::")
    done < <(grep -rlF '#![forbid(unsafe_code)]' heap/src)
    # Files and the clock are what proptest and the tests want of the machine; for leaks, see above.
    under=miri
    export MIRIFLAGS='-Zmiri-strict-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks' PROPTEST_CASES=1
    heap_test target/miri --lib -- "${safe[@]}" || failed=1
    heap_test target/miri --test shadow --test in_place --test sources --test fallback --test shrinkers -- \
        --skip contents_and_alignment_come_along --skip every_alignment_is_kept --skip a_run_grows_into \
        --skip less_than_a_page_adds_up || failed=1
    # Threads on many shards: Miri sees data races. They take a minute or two more, so `make test` leaves them out.
    [ -n "${MIRI_WITHOUT_THREADS:-}" ] || heap_test target/miri --test sharded_shadow --test sharded_threads -- \
        any_bytes_are each_thread_has nobody_starves || failed=1
    return "$failed"
}

# The models come with the library's atomics and locks replaced, so the other tests cannot run there. Optimised: one order
# after another is tried, up to hundreds of thousands.
loom() {
    local failed=0
    export RUSTFLAGS='--cfg loom' CARGO_PROFILE_DEV_OPT_LEVEL=3 LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
    printf '=== loom: at most %s preemptions\n' "$LOOM_MAX_PREEMPTIONS"
    heap_test target/loom --lib -- loom_tests || failed=1
    heap_test target/loom --test loom || failed=1
    # Once more, also with every moment at which a lock that is only tried may be taken: one less, for it takes a hundred times as long.
    LOOM_MAX_PREEMPTIONS=$((LOOM_MAX_PREEMPTIONS - 1))
    printf '=== loom: locks that are tried, at most %s preemptions\n' "$LOOM_MAX_PREEMPTIONS"
    LOOM_TRIED_LOCKS=1 heap_test target/loom --test loom || failed=1
    return "$failed"
}

# The names under [features], without those of optional dependencies, of which there are none.
feature_names() {
    awk '/^\[/ { inside = ($0 == "[features]") } inside && /^[a-z_]+ *=/ { sub(/ *=.*/, ""); print }' heap/Cargo.toml
}

# Not its tests: what those depend on asks for a newer Rust. The number of builds is said as a test run would.
msrv() {
    boot/setup.sh tool oldest-rust || { skip "no Rust $oldest, and none to be had"; return; }
    local folder name built=0 failed=0
    folder=$(cat target/setup/oldest-rust)
    for name in "" $(feature_names); do
        # This one needs a nightly.
        if [ "$name" = allocator_api ]; then continue; fi
        printf '=== msrv: Rust %s, features: %s\n' "$oldest" "${name:-none}"
        # The folder's own cargo where it has one; else the newer one drives the old compiler.
        if (cd / && PATH=$folder:$PATH RUSTC=$folder/rustc CARGO_TARGET_DIR=$root/target/msrv cargo build \
            --manifest-path "$root/Cargo.toml" --package stack_alloc --lib --features "$name"); then
            built=$((built + 1))
        else
            failed=$((failed + 1))
        fi
    done
    printf 'test result: %s. %d passed; %d failed\n' "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" "$built" "$failed"
    return "$((failed > 0))"
}

# In the folder of the plain tests: what is built there already serves here too.
features() {
    local name failed=0
    for name in "" $(feature_names); do
        printf '=== features: %s\n' "${name:-none}"
        heap_test target --no-default-features --features "$name" --lib || failed=1
    done
    if [ -n "$(feature_names)" ]; then
        printf '=== features: all\n'
        heap_test target --all-features --lib --tests || failed=1
    fi
    return "$failed"
}

cd "$root" || exit 2
case ${1:-} in
    asan | tsan | valgrind | miri | loom | msrv | features) "$1" ;;
    *)
        echo "proofs: write \`boot/proofs.sh asan\`, \`tsan\`, \`valgrind\`, \`miri\`, \`loom\`, \`msrv\` or \`features\`" >&2
        exit 2
        ;;
esac
