//! What the fuzzer found worth keeping, run again as a plain test: see `boot/fuzz.sh`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::CountingSource;
use common::heap_under_test::ShardedHeap;
use common::program::{decode, decode_steps, run, run_on};

/// Returns the files of the corpus of a fuzz target, in the order of their names.
fn files(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = fs::read_dir(folder.join(target)).expect("the corpus is a folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort_unstable();
    files
}

/// Runs every file of the corpus of a fuzz target.
fn run_corpus(target: &str, run: impl Fn(&[u8])) {
    let files = files(target);
    assert!(!files.is_empty(), "no file in the corpus");
    for file in files {
        // Shown where it fails: that is the one.
        println!("{}", file.display());
        run(&fs::read(file).expect("the file can be read"));
    }
}

#[test]
fn every_file_of_the_corpus_runs() {
    run_corpus("heap", |bytes| run(&decode(bytes)));
}

#[test]
fn every_file_of_the_sharded_corpus_runs() {
    run_corpus("sharded", |bytes| {
        run_on::<ShardedHeap<CountingSource, 3>>(&decode_steps(bytes));
    });
}
