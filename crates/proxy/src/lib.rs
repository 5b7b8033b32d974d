//! Layer 7, sans-IO: what bytes mean and what is to be done with them. The `worker` crate owns
//! the sockets; everything here borrows bytes and returns ranges, decisions and text.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod balance;
pub mod forwarded;
pub mod http1;
pub mod log;
pub mod program;
pub mod reply;
pub mod rules;
