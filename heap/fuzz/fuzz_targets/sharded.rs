//! Searches for programs that break a heap of many shards: bytes are a list of actions, each done on a CPU of its own choice by somebody
//! who may wait or not, run against a shadow of the heap.
//!
//! Whatever it finds worth keeping is a file in `corpus/sharded`, which `tests/fuzz_corpus.rs` runs again as a plain test.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::CountingSource;
use common::heap_under_test::ShardedHeap;
use common::program::{decode_steps, run_on};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run_on::<ShardedHeap<CountingSource, 3>>(&decode_steps(bytes)));
