//! Chooses one server for a new connection: pure functions and small states, one file per family.
//! They are the reference that the BPF code is tested against, and they make the tables that it
//! looks up.
//!
//! All of them choose as IPVS does and walk the servers in its order: the one added last comes
//! first. A server of weight 0 drains; one that has met its upper threshold is passed over.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod connections;
mod failover;
mod hash;
mod hashing;
mod locality;
mod maglev;
mod random;
mod round_robin;
#[cfg(test)]
mod samples;

pub use connections::{least_connection, never_queue, shortest_delay, weighted_least_connection};
pub use failover::{failover, overflow};
pub use hash::fold;
pub use hashing::{HashTable, destination_table, source_table};
pub use locality::{Collector, LOCALITIES_MAX, Localities, Located, Replication};
pub use maglev::{MAGLEV_SLOTS, MaglevServer, MaglevTable, maglev_table};
pub use random::{SEQUENCE_STEP, draws, two_choices};
pub use round_robin::{RoundRobin, WeightedRoundRobin};

/// What a scheduler knows of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Share of new connections; 0 gets none.
    pub weight: u32,
    /// TCP connections between their SYN and the first FIN or RST.
    pub active: u32,
    /// Other connections, all of UDP among them.
    pub inactive: u32,
    /// It has met its upper threshold and is not yet below the lower one
    /// (IPVS: `IP_VS_DEST_F_OVERLOAD`).
    pub overloaded: bool,
}

impl Candidate {
    /// Whether it may get a new connection.
    pub const fn is_available(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }
}
