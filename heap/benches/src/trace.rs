//! Recorded programs as streams: those of `heap/tests/traces`, read with the decoder that the heap's tests have.
#![forbid(unsafe_code)]

#[path = "../../tests/common/trace.rs"]
mod recorded;

use crate::operation::{Stream, StreamBuilder};
use recorded::{Operation, Trace};

/// Names and files.
const FILES: [(&str, &[u8]); 3] = [
    ("rustc", include_bytes!("../../tests/traces/rustc.pbt.zst")),
    (
        "python",
        include_bytes!("../../tests/traces/python.pbt.zst"),
    ),
    (
        "sqlite",
        include_bytes!("../../tests/traces/sqlite.pbt.zst"),
    ),
];

/// Returns the names of the recorded programs.
#[must_use]
pub fn names() -> [&'static str; 3] {
    FILES.map(|(name, _)| name)
}

/// Returns what the program `name` did. `None` if there is no such program.
///
/// # Panics
///
/// If the file is broken.
#[must_use]
pub fn stream(name: &str) -> Option<Stream> {
    let (_, file) = FILES.iter().find(|(known, _)| *known == name)?;
    let trace = Trace::unpack(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(converted(&trace))
}

/// Returns a trace's operations as a stream's.
fn converted(trace: &Trace) -> Stream {
    let mut builder = StreamBuilder::new();
    for operation in &trace.operations {
        match *operation {
            Operation::Allocate {
                slot,
                layout,
                zeroed: false,
            } => {
                builder.allocate(slot, layout.size(), layout.align());
            }
            Operation::Allocate {
                slot,
                layout,
                zeroed: true,
            } => {
                builder.allocate_zeroed(slot, layout.size(), layout.align());
            }
            Operation::Reallocate { slot, size } => builder.reallocate(slot, size),
            Operation::Free { slot } => builder.free(slot),
        }
    }
    let stream = builder.finish();
    assert!(
        u32::try_from(trace.largest).is_ok(),
        "sizes of a stream have 32 bits"
    );
    assert_eq!([stream.slots, stream.peak_bytes], [trace.slots, trace.peak]);
    stream
}

#[cfg(test)]
mod tests {
    use super::{names, stream};

    #[test]
    fn every_program_is_there_as_its_readme_says() {
        let facts = names().map(|name| {
            let stream = stream(name).expect("its own name");
            [stream.body.len(), stream.slots, stream.peak_bytes]
        });
        assert_eq!(
            facts,
            [
                [857_282, 20_191, 21_875_871],
                [1_014_512, 69_287, 6_271_028],
                [444_157, 2944, 5_424_970]
            ]
        );
        assert!(stream("emacs").is_none());
    }
}
