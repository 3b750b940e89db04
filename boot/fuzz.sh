#!/usr/bin/env bash
# Searches for a program that breaks the heap, and says what it found. Called by the Makefile, which has set up the
# toolchain. With cargo-fuzz: heap/fuzz/ has the target, heap/fuzz/corpus/ the inputs that are kept.
#
#   boot/fuzz.sh [TARGET]    FUZZ_SECONDS=60 says how long
#
# The search works in target/fuzz/. Inputs that reach code that no kept one reaches are added to the kept ones at its end,
# for tests/fuzz_corpus.rs to run; commit them. An input that fails stays in heap/fuzz/artifacts/.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:-heap}
seconds=${FUZZ_SECONDS:-60}
folder=$root/heap/fuzz
kept=$folder/corpus/$target
found=$root/target/fuzz/corpus/$target
artifacts=$folder/artifacts/$target
host=x86_64-unknown-linux-gnu
options=(--fuzz-dir "$folder" --target-dir "$root/target/fuzz")

complain() { printf 'fuzz: %s\n' "$*" >&2; }
count() { find "$1" -type f | wc -l; }

# From outside: the repository's .cargo/config.toml is about the kernel's target.
fuzz() ( cd / && cargo fuzz "$@" )

if [ ! -f "$folder/fuzz_targets/$target.rs" ]; then
    complain "no target \`$target\`: there are $(cd "$folder/fuzz_targets" && echo *.rs)"
    exit 2
fi
if ! [[ $seconds =~ ^[1-9][0-9]{0,6}$ ]]; then
    complain "FUZZ_SECONDS=$seconds is no number of seconds: write FUZZ_SECONDS=60"
    exit 2
fi
"$root/boot/setup.sh" tool fuzzer || exit 1
PATH=$root/target/setup/cargo-fuzz/bin:$PATH
if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/lib/librustc*_rt.asan.a" >/dev/null; then
    echo "fuzz: this Rust comes without the address sanitizer (rustup's nightly has it): only what the heap's own checks and"
    echo "fuzz: its shadow see will be found"
    options+=(--sanitizer none)
fi

mkdir -p "$kept" "$found" "$artifacts"
touch "$root/target/fuzz/start"
echo "fuzz: searching with \`$target\` for $seconds s; $(count "$kept") inputs are kept"
# A thousand bytes are more than the longest program that is run.
status=0
fuzz run "${options[@]}" "$target" "$found" "$kept" -- \
    -max_total_time="$seconds" -max_len=1024 -print_final_stats=1 || status=$?

if [ "$status" -ne 0 ]; then
    input=$(find "$artifacts" -type f -newer "$root/target/fuzz/start" | head -n 1)
    if [ -z "$input" ]; then
        complain "the search ended with status $status: see above"
        exit 1
    fi
    complain "found a failure. Its input: $input"
    complain "make it smaller: cd / && cargo fuzz tmin ${options[*]} $target $input"
    complain "once mended, add it to $kept, so that it is tested from then on"
    exit 1
fi

# An input is kept for the code it reaches; how often it runs there would make of hundreds of files thousands.
before=$(count "$kept")
if ! fuzz run "${options[@]}" "$target" -- -merge=1 -use_counters=0 "$kept" "$found" >"$root/target/fuzz/merge.log" 2>&1; then
    complain "the inputs could not be merged: see target/fuzz/merge.log"
    exit 1
fi
echo "fuzz: no failure in $seconds s; $(($(count "$kept") - before)) inputs are new in heap/fuzz/corpus/$target"
