#!/usr/bin/env bash
# Measures how fast and how tight the heap is, beside other heaps. Called by the Makefile, which has set up the toolchain.
# The program is heap/benches/, built in target/benches/.
#
#   boot/bench.sh          everything: some minutes, more where the heaps in C and C++ are built first
#   boot/bench.sh quick    fewer sizes and shorter streams, without the heaps in C and C++: under two minutes
#
#   BENCH_ONLY=ours,talc,floor             only these heaps
#   BENCH_WORKLOADS=lifo,traces/rustc      only these workloads
#   BENCH_ROUNDS=7                         how often each heap has its turn; 5 in a quick run
#   BENCH_LIST=1                           lists heaps and workloads, and measures nothing
#
# The tables are printed and kept in target/bench/tables.md, with the machine, commit and command that they are from; every
# figure is in target/bench/figures.csv, and plots of them beside it. Where something was chosen, all of that is in
# target/bench/chosen. What is going on is said on standard error.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extent=${1:-whole}
rounds=${BENCH_ROUNDS:-$([ "$extent" = quick ] && echo 5 || echo 7)}
# What is chosen is kept apart, so that it does not take the place of the whole.
output=target/bench
if [ -n "${BENCH_ONLY:-}${BENCH_WORKLOADS:-}" ]; then output=$output/chosen; fi
arguments=(--output "$output" --rounds "$rounds")
# What is built in. Without them, only ours, the floor and the system's.
features=peers

complain() { printf 'bench: %s\n' "$*" >&2; }
say() { printf 'bench: %s\n' "$*" >&2; }

# build FEATURES: builds the program. From outside: the repository's .cargo/config.toml is about the kernel's target.
build() (
    cd / && CARGO_TARGET_DIR=$root/target/benches cargo build --quiet --release --locked \
        --manifest-path "$root/heap/benches/Cargo.toml" --no-default-features --features "$1"
)

# Says what the figures are worth only together with.
origin() {
    local model commit
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
    if [ -n "$(git -C "$root" status --porcelain 2>/dev/null)" ]; then commit="$commit with changes"; fi
    printf 'Machine: %s, %s processors, %s. Commit: %s. Rust: %s.\n' \
        "${model:-unknown}" "$(nproc)" "$(uname -sr)" "$commit" "$(rustc --version)"
    printf 'Command: `%smake %s`.\n' "$(chosen)" "$([ "$extent" = quick ] && echo bench-quick || echo bench)"
}

# The variables that were set, as one would type them.
chosen() {
    local name
    for name in BENCH_ONLY BENCH_WORKLOADS BENCH_ROUNDS; do
        if [ -n "${!name:-}" ]; then printf "%s=%s " "$name" "${!name}"; fi
    done
}

cd "$root" || exit 2
case $extent in
    whole) features=peers,jemalloc,mimalloc ;;
    quick) arguments+=(--quick) ;;
    *)
        complain "no extent \`$extent\`: leave it out, or say \`quick\`"
        exit 2
        ;;
esac
if ! [[ $rounds =~ ^[1-9][0-9]{0,3}$ ]]; then
    complain "BENCH_ROUNDS=$rounds is no number of rounds: give one from 1 to 9999"
    exit 2
fi
if [ -n "${BENCH_ONLY:-}" ]; then arguments+=(--only "$BENCH_ONLY"); fi
if [ -n "${BENCH_WORKLOADS:-}" ]; then arguments+=(--workloads "$BENCH_WORKLOADS"); fi
if [ -n "${BENCH_LIST:-}" ]; then arguments+=(--list); fi

if [ "$extent" = whole ]; then
    if "$root/boot/setup.sh" tool compiler >&2; then
        features=$features,snmalloc
    else
        say "without snmalloc, which wants a C++ compiler"
    fi
else
    say "without the heaps in C and C++, whose build takes long: \`make bench\` has them"
fi
say "building the program in target/benches (the first time takes half a minute, with C and C++ some minutes)"
if ! build "$features"; then
    if [ "$features" = peers ] || ! build peers; then
        complain "the program could not be built: see above"
        exit 1
    fi
    say "the heaps in C and C++ could not be built, see above: going on without them"
fi

program=$root/target/benches/release/bench
if [ -n "${BENCH_LIST:-}" ]; then
    exec "$program" "${arguments[@]}"
fi
mkdir -p "$output"
start=$SECONDS
{ origin && "$program" "${arguments[@]}"; } | tee "$output/tables.md.new"
status=${PIPESTATUS[0]}
if [ "$status" -ne 0 ]; then
    rm -f "$output/tables.md.new"
    exit "$status"
fi
mv "$output/tables.md.new" "$output/tables.md"
say "measured for $((SECONDS - start)) s; the tables are in $output/tables.md"
