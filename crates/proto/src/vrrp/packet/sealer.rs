//! What goes out: adverts, kept while nothing changes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::units::WallTime;
use model::vrrp::{Destination, Family, Version, VrrpInstance};

use super::ah::Envelope;
use super::checksum::Sum;
use super::message::{self, CHECKSUM};
use super::trailer::{self, Sent, TRAILER};
use super::{AH_PROTOCOL, Guard, Outgoing, PROTOCOL, TTL, ah, guard, v3};

/// Makes the adverts of one virtual router.
#[derive(Debug, Default)]
pub struct Sealer {
    made: Option<Made>,
    /// Identification of the last packet with an authentication header.
    ip_id: u16,
    sent: Sent,
}

/// What the packets were made of, and the packets.
#[derive(Debug)]
struct Made {
    plan: Arc<VrrpInstance>,
    source: IpAddr,
    priority: u8,
    old_checksum: bool,
    packets: Vec<Outgoing>,
}

impl Sealer {
    /// One advert: a packet to the group, or one to each peer. `priority` 0 says that we stop.
    /// `wall` is the wall clock now; only `auth_hmac` asks for it.
    ///
    /// Packets are kept while plan (by pointer), source and priority stay the same: nothing is
    /// allocated then. Headers and trailers are signed anew in place, provided that the caller
    /// has dropped the packets of the time before.
    pub fn emit(
        &mut self,
        guard: &mut Guard,
        plan: &Arc<VrrpInstance>,
        source: IpAddr,
        priority: u8,
        wall: WallTime,
    ) -> &[Outgoing] {
        let made = match self.made.take().filter(|made| made.is(guard, plan, source, priority)) {
            Some(made) => made,
            None => Made::new(guard, plan, source, priority),
        };
        let made = self.made.insert(made);
        if let Some(key) = guard::key(plan) {
            self.ip_id = self.ip_id.checked_add(1).unwrap_or(1);
            let sequence = ah::next_sequence(guard);
            for packet in &mut made.packets {
                packet.ip_id = self.ip_id;
                let Outgoing { source, destination, ttl, ip_id, .. } = *packet;
                let envelope = Envelope { source, destination, ttl, ip_id };
                ah::sign(envelope, Arc::make_mut(&mut packet.payload), key, sequence);
            }
        }
        if let Some(hmac) = guard::hmac(plan) {
            let Some(first) = made.packets.first() else { return &[] };
            let end = first.payload.len().saturating_sub(TRAILER);
            let identity = guard::identity(plan, source);
            let message = &first.payload[..end];
            if let Some(trailer) = trailer::make(hmac, identity, message, &mut self.sent, wall) {
                for packet in &mut made.packets {
                    // In place when nobody else holds it, else in a copy.
                    let payload = Arc::make_mut(&mut packet.payload);
                    payload[end..].copy_from_slice(&trailer);
                    sum_ipv6(payload, (source, packet.destination));
                }
            }
        }
        &made.packets
    }
}

impl Made {
    fn new(guard: &Guard, plan: &Arc<VrrpInstance>, source: IpAddr, priority: u8) -> Made {
        let unsigned = message::write(plan, priority);
        let to = |destination, ttl| {
            let (mut message, mut protocol) = (unsigned.clone(), PROTOCOL);
            fill_sum(&mut message, plan, guard, (source, destination));
            if guard::hmac(plan).is_some_and(trailer::is_sent) {
                message.extend_from_slice(&[0; TRAILER]);
            }
            if guard::key(plan).is_some() {
                message = ah::wrap(&message, source);
                protocol = AH_PROTOCOL;
            }
            sum_ipv6(&mut message, (source, destination));
            Outgoing { source, destination, ttl, protocol, ip_id: 0, payload: message.into() }
        };
        let packets = match &plan.destination {
            Destination::Multicast(group) => Vec::from([to(*group, TTL)]),
            Destination::Unicast(unicast) => {
                let ttl = unicast.ttl.unwrap_or(TTL);
                unicast.peers.iter().map(|peer| to(peer.address, ttl)).collect()
            }
        };
        let old_checksum = guard.saw_old_checksum();
        Made { plan: plan.clone(), source, priority, old_checksum, packets }
    }

    fn is(&self, guard: &Guard, plan: &Arc<VrrpInstance>, source: IpAddr, priority: u8) -> bool {
        Arc::ptr_eq(&self.plan, plan)
            && (self.source, self.priority) == (source, priority)
            && self.old_checksum == guard.saw_old_checksum()
    }
}

/// The checksum over IPv4, which ends with the message.
fn fill_sum(message: &mut [u8], plan: &VrrpInstance, guard: &Guard, way: (IpAddr, IpAddr)) {
    let start = match (plan.family, message::version(plan)) {
        (Family::Ipv6, _) => return,
        (Family::Ipv4, Version::V2) => Sum::default(),
        (Family::Ipv4, Version::V3) => v3::start_of_sum(plan, guard, way, message.len()),
    };
    let sum = start.with(message).finish();
    message[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum over IPv6, which covers a trailer too.
fn sum_ipv6(payload: &mut [u8], (source, destination): (IpAddr, IpAddr)) {
    if Family::of(destination) == Family::Ipv6 {
        payload[CHECKSUM].fill(0);
        let sum = Sum::of_pseudo_header(source, destination, payload.len()).with(payload).finish();
        payload[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    }
}
