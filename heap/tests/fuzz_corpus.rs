//! What the fuzzer found worth keeping, run again as a plain test: see `boot/fuzz.sh`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::program::{decode, run};

/// Returns the files of the corpus, in the order of their names.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/heap");
    let entries = fs::read_dir(folder).expect("the corpus is a folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort_unstable();
    files
}

#[test]
fn every_file_of_the_corpus_runs() {
    let files = files();
    assert!(!files.is_empty(), "no file in the corpus");
    for file in files {
        // Shown where it fails: that is the one.
        println!("{}", file.display());
        run(&decode(&fs::read(file).expect("the file can be read")));
    }
}
