//! Namespaces, topologies, traffic and drills: a configuration rehearsed on one machine.
#![forbid(unsafe_code)]

pub mod client;
pub mod net;
pub mod server;
pub mod topology;
pub mod traffic;
