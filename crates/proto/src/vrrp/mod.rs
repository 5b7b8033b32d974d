//! VRRP versions 2 and 3 (RFC 3768, RFC 5798, RFC 9568) with Keepalived's groups, trackers and
//! notices, without sockets or clocks.
//!
//! - [`packet`]: the bytes of an advert, and every cause to discard one;
//! - [`transition`]: the state machine, spelled out;
//! - `instance`: one virtual router with its timers; `election`: what it makes of adverts;
//!   `rival`: another master beside it; `reload`, `difference`: another configuration of it;
//! - `tracking`, `faults`, `links`: what it depends on; `conditions`: what it makes of that;
//! - `group`: instances that change state together;
//! - [`Router`]: all of them; `configure`: how it takes over a configuration.

mod conditions;
mod configure;
mod deadlines;
mod difference;
mod election;
mod faults;
mod group;
mod instance;
mod links;
mod output;
pub mod packet;
mod reload;
mod rival;
mod router;
mod status;
mod tracking;
pub mod transition;

#[cfg(test)]
mod tests;

pub use faults::{Conditions, Fault};
pub use instance::{Instance, fixed_source};
pub use output::{Alarm, Announced, LinkState, Output, Subject, Surroundings, Task};
pub use packet::{Advert, Discard};
pub use router::{Router, way_out};
pub use transition::Reason;
