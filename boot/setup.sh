#!/usr/bin/env bash
# Sets up everything that building, running and testing needs, and says what it does, why, and how long it took.
#
#   boot/setup.sh           set up what is missing; says at most one line when all is there
#   boot/setup.sh doctor    say what is there and what is missing, and change nothing
#   boot/setup.sh tool T    get one of the tools that single targets need: fuzzer, valgrind, miri, oldest-rust or compiler
#
# There are two ways to the toolchain, and the script picks one:
#
#   A  rustup, with the nightly that rust-toolchain.toml pins: taken where it is installed or can be fetched.
#   B  Debian's packages of a Rust new enough (rustc-web), with a folder that makes them look like a toolchain:
#      taken where A is not to be had and there is apt-get. It needs nothing that rustup downloads.
#
# What a checkout uses already is kept. The result is one line in target/setup/toolchain: the folder with `cargo`, for the
# Makefile to put on PATH.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly state=$root/target/setup
readonly folder=${XDG_DATA_HOME:-$HOME/.local/share}/stack_alloc/toolchain
readonly name=stack_alloc-debian
readonly host=x86_64-unknown-linux-gnu
channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml")
readonly channel
export RUSTUP_AUTO_INSTALL=0

# The packages of Debian's way.
readonly rust_packages=(rustc-web cargo-web rust-web-src lld-19 llvm-19)
readonly linker_packages=(gcc libc6-dev)
readonly qemu_packages=(qemu-system-x86)
readonly ovmf_packages=(ovmf)

# The oldest Rust that the heap builds with.
oldest=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/heap/Cargo.toml")
readonly oldest

say() { printf '%s\n' "$*"; }
complain() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# step WHAT WHY COMMAND…: says what and why, runs the command, says how long it took.
step() {
    local what=$1 why=$2 start=$SECONDS
    shift 2
    say "setup: $what ($why)"
    "$@" || return 1
    say "setup: … done in $((SECONDS - start)) s"
}

# --- What is there ------------------------------------------------------------------------------------------------

rustup_folder() { printf '%s/toolchains/%s-%s' "${RUSTUP_HOME:-$HOME/.rustup}" "$channel" "$host"; }

# The pinned nightly, with the library source and the tools that the boot loader's build wants.
have_pinned() {
    local pinned
    pinned=$(rustup_folder)
    [ -x "$pinned/bin/cargo" ] && [ -d "$pinned/lib/rustlib/src/rust/library/core" ] \
        && [ -x "$pinned/lib/rustlib/$host/bin/llvm-objcopy" ]
}

have_debian_rust() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -n "$(debian_rust_source)" ] \
        && [ -x /usr/lib/llvm-19/bin/lld ] && [ -x /usr/lib/llvm-19/bin/llvm-objcopy ] && new_enough_debian_rust
}

# Debian's own rustc (1.63) may be there in place of rustc-web.
new_enough_debian_rust() {
    local minor
    minor=$(/usr/bin/rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 96 ]
}

# The folder that lib/rustlib/src is to point to: it has rust/library in it.
debian_rust_source() {
    local place
    for place in "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src" /usr/lib/rustlib/src; do
        if [ -d "$place/rust/library/core" ]; then
            printf '%s' "$place"
            return
        fi
    done
}

have_folder() {
    [ -x "$folder/bin/cargo" ] && [ -x "$folder/bin/rustc" ] && [ -d "$folder/lib/rustlib/src/rust/library/core" ] \
        && [ -x "$folder/lib/rustlib/$host/bin/rust-lld" ] && [ -d "$folder/lib/rustlib/$host/lib" ] \
        && [ "$(cat "$folder/made-for" 2>/dev/null)" = "$(folder_identity)" ]
}

# Changes when Debian's packages do, and when this script makes the folder in another way.
folder_identity() { printf 'layout 1, %s' "$(/usr/bin/rustc --version 2>/dev/null)"; }

have_override() {
    [ "$(cd "$root" && rustup override list 2>/dev/null | awk -v path="$root" '$1 == path { print $2 }')" = "$name" ]
}

have_linker() { have cc && printf 'int main(void){return 0;}' | cc -x c - -o /dev/null 2>/dev/null; }
have_qemu() { have "${STACK_ALLOC_QEMU:-qemu-system-x86_64}"; }

