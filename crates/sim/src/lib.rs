//! A virtual clock and a LAN for the tests of the pure crates: no socket, no sleep, and the same
//! run again from the same seed.
#![forbid(unsafe_code)]

pub mod lan;
pub mod random;
pub mod vrrp;
