//! Which of the machine's processors are to be started. Pure.
#![forbid(unsafe_code)]

use super::MOST_CPUS;
use crate::acpi::madt::Processor;

/// The processors beside the one that booted, each once, in the firmware's order.
#[derive(Clone, Debug)]
pub struct Roster<P> {
    /// What the firmware says: one that is named twice comes twice.
    processors: P,
    /// The local APIC of the one that booted.
    own: u32,
}

impl<P: Iterator<Item = Processor> + Clone> Roster<P> {
    /// Makes the roster of `processors`, of which the one with the local APIC `own` has booted.
    pub const fn new(processors: P, own: u32) -> Self {
        Self { processors, own }
    }

    /// Returns how many there are beside the one that booted.
    pub fn others(&self) -> usize {
        self.apic_ids().count()
    }

    /// Returns the local APICs of those to be started: as many as the kernel can run on.
    pub fn chosen(&self) -> impl Iterator<Item = u32> {
        self.apic_ids().take(MOST_CPUS - 1)
    }

    /// Returns how many are left alone.
    pub fn left_out(&self) -> usize {
        self.others().saturating_sub(MOST_CPUS - 1)
    }

    /// Returns the local APICs, each once. (Firmware may name a processor in two kinds of entries.)
    fn apic_ids(&self) -> impl Iterator<Item = u32> {
        let ids = || self.processors.clone().map(|processor| processor.apic_id);
        ids().enumerate().filter_map(move |(index, id)| {
            let is_new = id != self.own && ids().take(index).all(|other| other != id);
            is_new.then_some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The roster of processors with these local APICs.
    fn roster(ids: &[u32], own: u32) -> Roster<impl Iterator<Item = Processor> + Clone> {
        let processor = |(uid, apic_id): (u32, &u32)| Processor {
            uid,
            apic_id: *apic_id,
        };
        Roster::new((0..).zip(ids).map(processor), own)
    }

    #[test]
    fn the_one_that_booted_and_those_named_twice_are_not_started() {
        let roster = roster(&[0, 2, 4, 6, 2, 4], 2);
        let chosen: Vec<u32> = roster.chosen().collect();
        assert_eq!(chosen, [0, 4, 6]);
        assert_eq!((roster.others(), roster.left_out()), (3, 0));
    }

    #[test]
    fn more_than_the_kernel_can_run_on_are_left_alone() {
        let ids: Vec<u32> = (0..20).collect();
        let roster = roster(&ids, 0);
        assert_eq!(roster.chosen().count(), MOST_CPUS - 1);
        assert_eq!((roster.others(), roster.left_out()), (19, 4));
    }
}
