#!/usr/bin/env bash
# Checks format, lints and documentation, warnings being errors. Called by the Makefile, which has set up the toolchain.
#
# Debian's packages of a new Rust have neither rustfmt nor clippy. There, those of rustup's `stable` check what can be built
# for this machine, and what cannot be checked is named.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
manifest=$root/Cargo.toml
failed=0
export CLIPPY_CONF_DIR=$root/.cargo

check() {
    printf '=== %s\n' "$1"
    if ! "${@:2}"; then
        printf '=== %s failed\n' "$1"
        failed=1
    fi
}

skip() { printf '=== skipped: %s\n' "$1"; }

# lints_of TABLE FILE: the lines of the tables TABLE.rust and TABLE.clippy. `loom` is none of the benches' business.
lints_of() {
    awk -v table="$1" '/^\[/ { inside = ($0 == "[" table ".rust]" || $0 == "[" table ".clippy]"); next }
        inside && /=/ && !/loom/' "$2"
}

# The members of the workspace must take part in its lints. The benches, a workspace of their own, must have the same.
lints_are_shared() {
    local member lints bad=0
    lints=$(lints_of workspace.lints "$manifest")
    # A comparison of nothing with nothing would pass.
    if [ -z "$lints" ] || ! diff <(echo "$lints") <(lints_of lints "$root/heap/benches/Cargo.toml"); then
        echo "heap/benches/Cargo.toml has not the lints of Cargo.toml (above): copy them"
        bad=1
    fi
    for member in heap kernel kernel/library boot; do
        if ! grep -A 1 -x '\[lints\]' "$root/$member/Cargo.toml" | grep -qx 'workspace = true'; then
            echo "$member/Cargo.toml has no \`[lints] workspace = true\`: add it"
            bad=1
        fi
    done
    return "$bad"
}

# The heap's modules depend on each other one way, so that each can be read after those it names. Tests may look anywhere.
module_edges() (
    cd "$root/heap/src" || return
    find . -name '*.rs' ! -name lib.rs ! -path '*tests*' | while IFS= read -r file; do
        module=$(sed 's,^\./,,; s,\.rs$,,; s,/,::,g' <<<"$file")
        sed 's,//.*,,' "$file" | grep -oE 'crate::[a-z_]+(::[a-z_]+)?' | while IFS= read -r path; do
            path=${path#crate::}
            # A file in a folder is a module of its own; else what is named is in the module.
            [ -f "${path/:://}.rs" ] || path=${path%%::*}
            echo "$module $path"
        done
    done
)

modules_have_no_cycle() {
    local edges
    if grep -rn 'crate::{' "$root/heap/src"; then
        echo "write one \`use\` for each module: this check reads no braces" >&2
        return 1
    fi
    edges=$(module_edges)
    # A check of nothing would pass.
    [ "$(wc -l <<<"$edges")" -gt 10 ] && tsort <<<"$edges" >/dev/null
}

# Cargo for this machine, from outside, because .cargo/config.toml is about the kernel's target. The boot loader is left out
# by a switch that its build script has for docs.rs: checking needs its types, not its code.
outside() (
    cd / && CARGO_TARGET_DIR=$root/target/check RUSTFLAGS='--cfg docsrs_dummy_build' RUSTDOCFLAGS='-D warnings' "${cargo[@]}" "$@"
)
# The other heap, with which the differential tests and the bench compare, belongs to their images alone.
oracle_is_absent() (
    tree=$(cd "$root" && cargo tree --quiet --package kernel --edges normal --target all) || return
    if grep linked_list_allocator <<<"$tree"; then
        echo "error: linked_list_allocator is among the kernel's dependencies: it belongs under dev-dependencies" >&2
        return 1
    fi
)

lint_host() { outside clippy --quiet --manifest-path "$manifest" "$@" -- -D warnings; }
lint_benches() {
    outside clippy --quiet --locked --manifest-path "$root/heap/benches/$1" --all-targets "${@:2}" -- -D warnings
}
document() { outside doc --quiet --no-deps --document-private-items --manifest-path "$manifest" "$@"; }
format() {
    outside fmt --manifest-path "$manifest" --all -- --check \
        && outside fmt --manifest-path "$root/heap/fuzz/Cargo.toml" -- --check \
        && outside fmt --manifest-path "$root/heap/benches/Cargo.toml" -- --check \
        && outside fmt --manifest-path "$root/heap/benches/ripgrep/Cargo.toml" -- --check
}

check "workspace lints in every member" lints_are_shared
check "no cycle among the heap's modules" modules_have_no_cycle
check "no linked_list_allocator in the kernel's image" oracle_is_absent

is_whole=0
if cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; then
    cargo=(cargo)
    is_whole=1
elif command -v rustup >/dev/null && rustup run stable cargo clippy --version >/dev/null 2>&1; then
    # The toolchain of the set-up is first on PATH; rustup's must come before it.
    cargo=(env "PATH=$(dirname "$(rustup which --toolchain stable rustc)"):$PATH" cargo)
else
    cargo=()
fi

if [ "${#cargo[@]}" -gt 0 ]; then
    check "format" format
    check "lints of stack_alloc" lint_host --package stack_alloc --all-targets
    check "lints of stack_alloc with the quarantine" lint_host --package stack_alloc --all-targets --features quarantine
    check "lints of the benchmarks" lint_benches Cargo.toml --no-default-features
    check "lints of ripgrep's heap" lint_benches ripgrep/Cargo.toml --features stack_alloc
    check "lints of boot" lint_host --package boot --all-targets --test outcomes
    check "lints of the kernel's pure modules" lint_host --package kernel_library --profile test
    check "documentation of stack_alloc and boot" document --package stack_alloc --package boot
else
    skip "format, lints: this toolchain has no rustfmt and no clippy (install rustup and its stable toolchain)"
fi
if [ "$is_whole" -eq 1 ]; then
    # One of the heaps that ours is compared with wants a nightly.
    check "lints of the benches with the heaps of others" lint_benches Cargo.toml --no-default-features --features peers
    check "lints of stack_alloc with all features" lint_host --package stack_alloc --all-targets --all-features
    check "lints of the kernel" cargo clippy --quiet --package kernel_library --lib -- -D warnings
    check "lints of the kernel's images" cargo clippy --quiet --package kernel --bins --tests --benches -- -D warnings
else
    skip "lints of what the kernel builds for its own target only: Debian's Rust has no clippy"
fi
cd "$root" && RUSTDOCFLAGS='-D warnings' check "documentation of the kernel" \
    cargo doc --quiet --no-deps --document-private-items --package kernel_library --lib

if [ "$failed" -eq 0 ]; then echo "check passed"; else echo "check failed"; fi
exit "$failed"
