//! Bidirectional forwarding detection.

use alloc::string::String;
use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// One session (`bfd_instance`; RFC 5880, 5881, 5883).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSession {
    /// The name in the file.
    pub name: String,
    /// The other end (`neighbor_ip`).
    pub neighbour: IpAddr,
    /// This end (`source_ip`).
    pub source: Option<IpAddr>,
    /// Least time between packets we can receive (RequiredMinRxInterval).
    pub min_rx: Duration,
    /// Least time between packets we want to send (DesiredMinTxInterval).
    pub min_tx: Duration,
    /// The same while the session is not up.
    pub idle_tx: Duration,
    /// Packets missed before the session is down, 1 to 255.
    pub multiplier: u8,
    /// Wait for the other end to begin.
    pub passive: bool,
    /// TTL or hop limit sent: 255, or 64 for IPv6, when the file gives none (resolved already).
    pub ttl: u8,
    /// Hops that a received packet may have made; 255 switches the check off.
    pub max_hops: u8,
    /// VRRP follows it.
    pub for_vrrp: bool,
    /// Checkers follow it.
    pub for_checkers: bool,
}
