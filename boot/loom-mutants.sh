#!/usr/bin/env bash
# Breaks what many CPUs rely on, one line at a time, in a copy of the heap, and sees whether the models of `make loom` find it. Prints a
# table, and fails if something is not found that should be, or found that is known not to be. Called by the Makefile (`make loom
# MUTANTS=1`), which has set up the toolchain.
#
#   boot/loom-mutants.sh           all mutants
#   boot/loom-mutants.sh PART      those whose name has PART in it
#
# A mutant is a file, a piece of it that is there once, and what takes its place. One that does not fit any more ends the run: correct
# it here. A bound is enough: LOOM_MAX_PREEMPTIONS is 3 unless set.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
copy=$root/target/loom-mutants
chosen=${1:-}
export RUSTFLAGS='--cfg loom' CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_TARGET_DIR=$root/target/loom RUST_BACKTRACE=0
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
# A broken heap may not end.
readonly seconds=${LOOM_MUTANT_SECONDS:-300}
found=0 missed=0 wrong=0 unfit=0 is_trial=1

# A workspace of the heap alone, so that the kernel need not be copied.
copy_heap() {
    rm -rf "$copy" && mkdir -p "$copy/heap" && cp "$root/Cargo.lock" "$copy" \
        && cp -r "$root"/heap/{Cargo.toml,README.md,src,tests,examples} "$copy/heap" \
        && sed 's,^members = .*,members = ["heap"],; /^default-members/d; /^exclude/d; /^\[profile.dev.package\.[a-z]/,/^$/d' \
            "$root/Cargo.toml" >"$copy/Cargo.toml"
}

# models ARGUMENT…: runs a part of the models in the copy.
models() (
    cd / && timeout "$seconds" cargo test --quiet --manifest-path "$copy/Cargo.toml" --package stack_alloc "$@" 2>&1
)

# Says which model fails, or nothing. What does not compile is no mutant.
first_failure() {
    local log=$copy/log part
    for part in "--lib -- loom_tests" "--test loom"; do
        # shellcheck disable=SC2086 # several words
        models $part >"$log" && continue
        case $? in 124) echo "no end in $seconds s" && return ;; esac
        if grep -q 'could not compile' "$log"; then
            grep -m 3 -A 6 '^error' "$log" >&2
            echo "does not compile"
            return
        fi
        grep -m 1 '^---- .* stdout' "$log" | sed 's,^---- ,,; s, stdout.*,,; s,sharded::loom_tests::,,' | grep . || echo "a crash"
        return
    done
}

# weaken EXPECTED NAME FILE PIECE REPLACEMENT
weaken() {
    local expected=$1 name=$2 file=$copy/heap/src/$3
    cp "$root/heap/src/$3" "$file"
    if ! PIECE=$4 REPLACEMENT=$5 perl -0pi -e '
        my $n = () = /\Q$ENV{PIECE}\E/g; die "it is there $n times\n" if $n != 1;
        s/\Q$ENV{PIECE}\E/$ENV{REPLACEMENT}/' "$file" || cmp -s "$root/heap/src/$3" "$file"; then
        printf 'loom-mutants: `%s` does not fit heap/src/%s any more: correct it in boot/loom-mutants.sh\n' "$name" "$3" >&2
        unfit=$((unfit + 1))
    elif [ "$is_trial" -eq 0 ] && [[ $name == *"$chosen"* ]]; then
        see "$name" "$expected"
    fi
    cp "$root/heap/src/$3" "$file"
}

# see NAME EXPECTED: runs the models of the copy as it is, and writes a line of the table.
see() {
    local name=$1 expected=$2 failure
    failure=$(first_failure)
    case $expected:$failure in
        *:"does not compile") wrong=$((wrong + 1)) ;;
        seen:?*) found=$((found + 1)) ;;
        unseen:) missed=$((missed + 1)) failure="not found, as is known" ;;
        seen:) wrong=$((wrong + 1)) failure="NOT FOUND" ;;
        unseen:*) wrong=$((wrong + 1)) failure="FOUND, against what is written: $failure" ;;
    esac
    printf '%-72s %s\n' "$name" "$failure"
}

