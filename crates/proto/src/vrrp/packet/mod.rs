//! The advert on the wire: versions 2 and 3 over IPv4 and IPv6, every way of authentication, and
//! every cause to discard one.
//!
//! - [`open`] reads what came and checks it against the plan, with a [`Guard`] that remembers;
//! - [`Sealer`] makes what goes out, one [`Outgoing`] per destination.

mod ah;
mod checksum;
mod discard;
mod guard;
mod message;
mod sealer;
mod trailer;
mod v2;
mod v3;

#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr};

use model::units::Centiseconds;

pub use discard::Discard;
pub use guard::{Guard, open};
pub use sealer::Sealer;

/// IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;
/// IP protocol number of the authentication header that may stand before VRRP (RFC 2402).
pub const AH_PROTOCOL: u8 = 51;
/// Where IPv4 adverts go (RFC 3768 5.2.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// TTL of every multicast advert: proof that it was not routed (RFC 3768 5.2.3).
pub const TTL: u8 = 255;
/// Type of service of every advert: Internetwork control (RFC 791), as Keepalived sends it.
pub const TOS: u8 = 0xc0;
/// Most addresses of one advert: their number is one byte.
pub const ADDRESSES_MAX: usize = 255;

/// A packet as it came from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Source address of its IP header.
    pub source: IpAddr,
    /// Destination address of its IP header.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// [`PROTOCOL`], or [`AH_PROTOCOL`].
    pub protocol: u8,
    /// The IPv4 header with its options; empty for IPv6. Authentication headers sign it.
    pub ipv4_header: &'a [u8],
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// A packet to send, with type of service [`TOS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Source address.
    pub source: IpAddr,
    /// Destination: a group or a peer.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// [`PROTOCOL`], or [`AH_PROTOCOL`].
    pub protocol: u8,
    /// Identification of the IPv4 header, which an authentication header signs; 0 leaves it to
    /// the kernel.
    pub ip_id: u16,
    /// What follows the IP header, checksums and signatures filled in.
    pub payload: Arc<[u8]>,
}

/// An advert that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Who sent it.
    pub source: IpAddr,
    /// Its sender's priority; 0 says that the sender stops.
    pub priority: u8,
    /// Its sender's interval. In version 2 it is ours; in version 3 backups take it over
    /// (RFC 9568 6.4.2).
    pub interval: Centiseconds,
}

/// Which virtual router a packet is about, before anything is checked; behind an authentication
/// header too.
pub fn addressee(received: &Received<'_>) -> Option<u8> {
    let message = match received.protocol {
        AH_PROTOCOL => ah::Authenticated::read(received.payload).ok()?.message,
        _ => received.payload,
    };
    message.get(1).copied()
}

/// Compares secrets in a time that does not tell how much of them agrees.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}
