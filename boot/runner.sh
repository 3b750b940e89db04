#!/usr/bin/env bash
# Cargo's runner for everything built for a machine without an operating system (see .cargo/config.toml): builds the host
# program `boot` if need be, then hands over to it. BOOT_COMMAND names another of its commands than `runner`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-target}
target=$(cd "$root" && mkdir -p "$target" && cd "$target" && pwd)
boot=$target/debug/boot

# Called by hand rather than by cargo, it takes the toolchain that the set-up chose.
if [ -z "${CARGO:-}" ] && [ -r "$root/target/setup/toolchain" ]; then
    PATH=$(cat "$root/target/setup/toolchain"):$PATH
fi

# Built from outside the repository: its .cargo/config.toml is about the kernel's target. The environment that cargo gives
# its runner names the package under test, which is of no concern to this build.
build() (
    cd /
    env -u CARGO_MANIFEST_DIR -u CARGO_PKG_NAME -u CARGO_PKG_VERSION -u LD_LIBRARY_PATH \
        CARGO_TARGET_DIR="$target" "${CARGO:-cargo}" build "$@" --manifest-path "$root/Cargo.toml" --package boot </dev/null
)

# Up to date, the build takes a moment and says nothing. Else it says what takes so long.
(
    sleep 3 >/dev/null 2>&1
    echo "Building the runner; where its boot loader has to be built too (once), that takes two to six minutes." >&2
) &
notice=$!
status=0
build --quiet || status=$?
kill "$notice" 2>/dev/null || true
wait "$notice" 2>/dev/null || true
if [ "$status" -ne 0 ]; then
    echo "error: the program that runs the kernel could not be built; its errors are above. Is the toolchain that of \`make setup\`?" >&2
    exit 2
fi
exec "$boot" "${BOOT_COMMAND:-runner}" "$@"