ovmf_file() {
    local file
    for file in "${STACK_ALLOC_OVMF_CODE:-}" /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd \
        /usr/share/edk2/ovmf/OVMF_CODE.fd /usr/share/edk2/x64/OVMF_CODE.4m.fd /usr/share/edk2-ovmf/x64/OVMF_CODE.fd \
        /usr/share/qemu/ovmf-x86_64-code.bin /run/libvirt/nix-ovmf/OVMF_CODE.fd \
        /opt/homebrew/share/qemu/edk2-x86_64-code.fd /usr/local/share/qemu/edk2-x86_64-code.fd \
        /usr/share/qemu/edk2-x86_64-code.fd; do
        if [ -n "$file" ] && [ -f "$file" ]; then
            printf '%s' "$file"
            return
        fi
    done
    return 1
}

# --- How to get it ------------------------------------------------------------------------------------------------

# The words before a command that needs root; empty for root itself, `sudo` with a password for the user to type.
sudo_word() { if [ "$(id -u)" -eq 0 ]; then printf ''; else printf 'sudo '; fi; }

# install_command PACKAGE…: the command, for the system at hand, that gets Debian's packages of these names.
install_command() {
    local package words=()
    if have apt-get; then
        printf '%sapt-get update && %sapt-get install --yes --no-install-recommends %s' \
            "$(sudo_word)" "$(sudo_word)" "$*"
        return
    fi
    for package in "$@"; do
        case $package in
            qemu-system-x86) words+=("$(if have dnf; then echo qemu-system-x86-core; elif have pacman; then echo qemu-system-x86; else echo qemu; fi)") ;;
            ovmf) if ! have brew; then words+=(edk2-ovmf); fi ;;
            gcc) words+=(gcc) ;;
            libc6-dev) if have dnf; then words+=(glibc-devel); fi ;;
            *) words+=("$package") ;;
        esac
    done
    if have dnf; then
        printf '%sdnf install %s' "$(sudo_word)" "${words[*]}"
    elif have pacman; then
        printf '%spacman -S %s' "$(sudo_word)" "${words[*]}"
    elif have brew; then
        printf 'brew install %s' "${words[*]}"
    else
        printf 'install %s with your package manager' "${words[*]}"
    fi
}

rustup_command() {
    printf 'rustup toolchain install %s --profile minimal --component rust-src,llvm-tools,rustfmt,clippy' "$channel"
}

# What to type to get a toolchain on this machine.
toolchain_command() {
    if have rustup; then
        rustup_command
    elif have apt-get; then
        install_command "${rust_packages[@]}"
    else
        printf 'install rustup from https://rustup.rs, then run: '
        rustup_command
    fi
}

# may_install: root, or sudo that asks for no password.
may_install() { have apt-get && { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }; }

# apt WHY PACKAGE…: installs packages, or says what to type.
apt() {
    local why=$1 log
    shift
    if ! may_install; then
        complain "$* missing ($why), and I may not install packages here. Run: $(install_command "$@")"
        return 1
    fi
    log=$state/apt.log
    if ! step "installing $*" "$why" run_apt "$log" "$@"; then
        complain "apt-get could not install $*: see $log; with a working network, run: $(install_command "$@")"
        return 1
    fi
}

run_apt() {
    local log=$1 as_root=()
    shift
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
    # The lists first, once: a fresh machine has none. Where they cannot be fetched, old ones may still do.
    if [ "$apt_is_updated" -eq 0 ]; then
        "${as_root[@]}" apt-get "${apt_options[@]}" update >"$log" 2>&1 || true
        apt_is_updated=1
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get "${apt_options[@]}" install --yes --no-install-recommends "$@" >>"$log" 2>&1
}
apt_is_updated=0
apt_options=()

# The Rust that is new enough came to Debian 12 as a security update. A machine whose apt does not know of those gets to
# know for this installation only: its configuration stays as it is.
add_security_updates() {
    local list=$state/sources.list
    [ "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")" = bookworm ] || return 0
    if grep -rqs 'bookworm-security' /etc/apt/sources.list /etc/apt/sources.list.d; then return 0; fi
    say "setup: looking at Debian's security updates too, this time only (Rust 1.96 is among them)"
    {
        cat /etc/apt/sources.list 2>/dev/null
        echo 'deb http://deb.debian.org/debian-security bookworm-security main'
    } >"$list"
    apt_options=(-o "Dir::Etc::SourceList=$list")
}