# breaks …: the models find it. hides …: they do not; the comment above says why.
breaks() { weaken seen "$@"; }
hides() { weaken unseen "$@"; }

mutants() {
local f

# --- The tree of what others gave back ----------------------------------------------------------------------------------

f=sharded/remote_frees.rs
breaks "a free sets its bit without an order" $f \
    '.0[stack].fetch_or(bit, Ordering::AcqRel)' '.0[stack].fetch_or(bit, Ordering::Relaxed)'
breaks "a free sets its bit without a release" $f \
    '.0[stack].fetch_or(bit, Ordering::AcqRel)' '.0[stack].fetch_or(bit, Ordering::Acquire)'
breaks "the owner looks at a word without an acquire" $f \
    'let mut chunks = word.load(Ordering::Acquire);' 'let mut chunks = word.load(Ordering::Relaxed);'
breaks "the owner clears a word, and gets more of it, without an acquire" $f \
    'word.fetch_and(!chunks, Ordering::AcqRel)' 'word.fetch_and(!chunks, Ordering::Release)'
breaks "the owner clears a word in two steps" $f \
    'chunks = word.fetch_and(!chunks, Ordering::AcqRel) & !chunks;' \
    '{ let rest = word.load(Ordering::Acquire) & !chunks; word.store(rest, Ordering::Release); chunks = rest; }'
breaks "the owner clears more of a word than he has made free" $f \
    'word.fetch_and(!chunks, Ordering::AcqRel) & !chunks' 'word.fetch_and(0, Ordering::AcqRel) & 0'
breaks "the owner leaves what is set while he clears" $f \
    'while chunks != 0 {' 'if chunks != 0 {'
breaks "the owner does not clear a word" $f \
    'word.fetch_and(!chunks, Ordering::AcqRel) & !chunks' 'word.fetch_and(!0, Ordering::AcqRel) & !chunks'
breaks "the owner takes the words above without an order" $f \
    'word.swap(0, Ordering::AcqRel)' 'word.swap(0, Ordering::Relaxed)'
breaks "a free climbs from the top" $f \
    'self.signals[stack].fetch_or(1 << page, Ordering::AcqRel) == 0
            && self.pending.fetch_or(1 << stack, Ordering::AcqRel) == 0' \
    '{ let first = self.pending.fetch_or(1 << stack, Ordering::AcqRel) == 0;
            self.signals[stack].fetch_or(1 << page, Ordering::AcqRel) == 0 && first }'
breaks "a free climbs always" $f \
    'old == 0 && self.climb(page, stack)' 'self.climb(page, stack)'
breaks "a free climbs always, and tells always" $f \
    'old == 0 && self.climb(page, stack)' '{ self.climb(page, stack); true }'
breaks "a free never climbs" $f \
    'old == 0 && self.climb(page, stack)' 'old == 0'
breaks "a free climbs one step" $f \
    '&& self.pending.fetch_or(1 << stack, Ordering::AcqRel) == 0' ''
breaks "a free does not look whether its bit was set" $f \
    'if old & bit != 0 {' 'if false {'
breaks "a free looks whether its bit is set before it sets it" $f \
    'let old = self.words[page].0[stack].fetch_or(bit, Ordering::AcqRel);' \
    'let old = self.words[page].0[stack].load(Ordering::Acquire); self.words[page].0[stack].fetch_or(bit, Ordering::AcqRel);'

# --- Messages --------------------------------------------------------------------------------------------------------

f=sharded/inbox.rs
breaks "a message is left without an order" $f \
    'fetch_or(1 << (place % 64), Ordering::AcqRel)' 'fetch_or(1 << (place % 64), Ordering::Relaxed)'
breaks "messages are taken without an order" $f \
    'self.words[word].swap(0, Ordering::AcqRel)' 'self.words[word].swap(0, Ordering::Relaxed)'
breaks "the summary is cleared when the word was taken" $f \
    'self.summary.fetch_and(!(1 << word), Ordering::AcqRel);
            let places = self.words[word].swap(0, Ordering::AcqRel);' \
    'let places = self.words[word].swap(0, Ordering::AcqRel);
            self.summary.fetch_and(!(1 << word), Ordering::AcqRel);'
breaks "the summary is set before the word" $f \
    'if self.words[word]' 'if self.words[word].load(Ordering::Relaxed) == 0 { self.summary.fetch_or(1 << word, Ordering::AcqRel); }
        if false && self.words[word]'
breaks "a message does not set the summary" $f \
    'self.summary.fetch_or(1 << word, Ordering::AcqRel);' ''

# --- Visits and tables ---------------------------------------------------------------------------------------------------

f=sharded/visits.rs
breaks "a visitor is not counted" $f \
    'self.counted.fetch_add(1, Ordering::SeqCst);
        fence_for_model();' 'self.counted.fetch_add(0, Ordering::SeqCst);
        fence_for_model();'
breaks "one who has entered does not say that he visits" $f \
    'self.entered.swap(1, Ordering::SeqCst)' 'self.entered.swap(0, Ordering::SeqCst)'
breaks "nothing orders a count and what is looked up" $f \
    'self.counted.fetch_add(1, Ordering::SeqCst);
        fence_for_model();' 'self.counted.fetch_add(1, Ordering::SeqCst);'
breaks "nothing orders an entered visit and what is looked up" $f \
    'debug_assert!(before == 0, "one has entered");
        fence_for_model();' 'debug_assert!(before == 0, "one has entered");'
breaks "nothing orders taking out and the look at the counters" $f \
    'fn are_over(&self) -> bool {
        fence_for_model();' 'fn are_over(&self) -> bool {'
breaks "a visit ends without a release" $f \
    'counted.fetch_sub(1, Ordering::Release)' 'counted.fetch_sub(1, Ordering::Relaxed)'
breaks "an entered visit ends without a release" $f \
    'entered.store(0, Ordering::Release)' 'entered.store(0, Ordering::Relaxed)'
breaks "the counters are not looked at" $f \
    'self.counted.load(Ordering::SeqCst) == 0 && self.entered.load(Ordering::SeqCst) == 0' 'true'
breaks "who has entered is not looked at" $f \
    '&& self.entered.load(Ordering::SeqCst) == 0' ''
# Loom takes what is sequentially consistent for what acquires or releases, and has fences (in the places where the order is needed)
# instead. So it cannot tell what would be if these accesses were weaker: that is argued in `visits.rs` alone.
hides "a visitor counts himself with an acquire and release alone" $f \
    'self.counted.fetch_add(1, Ordering::SeqCst)' 'self.counted.fetch_add(1, Ordering::AcqRel)'
hides "the counters are loaded with an acquire alone" $f \
    'self.counted.load(Ordering::SeqCst)' 'self.counted.load(Ordering::Acquire)'

f=sharded/table.rs
breaks "an entry is put in without a release" $f \
    'first.store(entry.record().as_ptr(), Ordering::SeqCst)' 'first.store(entry.record().as_ptr(), Ordering::Relaxed)'
breaks "an entry is put in before it has its link" $f \
    'entry.next().store(second, Ordering::Relaxed);
        first.store(entry.record().as_ptr(), Ordering::SeqCst);' \
    'first.store(entry.record().as_ptr(), Ordering::SeqCst);
        entry.next().store(second, Ordering::Relaxed);'
breaks "a table is read without an acquire" $f \
    'self.places[place].load(Ordering::SeqCst)' 'self.places[place].load(Ordering::Relaxed)'
breaks "an entry that is taken out loses its link" $f \
    'first.store(next, Ordering::SeqCst);
            return;' 'first.store(next, Ordering::SeqCst);
            entry.next().store(ptr::null_mut(), Ordering::SeqCst);
            return;'
breaks "an entry stays in the middle of its list" $f \
    'before.next().store(next, Ordering::SeqCst)' 'before.next().store(entry.record().as_ptr(), Ordering::SeqCst)'

# --- Blocks and regions that go -----------------------------------------------------------------------------------------

f=sharded/central.rs
breaks "a block that goes stays in the table" $f \
    'unsafe { self.blocks.remove(block) };
        writer.leaving' 'writer.leaving'
breaks "a region goes on though one shard's visits are not over" $f \
    'shards.iter().all(' 'shards.iter().any('
breaks "a double free is forgotten with its block" $f \
    'if let Some(misuse) = found_too_late(block) {' 'if let Some(misuse) = found_too_late(block).filter(|_| false) {'

f=sharded/leaving.rs
breaks "a block goes on while it is visited" $f \
    'if !self.is_over {
            return None;' 'if false {
            return None;'
breaks "a block goes on though one shard's visits are not over" $f \
    'seen.count() == shards.len()' 'seen.count() > 0'
breaks "blocks that leave later go on with the first" $f \
    'self.second.push(block)' 'self.first.push(block)'
breaks "the next blocks go on without a look" $f \
    'self.first = core::mem::take(&mut self.second);
            self.begin_round();' 'self.first = core::mem::take(&mut self.second);'
breaks "what was seen for some blocks counts for the next" $f \
    'self.round = self.round.wrapping_add(1);' 'self.round = 1;'

f=regions.rs
breaks "a region that was given back is given back once more" $f \
    'self.owner_and_mark.fetch_or(1, Ordering::AcqRel) & 1 == 0' 'self.owner_and_mark.fetch_or(1, Ordering::AcqRel) & 1 < 2'
breaks "a mark is looked at before it is set" $f \
    'self.owner_and_mark.fetch_or(1, Ordering::AcqRel) & 1 == 0' \
    '{ let old = self.owner_and_mark.load(Ordering::Acquire); self.owner_and_mark.fetch_or(1, Ordering::AcqRel); old & 1 == 0 }'

f=sharded/giving_back.rs
breaks "a region goes while it is visited" $f \
    '!visits_are_over(&self.shards)' 'false'
breaks "what is taken in is looked up without a visit" $f \
    'let visit = self.shards[index].visits.begin();
        let mut has_taken = false;' \
    'let nobody = crate::sharded::visits::Visits::new(); let visit = nobody.begin();
        let mut has_taken = false;'
breaks "a free looks up without a visit" $f \
    'None => visits.begin(),
        };
        let crossed = self.give_back(address, layout, &visit);' \
    'None => visits.begin(),
        };
        drop(visit);
        let nobody = crate::sharded::visits::Visits::new(); let visit = nobody.begin();
        let crossed = self.give_back(address, layout, &visit);'

# --- Messages on the way -------------------------------------------------------------------------------------------------

breaks "a free does not tell the owner" $f \
    'if noted.is_first_of_block {' 'if false {'
# Harmless, as it turns out: on a visit the record stays, and the old and the new owner both pass the message on or use it.
hides "a free reads the owner behind its bit" $f \
    'let shared = &self.shards[owner].shared;
        if noted' 'let owner = block.owner()?; let shared = &self.shards[owner].shared;
        if noted'
breaks "a message about a block that has moved is dropped" $f \
    '(Some(owner), _) => self.shards[owner].shared.inbox.post(place),' '(Some(_), _) => {}'
breaks "a region that cannot be taken in now is forgotten" $f \
    'shared.inbox.post(place);
            return false;' 'return false;'
breaks "a free of a region does not tell the owner" $f \
    'shared.inbox.post(Self::place_of(address));
                Some(Crossed {' 'Some(Crossed {'

f=sharded/getting.rs
breaks "a block that is taken over brings no message" $f \
    'self.shards[index]
            .shared
            .inbox
            .post(Self::place_of(address));
        true' 'true'
breaks "a block that is taken over keeps its owner" $f \
    'record_of(block).set_owner(index);' ''
breaks "a shard that is busy is taken for empty" $f \
    '.or_else(|| self.borrow(index, layout, true))' ''

f=sharded/looking.rs
breaks "what is passed on while trimming is left" $f \
    '(0..SHARDS).for_each(|index| self.take_in_all(index));' ''
}

copy_heap || exit 2
mutants
[ "$unfit" -eq 0 ] || exit 2
is_trial=0
printf '%-72s %s\n' "What is broken" "The first model that fails"
mutants
echo
printf '%d broken, of which the models find %d; %d that they cannot see are not found\n' $((found + missed + wrong)) "$found" "$missed"
if [ "$wrong" -gt 0 ]; then
    printf '%d against what is expected\n' "$wrong"
    exit 1
fi
