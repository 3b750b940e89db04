//! Searches for programs that break the heap: bytes are a list of actions, run against a shadow of the heap.
//!
//! Whatever it finds worth keeping is a file in `corpus/heap`, which `tests/fuzz_corpus.rs` runs again as a plain test.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use common::program::{decode, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run(&decode(bytes)));