fetch_pinned() {
    rustup toolchain install "$channel" --profile minimal --no-self-update \
        --component rust-src,llvm-tools,rustfmt,clippy >"$state/rustup.log" 2>&1
}

# Makes a folder that looks like a toolchain out of Debian's packages. Made beside its place and then moved there, so that
# a half-made one is never used.
make_folder() {
    local new=$folder.new.$$ rustlib sysroot
    sysroot=$(/usr/bin/rustc --print sysroot) || return 1
    rustlib=$new/lib/rustlib
    rm -rf "$new"
    mkdir -p "$new/bin" "$rustlib/$host/bin" || return 1
    ln -s "$(debian_rust_source)" "$rustlib/src"
    ln -s "$sysroot/lib/rustlib/etc" "$rustlib/etc"
    ln -s "$sysroot/lib/rustlib/$host/lib" "$rustlib/$host/lib"
    ln -s /usr/lib/llvm-19/bin/lld "$rustlib/$host/bin/rust-lld"
    ln -s /usr/lib/llvm-19/bin/llvm-objcopy "$rustlib/$host/bin/llvm-objcopy"
    ln -s /usr/lib/llvm-19/bin/llvm-objdump "$rustlib/$host/bin/llvm-objdump"
    # RUSTC_BOOTSTRAP lets this rustc use what a nightly would: building `core` for the kernel's target.
    printf '#!/bin/sh\nexport RUSTC_BOOTSTRAP=1\nexec /usr/bin/cargo "$@"\n' >"$new/bin/cargo"
    printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$folder" >"$new/bin/rustc"
    printf '#!/bin/sh\nexec /usr/bin/rustdoc --sysroot "%s" "$@"\n' "$folder" >"$new/bin/rustdoc"
    chmod +x "$new"/bin/*
    folder_identity >"$new/made-for"
    rm -rf "$folder" && mv "$new" "$folder"
}

link_folder() {
    # A link that points elsewhere is replaced, and so is an override of another kind.
    rustup toolchain link "$name" "$folder" >/dev/null 2>&1 \
        && rustup override set --path "$root" "$name" >/dev/null 2>&1
}

# --- Setting up ---------------------------------------------------------------------------------------------------

setup_pinned() {
    # An override from the time before would win over rust-toolchain.toml.
    if have_override; then rustup override unset --path "$root" >/dev/null 2>&1; fi
    printf '%s\n' "$(rustup_folder)/bin" >"$state/toolchain"
}

setup_debian() {
    if ! have_debian_rust; then
        add_security_updates
        apt "the Rust compiler, its library's source, a linker and objcopy, for the kernel" "${rust_packages[@]}" || {
            have rustup || complain "or install rustup from https://rustup.rs instead, then run: make setup"
            return 1
        }
        if ! have_debian_rust; then
            complain "the Rust that apt-get has is older than 1.96 or incomplete: on Debian 12, add the suite" \
                "bookworm-security to apt's sources; elsewhere, install rustup from https://rustup.rs; then run: make setup"
            return 1
        fi
    fi
    if ! have_folder; then
        step "making the toolchain folder $folder" "Debian's Rust, in the shape that cargo expects" make_folder || {
            complain "cannot make $folder: check that it may be written, then run: make setup"
            return 1
        }
    fi
    if have rustup && ! have_override; then
        step "linking it into rustup as $name, for this checkout" "a plain \`cargo test\` uses it then" link_folder || {
            complain "rustup refused. Run: rustup toolchain link $name $folder && rustup override set --path $root $name"
            return 1
        }
    elif ! have rustup && [ ! -e "$state/toolchain" ]; then
        say "setup: for a plain \`cargo test\`, put the toolchain on your PATH: export PATH=\"$folder/bin:\$PATH\""
    fi
    printf '%s\n' "$folder/bin" >"$state/toolchain"
}

# What this checkout uses already is kept; then what is installed; then what can be fetched.
setup_toolchain() {
    if have rustup && have_override && have_debian_rust; then
        setup_debian
    elif have_pinned; then
        setup_pinned
    elif have_debian_rust && have_folder; then
        setup_debian
    elif have rustup \
        && step "fetching Rust $channel with rustup" "the kernel needs a nightly and its library's source" fetch_pinned; then
        setup_pinned
    elif have apt-get; then
        if have rustup; then say "setup: rustup cannot fetch it here; going on with Debian's packages"; fi
        setup_debian
    else
        complain "no Rust that can build the kernel. Run: $(toolchain_command)"
        return 1
    fi
}

setup_all() {
    local failed=0
    mkdir -p "$state" || { complain "cannot write $state"; return 1; }
    setup_toolchain || failed=1
    have_linker || apt "a C linker, for programs of this machine" "${linker_packages[@]}" || failed=1
    # A QEMU of the user's own that is not there is the user's to correct: the runner says so.
    have_qemu || [ -n "${STACK_ALLOC_QEMU:-}" ] || apt "the machine that the kernel runs in" "${qemu_packages[@]}" || failed=1
    ovmf_file >/dev/null || apt "the UEFI firmware of that machine" "${ovmf_packages[@]}" || failed=1
    [ "$failed" -eq 0 ] || return 1
    fetch_crates
}

# Fetches the crates of Cargo.lock, once for each version of it.
fetch_crates() {
    local sum
    sum=$(cksum <"$root/Cargo.lock")
    [ "$(cat "$state/crates" 2>/dev/null)" = "$sum" ] && return
    step "fetching the crates of Cargo.lock" "cargo builds without the network from then on" run_fetch || {
        tail -n 5 "$state/fetch.log" >&2
        complain "cargo could not fetch the crates: with a working network, run: make setup"
        return 1
    }
    printf '%s\n' "$sum" >"$state/crates"
}

run_fetch() (
    PATH=$(cat "$state/toolchain"):$PATH
    # From outside: the repository's .cargo/config.toml is about the kernel's target.
    cd / && cargo fetch --locked --manifest-path "$root/Cargo.toml" >"$state/fetch.log" 2>&1
)

# --- Tools that single targets need -----------------------------------------------------------------------------------

# Runs what follows with the toolchain that was chosen, its output in a log, from outside of the repository, whose
# .cargo/config.toml is about the kernel's target.
with_log() (
    log=$state/$1.log
    PATH=$(cat "$state/toolchain"):$PATH
    cd / && "${@:2}" >"$log" 2>&1
)

# setup_compiler WHY
setup_compiler() {
    { have c++ && printf 'int main(){return 0;}' | c++ -x c++ - -o /dev/null 2>/dev/null; } \
        || apt "a C++ compiler, for $1" g++
}

setup_fuzzer() {
    setup_compiler "the fuzzer's run-time library" || return 1
    [ -x "$state/cargo-fuzz/bin/cargo-fuzz" ] \
        || step "building cargo-fuzz" "once, into target/setup" \
            with_log cargo-fuzz cargo install cargo-fuzz --locked --root "$state/cargo-fuzz" || {
        tail -n 5 "$state/cargo-fuzz.log" >&2
        complain "cargo could not build cargo-fuzz: see $state/cargo-fuzz.log"
        return 1
    }
}

have_miri() { (PATH=$(cat "$state/toolchain"):$PATH && cd / && cargo miri --version >/dev/null 2>&1); }

setup_miri() {
    have_miri && return
    [ "$(cat "$state/toolchain")" = "$(rustup_folder)/bin" ] \
        && step "fetching Miri with rustup" "a component of $channel" \
            with_log miri rustup component add miri --toolchain "$channel" \
        && have_miri
}

# Notes the folder with the oldest rustc in target/setup/oldest-rust: rustup's, or one made out of Debian's packages.
setup_oldest_rust() {
    local place=${RUSTUP_HOME:-$HOME/.rustup}/toolchains unpacked=$state/rust-$oldest
    local toolchain=$place/$oldest.0-$host
    if [ ! -x "$toolchain/bin/rustc" ] && [ ! -x "$unpacked/bin/rustc" ]; then
        if have rustup && step "fetching Rust $oldest with rustup" "the oldest that the heap builds with" \
            with_log rustup-oldest rustup toolchain install "$oldest.0" --profile minimal --no-self-update; then
            :
        elif have apt-get; then
            step "unpacking Debian's Rust $oldest" "the oldest that the heap builds with; nothing is installed" \
                unpack_oldest || return 1
        else
            return 1
        fi
    fi
    if [ -x "$toolchain/bin/rustc" ]; then
        printf '%s\n' "$toolchain/bin"
    else
        printf '%s\n' "$unpacked/bin"
    fi >"$state/oldest-rust"
}

# Debian 12 has it beside the newer one: its packages are unpacked here, with a rustc that finds its own libraries.
unpack_oldest() (
    new=$state/rust-$oldest.new
    rm -rf "$new" && mkdir -p "$new/bin" && cd "$new" || return 1
    version=$(apt-cache madison rustc-web 2>/dev/null | awk -v v="$oldest" 'index($3, v ".") == 1 { print $3; exit }')
    [ -n "$version" ] || return 1
    apt-get download "rustc-web=$version" "libstd-rust-web-dev=$version" "libstd-rust-web-$oldest=$version" libllvm19 \
        >"$state/oldest-rust.log" 2>&1 || return 1
    for package in *.deb; do
        dpkg -x "$package" . || return 1
    done
    rm -- *.deb
    for program in rustc rustdoc; do
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
            "$state/rust-$oldest/usr/lib/x86_64-linux-gnu" "$state/rust-$oldest/usr/bin/$program" >"bin/$program"
        chmod +x "bin/$program"
    done
    mv "$new" "$state/rust-$oldest"
)

setup_tool() {
    if [ ! -r "$state/toolchain" ]; then setup_all || return 1; fi
    case ${1:-} in
        fuzzer) setup_fuzzer ;;
        valgrind) have valgrind || apt "what watches each memory access of a program" valgrind ;;
        miri) setup_miri ;;
        oldest-rust) setup_oldest_rust ;;
        compiler) setup_compiler "the heaps that ours is compared with" && { have make || apt "what builds one of these" make; } ;;
        *)
            complain "unknown tool \`${1:-}\`: there are fuzzer, valgrind, miri, oldest-rust and compiler"
            return 2
            ;;
    esac
}

# --- Doctor -------------------------------------------------------------------------------------------------------

missing=0
present() { printf 'present  %-10s %s\n' "$1" "$2"; }
absent() { printf 'missing  %-10s %s\n' "$1" "get it with: $2"; missing=1; }

doctor() {
    if have_pinned && ! { have rustup && have_override; }; then
        present toolchain "$("$(rustup_folder)/bin/rustc" --version), in $(rustup_folder)"
    elif have_debian_rust && have_folder; then
        present toolchain "$("$folder/bin/rustc" --version), in $folder"
    else
        absent toolchain "make setup, or: $(toolchain_command)"
    fi
    if have rustup; then
        present rustup "$(rustup --version 2>/dev/null) (for \`make check\`: cargo fmt and clippy)"
    else
        printf 'optional %-10s %s\n' rustup "for \`make check\`, from https://rustup.rs"
    fi
    if have_linker; then present "C linker" "$(cc --version | head -n 1)"
    else absent "C linker" "$(install_command "${linker_packages[@]}")"; fi
    if have_qemu; then present QEMU "$("${STACK_ALLOC_QEMU:-qemu-system-x86_64}" --version | head -n 1)"
    elif [ -n "${STACK_ALLOC_QEMU:-}" ]; then absent QEMU "a STACK_ALLOC_QEMU that names a program; $STACK_ALLOC_QEMU is none"
    else absent QEMU "$(install_command "${qemu_packages[@]}")"; fi
    if ovmf_file >/dev/null; then present OVMF "$(ovmf_file)"
    else absent OVMF "$(install_command "${ovmf_packages[@]}")"; fi
    if have gdb; then present gdb "$(gdb --version | head -n 1)"
    else printf 'optional %-10s %s\n' gdb "for \`make gdb\`: $(install_command gdb)"; fi
    present make "$(make --version 2>/dev/null | head -n 1)"
    return "$missing"
}

case ${1:-setup} in
    setup) setup_all ;;
    doctor) doctor ;;
    tool) setup_tool "${2:-}" ;;
    *)
        complain "unknown word \`$1\`: write \`boot/setup.sh\`, \`boot/setup.sh doctor\` or \`boot/setup.sh tool T\`"
        exit 2
        ;;
esac
