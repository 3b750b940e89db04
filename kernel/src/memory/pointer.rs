//! Pointers to memory that Rust did not allocate: the one place where they are made of addresses.

use core::ptr;

/// Returns a pointer to `address`. Whether anything is there, and whose it is, is for the one to know who uses it.
#[must_use]
pub fn pointer_to<T>(address: u64) -> *mut T {
    let address = usize::try_from(address).expect("addresses have 64 bits");
    ptr::with_exposed_provenance_mut(address)
}
