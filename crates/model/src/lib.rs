//! The typed Plan: everything the configuration files say, resolved, with units in the types.
//!
//! Both configuration languages are lowered into a [`Plan`]; the roles receive their part of it
//! and nothing else. The crate is pure data: no clock, no socket, no file (DESIGN: `no_std`).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod check;
mod compact;
pub mod control;
pub mod delta;
pub mod diff;
pub mod layer4;
pub mod marks;
pub mod pair;
pub mod plan;
pub mod proxy;
pub mod shared;
pub mod status;
pub mod units;
pub mod vrrp;

pub use plan::Plan;
pub use shared::Shared;
pub use units::Time;
