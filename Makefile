# Everything one does here, by name. Each target that needs something sets it up first (boot/setup.sh).
#
# Variables of the machine, such as `make run BOOT=bios MEM=64M`:
#
#   BOOT=uefi|bios   MEM=256M   SMP=1   ACCEL=auto|kvm|tcg   DISPLAY=none|gtk|sdl|…   GDB=1   ICOUNT=1   QEMUFLAGS='-d int'
#   LOG=off|error|warn|info|debug|trace
#
# Under plain `cargo run` and `cargo test` the same are STACK_ALLOC_BOOT, STACK_ALLOC_MEM and so on.
# TESTS='heap frames' chooses tests for `make kernel-test`, by parts of their names. FUZZ_SECONDS=60 and FUZZ_TARGET=heap are
# how long and with what `make fuzz` searches. BENCH_ONLY=ours,talc, BENCH_WORKLOADS=lifo,traces/rustc and BENCH_ROUNDS=7 are what
# `make bench` measures; BENCH_LIST=1 lists what there is. HEAPS=floor,talc and WORKLOADS=lifo-16 choose what `make icount` counts.
# OUTPUT=target/screenshot.png is what `make screenshot` writes, COMMANDS='heap; frames' what it types before, and DELAY=10 how
# many seconds it waits behind the last of them; without DELAY it waits until that is done, and without COMMANDS it types
# `stress 60 1` and waits 50 s.
# PREEMPTIONS=3 is how often `make loom` has threads interrupted by others, at most; MUTANTS=1 makes it break the heap instead.
# ROUNDS=41 is how often `make bench-ripgrep` runs each ripgrep, PROFILE=release or release-lto how it builds them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

kernel := target/x86_64-target/debug/kernel

# DISPLAY is also X11's variable, set on every desktop: it counts only where it was typed behind `make`. There it hides X11's,
# which QEMU's windows need; that one is found again in the environment that make was started with.
ifeq ($(origin DISPLAY),command line)
display := $(DISPLAY)
x11 := $(shell tr '\0' '\n' 2>/dev/null </proc/$$PPID/environ | sed -n 's/^DISPLAY=//p')
endif

# The flags of `boot`, by the environment variables that it reads. Empty ones are left out.
machine := $(strip \
	$(if $(BOOT),STACK_ALLOC_BOOT='$(BOOT)') \
	$(if $(MEM),STACK_ALLOC_MEM='$(MEM)') \
	$(if $(SMP),STACK_ALLOC_SMP='$(SMP)') \
	$(if $(ACCEL),STACK_ALLOC_ACCEL='$(ACCEL)') \
	$(if $(display),STACK_ALLOC_DISPLAY='$(display)' DISPLAY='$(x11)') \
	$(if $(filter-out 0 no false,$(GDB)),STACK_ALLOC_GDB=true) \
	$(if $(filter-out 0 no false,$(ICOUNT)),STACK_ALLOC_ICOUNT=true) \
	$(if $(LOG),STACK_ALLOC_LOG='$(LOG)') \
	$(if $(QEMUFLAGS),STACK_ALLOC_QEMUFLAGS='$(QEMUFLAGS)'))

# Puts the toolchain that the set-up chose on PATH, and the machine's variables into the environment.
with_toolchain = boot/setup.sh; export PATH="$$(cat target/setup/toolchain):$$PATH" $(machine)

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: ## Boots the kernel in QEMU, with its console here
	@$(with_toolchain); exec cargo run --quiet

.PHONY: test
test: ## Runs all tests: on this machine, in the kernel under UEFI, and the first of them under BIOS
	@$(with_toolchain); exec boot/test.sh

.PHONY: check
check: ## Checks format, lints and documentation
	@$(with_toolchain); exec boot/check.sh

.PHONY: host-test
host-test: ## Runs the tests that need no kernel
	@$(with_toolchain); exec boot/test.sh host

.PHONY: kernel-test
kernel-test: ## Runs the tests in the kernel, in QEMU; TESTS=heap chooses
	@$(with_toolchain); exec cargo test $(if $(TESTS),-- $(TESTS))

.PHONY: asan tsan valgrind miri loom msrv features
asan: ## Runs the heap's tests under the address sanitizer
tsan: ## Runs the heap's tests with threads under the thread sanitizer
valgrind: ## Runs a part of the heap's tests under valgrind
miri: ## Runs a part of the heap's tests in Miri, for undefined behaviour
loom: ## Runs models of many CPUs; MUTANTS=1 breaks the heap on purpose instead
msrv: ## Builds the heap with the oldest Rust that it promises to build with
features: ## Runs the heap's tests with every feature alone and with all
asan tsan valgrind miri msrv features:
	@$(with_toolchain); exec boot/proofs.sh $@
