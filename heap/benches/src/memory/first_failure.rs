//! The share of an arena that is live when a request fails for the first time.

use core::time::Duration;

use crate::arena::Arena;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::memory::filling::{Filling, Objects, TooSlow};
use crate::memory::{ARENA, over_arena};
use crate::numbers::{Numbers, Sizes};
use crate::rounds::Settings;
use crate::table::{Rows, number};

/// The name of the question.
pub const NAME: &str = "first_failure";
/// What is measured.
pub const SHARE: &str = "live share";
/// How often, with other random sizes each time: the mean counts.
const TIMES: u64 = 5;

/// What the arena is filled with.
const OBJECTS: [(&str, Objects); 4] = [
    (
        "small",
        Objects {
            sizes: Sizes::Uniform(16, 256),
            align: 8,
        },
    ),
    (
        "mixed",
        Objects {
            sizes: Sizes::Logarithmic(16, 32 << 10),
            align: 8,
        },
    ),
    (
        "large",
        Objects {
            sizes: Sizes::Uniform(8 << 10, 128 << 10),
            align: 8,
        },
    ),
    (
        "page-sized",
        Objects {
            sizes: Sizes::Fixed(4096),
            align: 4096,
        },
    ),
];

/// Returns the names of its rows.
pub fn names() -> impl Iterator<Item = &'static str> {
    OBJECTS.iter().map(|(name, _)| *name)
}

/// Fills arenas, prints the table, and adds to the figures.
pub fn run(contenders: &[Contender], arena: &Arena, settings: Settings, figures: &mut Figures) {
    let contenders = over_arena(contenders);
    let mut table = Rows::new("objects", contenders.iter().map(|contender| contender.name));
    for (name, objects) in OBJECTS {
        let shares: Vec<_> = contenders
            .iter()
            .map(|contender| share(objects, contender, arena, settings.patience))
            .collect();
        for (contender, share) in contenders.iter().zip(&shares) {
            match share {
                Ok(share) => figures.add(NAME, name, contender.name, SHARE, *share),
                Err(reason) => table.note(format!("{NAME}/{name}, {}: {reason}", contender.name)),
            }
        }
        table.add(name, shares.into_iter().map(|share| number(share.ok())));
    }
    table.note("small: 16 to 256 bytes; mixed: 16 bytes to 32 KiB, every doubling as likely; large: 8 to 128 KiB; page-sized: 4 KiB, aligned to as much.");
    table.print("first_failure: live share of 16 MiB when a request fails for the first time");
}

/// Returns the mean share that is live at the first failure.
fn share(
    objects: Objects,
    contender: &Contender,
    arena: &Arena,
    patience: Duration,
) -> Result<f64, TooSlow> {
    let mut bytes = 0;
    for seed in 0..TIMES {
        // SAFETY: the heap before is not used any more.
        let heap = unsafe { (contender.make)(arena.first(ARENA)) };
        bytes += Filling::new(&*heap, patience).fill(objects, &mut Numbers::new(seed))?;
    }
    Ok(bytes as f64 / (TIMES * ARENA as u64) as f64)
}
