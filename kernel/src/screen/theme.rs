//! The colours of the screen, chosen so that they differ in brightness too: eyes that tell red from green badly lose nothing.
#![forbid(unsafe_code)]

use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor};

/// Behind everything.
pub(crate) const BACKGROUND: Rgb888 = Rgb888::new(0x0a, 0x0e, 0x14);
/// Behind the panels' contents.
pub(crate) const PANEL: Rgb888 = Rgb888::new(0x12, 0x19, 0x22);
/// Lines of graphs and round panels.
pub(crate) const LINE: Rgb888 = Rgb888::new(0x25, 0x30, 0x3d);
/// Text that matters.
pub(crate) const TEXT: Rgb888 = Rgb888::new(0xe3, 0xea, 0xf2);
/// Text that explains.
pub(crate) const FAINT_TEXT: Rgb888 = Rgb888::new(0x8a, 0x99, 0xa9);
/// What went wrong.
pub(crate) const ALARM: Rgb888 = Rgb888::new(0xff, 0x5c, 0x57);

/// A page that nobody has.
pub(crate) const FREE: Rgb888 = Rgb888::new(0x1f, 0x2a, 0x36);
/// A block's header.
pub(crate) const HEADER: Rgb888 = Rgb888::new(0x9f, 0xb0, 0xc2);
/// The heap's own records.
pub(crate) const RECORDS: Rgb888 = Rgb888::new(0xdd, 0xe6, 0xf0);
/// A run that is one allocation.
pub(crate) const RUN: Rgb888 = Rgb888::new(0xe8, 0x6a, 0x33);
/// A region.
pub(crate) const REGION: Rgb888 = Rgb888::new(0xcf, 0x6f, 0xb4);
/// Round a block that is held back.
pub(crate) const RESERVE: Rgb888 = Rgb888::new(0xff, 0xd1, 0x66);

/// Bytes held, in the graph.
pub(crate) const HELD: Rgb888 = Rgb888::new(0x93, 0xa4, 0xb8);
/// Bytes used, in the graph.
pub(crate) const USED: Rgb888 = Rgb888::new(0x3d, 0x9b, 0xe9);
/// Bytes asked for, in the graph.
pub(crate) const ASKED: Rgb888 = Rgb888::new(0xf2, 0xd0, 0x4b);

/// Steps of [`class`] from one doubling of the chunk size to the next.
const STEPS_PER_DOUBLING: usize = 16;

/// Bytes of the smallest chunk, as a power of two.
const SMALLEST_CHUNK: u32 = 4;

/// The colours that the classes' lie between: for each two and a half doublings one, from 16 bytes to 16 KiB.
const RAMP: [Rgb888; 5] = [
    Rgb888::new(0x6a, 0x55, 0xe0),
    Rgb888::new(0x2b, 0x8c, 0xe6),
    Rgb888::new(0x1f, 0xbc, 0xa6),
    Rgb888::new(0x86, 0xd6, 0x4e),
    Rgb888::new(0xf8, 0xec, 0x68),
];

/// Steps from one colour of the ramp to the next.
const STEPS_PER_COLOUR: usize = 40;

/// Returns where a chunk size lies on the ramp, 0 to [`LAST_STEP`].
pub(crate) const fn step(chunk_size: usize) -> usize {
    let Some(log) = chunk_size.checked_ilog2() else {
        return 0;
    };
    if log < SMALLEST_CHUNK {
        return 0;
    }
    let behind = chunk_size - (1 << log);
    let step = (log - SMALLEST_CHUNK) as usize * STEPS_PER_DOUBLING
        + (behind >> (log - SMALLEST_CHUNK)) * STEPS_PER_DOUBLING / 16;
    if step < LAST_STEP { step } else { LAST_STEP }
}

/// The last step of the ramp.
pub(crate) const LAST_STEP: usize = (RAMP.len() - 1) * STEPS_PER_COLOUR;

/// Returns the colour of a step of the ramp.
pub(crate) fn ramp(step: usize) -> Rgb888 {
    let step = step.min(LAST_STEP);
    let colour = step / STEPS_PER_COLOUR;
    let next = RAMP[(colour + 1).min(RAMP.len() - 1)];
    let share = step % STEPS_PER_COLOUR * 255 / STEPS_PER_COLOUR;
    mix(RAMP[colour], next, u8::try_from(share).unwrap_or(u8::MAX))
}

/// Returns the colour of chunks of this size.
pub(crate) fn class(chunk_size: usize) -> Rgb888 {
    ramp(step(chunk_size))
}

/// Returns the fainter colour that stands for room of a kind, where the full one stands for what is used.
pub(crate) fn room(colour: Rgb888) -> Rgb888 {
    mix(PANEL, colour, 84)
}

/// Returns a colour between two: 0 is `from`, 255 is `to`.
pub(crate) fn mix(from: Rgb888, to: Rgb888, share: u8) -> Rgb888 {
    let channel = |from: u8, to: u8| {
        let sum = u32::from(from) * u32::from(255 - share) + u32::from(to) * u32::from(share);
        u8::try_from(sum / 255).unwrap_or(u8::MAX)
    };
    Rgb888::new(
        channel(from.r(), to.r()),
        channel(from.g(), to.g()),
        channel(from.b(), to.b()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_ends_where_it_should() {
        let (from, to) = (Rgb888::new(0, 10, 255), Rgb888::new(255, 20, 0));
        assert_eq!(mix(from, to, 0), from);
        assert_eq!(mix(from, to, 255), to);
        assert_eq!(mix(from, to, 128), Rgb888::new(128, 15, 127));
    }

    #[test]
    fn every_larger_size_has_a_later_step() {
        let sizes = [
            16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 1024, 14336, 16384,
        ];
        for pair in sizes.windows(2) {
            assert!(step(pair[0]) < step(pair[1]), "{pair:?}");
        }
        assert_eq!(step(16), 0);
        assert_eq!(step(16384), LAST_STEP);
        assert_eq!(step(usize::MAX), LAST_STEP);
        assert_eq!(step(0), 0);
    }

    #[test]
    fn ramp_gets_brighter_all_the_way() {
        let brightness = |colour: Rgb888| {
            54 * u32::from(colour.r()) + 183 * u32::from(colour.g()) + 19 * u32::from(colour.b())
        };
        for pair in RAMP.windows(2) {
            // By more than an eye needs to see it.
            assert!(
                brightness(pair[0]) * 6 / 5 < brightness(pair[1]),
                "{pair:?}"
            );
        }
    }
}
