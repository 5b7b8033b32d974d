//! Protocols without I/O: state machines that take time and input as arguments and give out what
//! is to be done. Drivers do it and decide nothing.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bfd;
pub mod check;
pub mod vrrp;
