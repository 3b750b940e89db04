#!/usr/bin/env bash
# Builds ripgrep with our heap, with jemalloc and with the system's, and compares what they need to search source code. Called
# by the Makefile, which has set up the toolchain.
#
#   boot/bench-ripgrep.sh    RIPGREP_ROUNDS=41 says how often each of them runs; RIPGREP_PROFILE=release is how they are built,
#                            as `cargo install` does, or release-lto, as ripgrep's own packages are
#
# The source comes from the registry, by cargo. One line of it is changed, the one that chooses a heap; the heaps are in
# heap/benches/ripgrep/, and what runs and compares is heap/benches/src/bin/ripgrep/. What is searched is ripgrep's own source,
# that of the crates it is built from, and that of Rust's library. Everything is below target/bench-ripgrep.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=15.2.0
rounds=${RIPGREP_ROUNDS:-41}
profile=${RIPGREP_PROFILE:-release}
work=$root/target/bench-ripgrep
source=$work/ripgrep-$version
crates=$work/crates-of-$version
heap_choice=$root/heap/benches/ripgrep
heaps=(ours jemalloc system)

say() { printf 'bench-ripgrep: %s\n' "$*"; }
complain() { say "$*" >&2; }

# From outside: the repository's .cargo/config.toml is about the kernel's target.
outside() ( cd / && "$@" )

# Cargo brings a package's source by itself only to those that depend on it: here a package that does nothing else.
fetch() {
    local asking=$work/asking
    rm -rf "$asking" "$source" "$source.new" "$crates" && mkdir -p "$asking/src" && touch "$asking/src/lib.rs" || return 1
    printf '%s\n' '[package]' 'name = "asking"' 'edition = "2024"' '[dependencies]' "ripgrep = \"=$version\"" '[workspace]' \
        >"$asking/Cargo.toml"
    outside cargo vendor --versioned-dirs --manifest-path "$asking/Cargo.toml" "$asking/crates" >"$work/fetch.log" 2>&1 \
        && mv "$asking/crates/ripgrep-$version" "$source.new" && rm -rf "$asking" \
        && printf '\n[workspace]\n' >>"$source.new/Cargo.toml" \
        && outside cargo vendor --locked --versioned-dirs --manifest-path "$source.new/Cargo.toml" "$crates" \
            >>"$work/fetch.log" 2>&1 \
        && patch_source "$source.new" && mv "$source.new" "$source"
}

# patch_source FOLDER: lets the heap be chosen, where there was jemalloc for one kind of machine and none for others.
patch_source() {
    local main=$1/crates/core/main.rs
    sed -i -e '/^#\[cfg(.*)\]$/{N;/\n#\[global_allocator\]$/s/^[^\n]*\n//}' \
        -e 's/^static ALLOC: .*;$/static ALLOC: ripgrep_heap::Heap = ripgrep_heap::heap();/' "$main"
    if [ "$(grep -A 1 -B 1 -x '#\[global_allocator\]' "$main" | grep -cE '^#\[cfg|^static ALLOC: ripgrep_heap')" -ne 1 ]; then
        complain "ripgrep $version chooses its heap in another way than this script knows: see $main"
        return 1
    fi
    printf '\n[dependencies.ripgrep_heap]\npath = "%s"\n' "$heap_choice" >>"$1/Cargo.toml"
}

# build HEAP: makes target/bench-ripgrep/rg-HEAP, built as the profile says.
build() {
    local options=()
    case $1 in
        ours) options=(--features ripgrep_heap/stack_alloc) ;;
        jemalloc) options=(--features ripgrep_heap/jemalloc) ;;
    esac
    outside env CARGO_TARGET_DIR="$work/build" cargo build --profile "$profile" --manifest-path "$source/Cargo.toml" --bin rg \
        "${options[@]}" >"$work/build-$1.log" 2>&1 || {
        tail -n 20 "$work/build-$1.log" >&2
        complain "ripgrep on $1 could not be built: see $work/build-$1.log"
        return 1
    }
    cp "$work/build/$profile/rg" "$work/rg-$1"
}

case $rounds in
    '' | *[!0-9]* | 0)
        complain "ROUNDS=$rounds is no number of rounds: write \`make bench-ripgrep ROUNDS=41\`"
        exit 2
        ;;
esac
case $profile in
    release | release-lto) ;;
    *)
        complain "PROFILE=$profile is none of ripgrep's profiles: write release or release-lto"
        exit 2
        ;;
esac
library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
mkdir -p "$work" "$root/target/bench" || exit 2

# The changed source names this checkout, which may have been moved since.
if [ ! -d "$crates" ] || ! grep -qsxF "path = \"$heap_choice\"" "$source/Cargo.toml"; then
    say "fetching ripgrep $version and its crates with cargo, once"
    if ! fetch; then
        tail -n 5 "$work/fetch.log" >&2
        complain "cargo could not fetch ripgrep: with a working network, try again; the log is $work/fetch.log"
        exit 1
    fi
fi
for heap in "${heaps[@]}"; do
    say "building ripgrep on $heap as its profile $profile says (the first time takes a minute)"
    build "$heap" || exit 1
done
if ! outside env CARGO_TARGET_DIR="$root/target/benches" cargo build --quiet --release --locked --no-default-features \
    --bin ripgrep --manifest-path "$root/heap/benches/Cargo.toml"; then
    complain "the program that compares could not be built: see above"
    exit 1
fi
"$root/boot/setup.sh" tool valgrind || say "no valgrind: processor time alone is compared"

programs=()
for heap in "${heaps[@]}"; do programs+=(--program "$heap=$work/rg-$heap"); done
exec "$root/target/benches/release/ripgrep" "${programs[@]}" --rounds "$rounds" --csv "$root/target/bench/ripgrep-$profile.csv" \
    --folder "$work" "$source" "$crates" "$library"
