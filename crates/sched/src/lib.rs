//! Chooses one server for a new connection: pure functions and small states, one file per family.
//! They are the reference that the BPF code is tested against.
//!
//! All of them pass over servers of weight 0, as IPVS does.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod connections;
mod round_robin;

pub use connections::least_connection;
pub use round_robin::{RoundRobin, WeightedRoundRobin};

/// What a scheduler knows of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Share of new connections; 0 gets none.
    pub weight: u32,
    /// Connections in state ESTABLISHED.
    pub active: u32,
    /// Connections in any other state.
    pub inactive: u32,
}
