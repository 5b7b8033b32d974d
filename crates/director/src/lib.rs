//! Layer 4: the [`Engine`] trait, and the engine that forwards packets in XDP.
#![forbid(unsafe_code)]

mod engine;
mod variant;
pub mod xdp;

pub use engine::{
    Destination, DestinationLoad, Engine, EngineError, ServiceSettings, ServiceTable, TableChange,
    Tables, diff,
};
