//! Raw sockets of a protocol that speaks straight over IP, as VRRP does: one [`Receiver`] for
//! each place where packets are heard, and one [`Sender`] for all that is sent.

mod ipv4;
mod receive;
mod send;

pub(crate) use receive::unspecified;
pub use receive::{Packet, Receiver};
pub use send::{Outgoing, Sender};

/// Type of service and traffic class: internetwork control (RFC 791), as routing protocols use.
const INTERNETWORK_CONTROL: u8 = 0xc0;
/// The queueing priority that goes with it (TC_PRIO_CONTROL).
const PRIORITY_CONTROL: i32 = 7;
/// Room for bursts of many virtual routers, in bytes as the kernel counts them.
const SOCKET_BUFFER: i32 = 1 << 20;

#[cfg(test)]
mod tests;
