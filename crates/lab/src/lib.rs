//! Namespaces, topologies, traffic and drills: a configuration rehearsed on one machine.
#![forbid(unsafe_code)]

pub mod net;
