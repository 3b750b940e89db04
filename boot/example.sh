#!/usr/bin/env bash
# Runs a program of heap/examples by its name. Called by the Makefile, which has set up the toolchain.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=${1:-}
if [ -z "$name" ] || [ ! -f "$root/heap/examples/$name.rs" ] || [ "$name" = malloc ]; then
    printf 'example: there is no program `%s`; write NAME= and one of\n' "$name" >&2
    for file in "$root"/heap/examples/*.rs; do
        # A library for other programs.
        if [ "$(basename "$file")" != malloc.rs ]; then printf '  %s\n' "$(basename "$file" .rs)" >&2; fi
    done
    exit 2
fi
features=()
if [ "$name" = allocator_api ]; then features=(--features allocator_api); fi
# From outside: the repository's .cargo/config.toml is about the kernel's target.
cd /
CARGO_TARGET_DIR=$root/target exec cargo run --quiet --manifest-path "$root/Cargo.toml" --package stack_alloc \
    --example "$name" "${features[@]}"
