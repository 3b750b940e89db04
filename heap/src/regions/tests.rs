//! Addresses as keys.

use super::region_key;

#[test]
fn addresses_of_the_widest_address_spaces_have_keys_of_their_own() {
    let address = 0x1234_5000_usize;
    for shift in 29..64 {
        assert_ne!(
            region_key(address),
            region_key(address | 1 << shift),
            "bit {shift}"
        );
    }
    assert!(region_key(address) < region_key(address + 1));
}
