//! VRRP version 2 over IPv4 (RFC 3768, with the simple password of RFC 2338), without sockets or
//! clocks.
//!
//! - [`packet`]: the bytes of an advert, and every cause to discard one;
//! - [`transition`]: the state machine, spelled out;
//! - [`instance`]: one virtual router with its timers;
//! - [`router`]: all of them, with the groups that change state together.

pub mod instance;
mod output;
pub mod packet;
mod reload;
pub mod router;
pub mod transition;

pub use instance::Instance;
pub use output::{Alarm, Announced, LinkState, Output, Subject, Surroundings, Task};
pub use packet::{Advert, Discard};
pub use router::Router;
pub use transition::Reason;
