//! Packets as they come and go.

use alloc::sync::Arc;
use core::net::IpAddr;

/// A packet as it came from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Protocol of the payload: 112, or 51 for an authentication header.
    pub protocol: u8,
    /// The IPv4 header with its options; empty for IPv6.
    pub ipv4_header: &'a [u8],
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// A packet to send, with TOS 0xc0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Protocol of the payload: 112, or 51 for an authentication header.
    pub protocol: u8,
    /// Identification of the IPv4 header; 0 leaves it to the kernel.
    pub ip_id: u16,
    /// What follows the IP header.
    pub payload: Arc<[u8]>,
}
