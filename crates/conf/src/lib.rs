//! Text to Plan: the two configuration languages, their diagnostics, and the checks across files.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod diagnostic;
pub mod haproxy;
pub mod keepalived;
pub mod source;
