//! What version 3 has of its own: hundredths of a second, which backups learn from the master,
//! and three readings of the checksum over IPv4.

use core::net::IpAddr;

use model::units::Centiseconds;
use model::vrrp::{Destination, Family, OldChecksum, V3Checksum, VrrpInstance};

use super::checksum::Sum;
use super::message::Message;
use super::{Discard, Guard, Received};

/// The greatest interval on the wire: twelve bits.
const INTERVAL_MAX: u32 = 0xfff;

/// Four reserved bits and the interval.
pub(super) fn specific(plan: &VrrpInstance) -> [u8; 2] {
    (plan.advert_interval.0.clamp(1, INTERVAL_MAX) as u16).to_be_bytes()
}

/// The master's interval. Zero would let its backups take over without a pause.
pub(super) fn interval(message: &Message<'_>) -> Result<Centiseconds, Discard> {
    match u32::from(u16::from_be_bytes(message.specific)) & INTERVAL_MAX {
        0 => Err(Discard::ZeroInterval),
        interval => Ok(Centiseconds(interval)),
    }
}

/// The checksum. Over IPv6 the pseudo header belongs to it (RFC 8200 8.1), and a trailer is part
/// of the packet. Over IPv4 any reading will do: with the pseudo header, as Keepalived sends it;
/// without, as in RFC 9568 5.2.8; and, unless refused, that of Keepalived before 1.3.6, which put
/// the group into the pseudo header of unicast adverts. That one is remembered.
pub(super) fn check_sum(
    message: &Message<'_>,
    received: &Received<'_>,
    plan: &VrrpInstance,
    guard: &mut Guard,
) -> Result<(), Discard> {
    let (source, destination) = (received.source, received.destination);
    let right = |start: Sum| start.with(message.bytes).with(message.trailer).finish() == 0;
    match message.family {
        Family::Ipv6 => {
            let length = message.bytes.len() + message.trailer.len();
            if right(Sum::of_pseudo_header(source, destination, length)) {
                return Ok(());
            }
        }
        Family::Ipv4 => {
            let length = message.bytes.len();
            let right = |start: Sum| start.with(message.bytes).finish() == 0;
            if right(Sum::of_pseudo_header(source, destination, length)) || right(Sum::default()) {
                return Ok(());
            }
            let old = Sum::of_pseudo_header(source, Family::Ipv4.group(), length);
            if old_is_accepted(plan) && right(old) {
                guard.old_checksum = true;
                return Ok(());
            }
        }
    }
    Err(Discard::Checksum)
}

fn old_is_accepted(plan: &VrrpInstance) -> bool {
    match (&plan.destination, plan.old_unicast_checksum) {
        (Destination::Unicast(_), OldChecksum::Detected | OldChecksum::Sent) => true,
        (Destination::Unicast(_), OldChecksum::Never) | (Destination::Multicast(_), _) => false,
    }
}

/// What is summed before a message that we send over IPv4.
pub(super) fn start_of_sum(
    plan: &VrrpInstance,
    guard: &Guard,
    (source, destination): (IpAddr, IpAddr),
    length: usize,
) -> Sum {
    let old = match plan.old_unicast_checksum {
        OldChecksum::Detected => guard.old_checksum,
        OldChecksum::Sent => true,
        OldChecksum::Never => false,
    };
    match (plan.v3_checksum, &plan.destination) {
        (V3Checksum::AsVersion2, _) => Sum::default(),
        (V3Checksum::WithPseudoHeader, Destination::Unicast(_)) if old => {
            Sum::of_pseudo_header(source, Family::Ipv4.group(), length)
        }
        (V3Checksum::WithPseudoHeader, Destination::Unicast(_) | Destination::Multicast(_)) => {
            Sum::of_pseudo_header(source, destination, length)
        }
    }
}
