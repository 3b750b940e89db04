//! A number of things, with the noun that goes with it: `1 block`, `2 blocks`. Pure.
#![forbid(unsafe_code)]

use core::fmt;

/// So many of what the noun says, which gets an `s` where there is not exactly one.
#[derive(Clone, Copy, Debug)]
pub struct Counted<T>(pub T, pub &'static str);

impl<T: Copy + TryInto<u128> + fmt::Display> fmt::Display for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = *self;
        let is_one = count.try_into().is_ok_and(|count| count == 1);
        write!(f, "{count} {noun}{}", if is_one { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn one_thing_has_no_s() {
        assert_eq!(Counted(0_u64, "block").to_string(), "0 blocks");
        assert_eq!(Counted(1_usize, "block").to_string(), "1 block");
        assert_eq!(Counted(2_u8, "region").to_string(), "2 regions");
    }
}