loom:
	@[[ '$(PREEMPTIONS)' =~ ^([1-9][0-9]?)?$$ ]] || { echo "loom: PREEMPTIONS='$(PREEMPTIONS)' is no number from 1 to 99: 3 takes a quarter of an hour, each more about ten times as long" >&2; exit 2; }
	@$(with_toolchain); $(if $(PREEMPTIONS),LOOM_MAX_PREEMPTIONS='$(PREEMPTIONS)') \
		exec $(if $(filter-out 0 no false,$(MUTANTS)),boot/loom-mutants.sh,boot/proofs.sh loom)

.PHONY: example
example: ## Runs a program of heap/examples: NAME=global_allocator
	@$(with_toolchain); exec boot/example.sh '$(NAME)'

.PHONY: fuzz
fuzz: ## Searches for programs that break the heap, for FUZZ_SECONDS=60
	@$(with_toolchain); FUZZ_SECONDS='$(FUZZ_SECONDS)' exec boot/fuzz.sh $(FUZZ_TARGET)

bench_variables = BENCH_ONLY='$(BENCH_ONLY)' BENCH_WORKLOADS='$(BENCH_WORKLOADS)' BENCH_ROUNDS='$(BENCH_ROUNDS)' BENCH_LIST='$(BENCH_LIST)'

.PHONY: bench bench-quick
bench: ## Measures the heap beside others, into target/bench; BENCH_WORKLOADS=traces chooses
	@$(with_toolchain); $(bench_variables) exec boot/bench.sh
bench-quick: ## The same in two minutes, with fewer sizes and heaps
	@$(with_toolchain); $(bench_variables) exec boot/bench.sh quick
.PHONY: bench-threads
bench-threads: ## Measures heaps that two threads share, beside others; BENCH_ROUNDS=21 BENCH_ONLY=sharded,talc
	@$(with_toolchain); BENCH_ONLY='$(BENCH_ONLY)' BENCH_ROUNDS='$(or $(BENCH_ROUNDS),21)' BENCH_WORKLOADS=threads \
		exec boot/bench.sh

.PHONY: icount
icount: ## Counts the heap's instructions an operation, and compares; UPDATE=1 writes them down
	@$(with_toolchain); ICOUNT_HEAPS='$(HEAPS)' ICOUNT_WORKLOADS='$(WORKLOADS)' \
		exec boot/icount.sh $(if $(filter-out 0 no false,$(UPDATE)),update)

.PHONY: bench-ripgrep
bench-ripgrep: ## Compares ripgrep on our heap, on jemalloc and on the system's, for ROUNDS=41
	@$(with_toolchain); RIPGREP_ROUNDS='$(ROUNDS)' RIPGREP_PROFILE='$(PROFILE)' exec boot/bench-ripgrep.sh

.PHONY: bench-kernel
bench-kernel: ## Counts the instructions of heap operations in the kernel, beside linked_list_allocator's
	@$(with_toolchain); exec cargo bench

.PHONY: image
image: ## Makes the disk images, for UEFI and BIOS, and prints their paths
	@$(with_toolchain); cargo build --quiet; BOOT_COMMAND=image exec boot/runner.sh "$(kernel)"

.PHONY: screenshot
screenshot: ## Takes a picture of the kernel's screen: OUTPUT=target/screenshot.png COMMANDS='heap map; frames' DELAY=10
	@$(with_toolchain); cargo build --quiet; $(if $(OUTPUT),STACK_ALLOC_OUTPUT='$(OUTPUT)') \
		$(if $(filter-out undefined,$(origin COMMANDS)),STACK_ALLOC_COMMANDS='$(COMMANDS)') \
		$(if $(DELAY),STACK_ALLOC_DELAY='$(DELAY)') BOOT_COMMAND=screenshot exec boot/runner.sh "$(kernel)"

.PHONY: gdb
gdb: ## Attaches gdb to a kernel that waits for it (make run GDB=1)
	@$(with_toolchain); cargo build --quiet; BOOT_COMMAND=gdb exec boot/runner.sh "$(kernel)"

.PHONY: doctor
doctor: ## Says what of the needed programs is there, and how to get the rest
	@boot/setup.sh doctor

.PHONY: setup
setup: ## Sets up toolchain, QEMU and firmware; every other target does it too
	@boot/setup.sh

.PHONY: clean
clean: ## Removes everything that was built
	@rm -rf target
