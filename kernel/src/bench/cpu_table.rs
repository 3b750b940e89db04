//! The table of what each CPU's part of the heap costs. Pure.
#![forbid(unsafe_code)]

use core::fmt;

/// What an allocation and a free cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// An allocation.
    pub allocate: u32,
    /// A free.
    pub free: u32,
}

/// What objects cost that one CPU allocates and another one frees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// The other one's free.
    pub free: u32,
    /// Allocating as many again on the first one, which takes in what came back: the mean.
    pub again: u32,
    /// The most that one of these took.
    pub most: u32,
}

/// What a CPU found: a line of the table. Displays as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCosts {
    /// Its number.
    pub cpu: usize,
    /// Its own objects, while all other CPUs wait.
    pub others_wait: Pair,
    /// Its own objects, while all other CPUs do the same.
    pub others_work: Pair,
    /// Its objects, freed by the next CPU; `None` where there is no other one.
    pub crossing: Option<Crossing>,
}

/// The lines above those of the CPUs. Displays as those.
#[derive(Clone, Copy, Debug)]
pub struct CpuHead;

impl fmt::Display for CpuHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "       others wait       others work       freed by the next CPU"
        )?;
        write!(
            f,
            "CPU    alloc    free     alloc    free       free   again    most"
        )
    }
}

impl fmt::Display for CpuCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            others_wait: wait,
            others_work: work,
            crossing,
        } = self;
        write!(f, "{cpu:>3}")?;
        write!(f, "{:>9}{:>8}", wait.allocate, wait.free)?;
        write!(f, "{:>10}{:>8}", work.allocate, work.free)?;
        match crossing {
            Some(crossing) => {
                let Crossing { free, again, most } = crossing;
                write!(f, "{free:>11}{again:>8}{most:>8}")
            }
            None => write!(f, "{:>11}{:>8}{:>8}", "-", "-", "-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let pair = |allocate, free| Pair { allocate, free };
        let mut row = CpuCosts {
            cpu: 15,
            others_wait: pair(101, 102),
            others_work: pair(103, 104),
            crossing: Some(Crossing {
                free: 205,
                again: 206,
                most: 2307,
            }),
        };
        let head = CpuHead.to_string();
        assert_eq!(
            head.lines().last().map(str::len),
            Some(row.to_string().len())
        );
        assert_eq!(
            row.to_string(),
            " 15      101     102       103     104        205     206    2307"
        );
        row.crossing = None;
        assert_eq!(
            row.to_string(),
            " 15      101     102       103     104          -       -       -"
        );
    }
}
