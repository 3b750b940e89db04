#!/usr/bin/env bash
# Counts the instructions that the heap needs for an operation, with callgrind, and compares them with the figures that are
# checked in: heap/benches/icount.csv, which has some for each compiler. Then it does the same with some workloads for the heap
# for many processors, with one thread (icount_sharded.csv), and for that heap where one shard allocates and another one gives
# back (icount_crossing.csv). Called by the Makefile and by boot/test.sh, with the toolchain of the set-up first on PATH.
#
#   boot/icount.sh           prints the table, and fails where a workload needs 2 % more than its figure says
#   boot/icount.sh update    writes the counts down as this compiler's figures
#   boot/icount.sh check     the first, for `make test`: where it cannot compare it says `skipped: why`, and that is no failure
#
# When the four workloads from live-1k to live-1M were counted, they are plotted in target/bench/live_objects_instructions.svg:
# what an operation costs must not grow with the number of live objects.
#
# ICOUNT_HEAPS=floor,talc adds other heaps to the table, ICOUNT_WORKLOADS=lifo-16,regions chooses some workloads: either counts
# for the heap with one lock alone, and ICOUNT_HEAPS=sharded,crossing shows the others beside it. The profiles stay in
# target/icount/profiles, for callgrind_annotate.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is counted: heaps, each with its figures.
figures=(ours=heap/benches/icount.csv)
work=$root/target/benches
arguments=(--folder target/icount/profiles)
features=()

complain() { printf 'icount: %s\n' "$*" >&2; }
skip() { printf 'skipped: %s\n' "$*"; exit 0; }

mode=${1:-table}
case $mode in
    table) ;;
    check) ;;
    update) arguments+=(--update) ;;
    *)
        complain "write \`boot/icount.sh\`, \`boot/icount.sh update\` or \`boot/icount.sh check\`"
        exit 2
        ;;
esac
if [ -n "${ICOUNT_WORKLOADS:-}" ]; then arguments+=(--workloads "$ICOUNT_WORKLOADS"); fi
if [ -n "${ICOUNT_HEAPS:-}" ]; then
    arguments+=(--heaps "$ICOUNT_HEAPS")
    # Figures are about a program in which no heap of others is.
    if grep -qvxE 'ours|sharded|crossing|floor' <<<"${ICOUNT_HEAPS//,/$'\n'}"; then features=(--features peers); fi
elif [ -z "${ICOUNT_WORKLOADS:-}" ]; then
    figures+=(sharded=heap/benches/icount_sharded.csv crossing=heap/benches/icount_crossing.csv)
fi

cd "$root" || exit 2
compiler=$(rustc --version) || exit 2
arguments+=(--compiler "$compiler")
if [ "$mode" = check ] && ! grep -qF "$compiler," "${figures[0]#*=}"; then
    skip "${figures[0]#*=} has no figures of $compiler; \`make icount UPDATE=1\` adds them"
fi
if ! boot/setup.sh tool valgrind; then
    if [ "$mode" = check ]; then skip "no valgrind"; fi
    exit 1
fi

printf 'icount: building with %s\n' "$compiler"
# From outside: the repository's .cargo/config.toml is about the kernel's target.
if ! (cd / && CARGO_TARGET_DIR=$work cargo build --quiet --release --locked --bin icount --no-default-features \
    "${features[@]}" --manifest-path "$root/heap/benches/Cargo.toml"); then
    complain "the program could not be built: see above"
    exit 1
fi
worst=0
for one in "${figures[@]}"; do
    "$work/release/icount" --subject "${one%%=*}" --figures "${one#*=}" "${arguments[@]}"
    status=$?
    if [ "$status" -gt "$worst" ]; then worst=$status; fi
done
exit "$worst"
