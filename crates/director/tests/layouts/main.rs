//! From one layout of the maps to another and back, under traffic: the engine is compiled a second
//! time here, over maps in which everything stands elsewhere.

mod arrive;
#[path = "../packets/audit.rs"]
#[allow(dead_code, reason = "the tests of packets use the rest")]
mod audit;
#[path = "../packets/bed.rs"]
#[allow(dead_code, reason = "the tests of packets use the rest")]
mod bed;
#[path = "../packets/frame.rs"]
#[allow(dead_code, reason = "the tests of packets use the rest")]
mod frame;
mod stream;
mod upgrade;
mod variant;
#[path = "../network/world.rs"]
#[allow(dead_code, reason = "the tests of the network use the rest")]
mod world;
#[path = "../../src/xdp/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "an engine for another crate, not all of it needed")]
mod xdp;

// What the engine takes from the crate that it is part of.
use director::{
    Destination, DestinationLoad, Engine, EngineError, ServiceSettings, TableChange, Tables,
};
