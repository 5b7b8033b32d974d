//! What comes in: every check of an advert, and what a virtual router remembers for them.

use core::net::IpAddr;

use model::units::WallTime;
use model::vrrp::{
    Authentication, Destination, Family, Hmac, Peer, Unicast, Version, VrrpInstance,
};

use super::ah::Authenticated;
use super::message::{self, Message};
use super::trailer::{self, Identity, Senders, TRAILER};
use super::{AH_PROTOCOL, Advert, Discard, Received, TTL, v2, v3};

/// Memory of one virtual router's adverts: sequence numbers against replays, whose addresses were
/// checked, which checksum is wanted.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Sender of the last advert that passed.
    last: Option<IpAddr>,
    /// Greatest sequence number of authentication headers, seen or sent.
    pub(super) sequence: u32,
    /// Last time stamps of trailers.
    senders: Senders,
    /// Somebody sent the unicast checksum of old.
    pub(super) old_checksum: bool,
}

impl Guard {
    /// The addresses of the next advert are checked whoever sends it. For a new master: what it
    /// hears is no longer "the same master as before" (`skip_check_adv_addr`).
    pub fn forget_sender(&mut self) {
        self.last = None;
    }

    /// Greatest sequence number of authentication headers, seen or sent; zero without any.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Goes on from a predecessor's sequence number: what is older is a replay.
    pub fn resume_sequence(&mut self, sequence: u32) {
        self.sequence = self.sequence.max(sequence);
    }

    /// A peer sent the unicast checksum of Keepalived before 1.3.6, and so do we from then on.
    pub fn saw_old_checksum(&self) -> bool {
        self.old_checksum
    }
}

#[cfg(test)]
impl Guard {
    /// How many senders of trailers it remembers.
    pub(super) fn senders(&self) -> usize {
        self.senders.count()
    }
}

/// Reads a packet and checks everything that RFC 3768 7.1, RFC 9568 7.1 and Keepalived check,
/// except what depends on our own state and priority. `wall` is the time of arrival; only
/// `auth_hmac` asks for it.
///
/// What needs no memory is checked first, so nothing is remembered of a packet that anybody could
/// have sent.
pub fn open(
    received: &Received<'_>,
    plan: &VrrpInstance,
    guard: &mut Guard,
    wall: WallTime,
) -> Result<Advert, Discard> {
    check_family(received, plan)?;
    let payload = without_padding(received)?;
    let header = authentication_header(received, payload, plan)?;
    let bytes = header.as_ref().map_or(payload, |header| header.message);
    let trailer = if hmac(plan).is_some() { TRAILER } else { 0 };
    let message = Message::read(bytes, plan.family, trailer)?;
    check_version(&message, plan)?;
    match message::version(plan) {
        Version::V2 => v2::check_sum(&message)?,
        Version::V3 => v3::check_sum(&message, received, plan, guard)?,
    }
    check_way(received, plan)?;
    let interval = match message::version(plan) {
        Version::V2 => {
            v2::check_authentication(&message, plan)?;
            v2::interval(&message, plan)?
        }
        Version::V3 => v3::interval(&message)?,
    };
    check_signature(&message, header.as_ref(), received, plan, (guard, wall))?;
    if !(plan.skip_check_addresses && guard.last == Some(received.source)) {
        message.check_addresses(plan)?;
    }
    guard.last = Some(received.source);
    Ok(Advert { source: received.source, priority: message.priority, interval })
}

fn check_family(received: &Received<'_>, plan: &VrrpInstance) -> Result<(), Discard> {
    let (source, destination) = (received.source, received.destination);
    if Family::of(source) == plan.family && Family::of(destination) == plan.family {
        Ok(())
    } else {
        Err(Discard::Family)
    }
}

/// The payload as long as the IPv4 header says: Ethernet pads short frames.
fn without_padding<'a>(received: &Received<'a>) -> Result<&'a [u8], Discard> {
    let header = received.ipv4_header;
    let Some(&[high, low]) = header.get(2..4).and_then(|total| total.first_chunk()) else {
        return Ok(received.payload);
    };
    let total = usize::from(u16::from_be_bytes([high, low]));
    let length = total.checked_sub(header.len()).ok_or(Discard::Truncated)?;
    received.payload.get(..length).ok_or(Discard::Truncated)
}

/// The authentication header, which is there exactly if it is configured.
fn authentication_header<'a>(
    received: &Received<'a>,
    payload: &'a [u8],
    plan: &VrrpInstance,
) -> Result<Option<Authenticated<'a>>, Discard> {
    match (received.protocol == AH_PROTOCOL, key(plan)) {
        (true, Some(_)) => Authenticated::read(payload).map(Some),
        (true, None) => Err(Discard::UnexpectedHeader),
        (false, Some(_)) => Err(Discard::MissingHeader),
        (false, None) => Ok(None),
    }
}

fn check_version(message: &Message<'_>, plan: &VrrpInstance) -> Result<(), Discard> {
    let ours = message::number(message::version(plan));
    if message.version == ours { Ok(()) } else { Err(Discard::Version(message.version, ours)) }
}

/// The way it came: to whom, from whom, from how far.
fn check_way(received: &Received<'_>, plan: &VrrpInstance) -> Result<(), Discard> {
    let destination = received.destination;
    match &plan.destination {
        Destination::Multicast(group) => {
            if !destination.is_multicast() {
                return Err(Discard::Unicast(destination));
            }
            if destination != *group {
                return Err(Discard::Group(destination));
            }
            if received.ttl != TTL {
                return Err(Discard::Ttl(received.ttl));
            }
            Ok(())
        }
        Destination::Unicast(_) if destination.is_multicast() => {
            Err(Discard::Multicast(destination))
        }
        Destination::Unicast(unicast) => check_peer(received, unicast, hmac(plan).is_some()),
    }
}

/// A peer's limits hold wherever they are given. Strangers are let in unless that is forbidden,
/// or their trailers could not be told from replays.
fn check_peer(received: &Received<'_>, plan: &Unicast, hmac: bool) -> Result<(), Discard> {
    match plan.peers.iter().find(|peer| peer.address == received.source) {
        Some(&Peer { min_ttl, max_ttl, .. }) => {
            let (least, most) = (min_ttl.unwrap_or(0), max_ttl.unwrap_or(u8::MAX));
            if (least..=most).contains(&received.ttl) {
                Ok(())
            } else {
                Err(Discard::TtlRange(received.ttl, least, most))
            }
        }
        None if plan.check_source || hmac => Err(Discard::Stranger(received.source)),
        None => Ok(()),
    }
}

/// The signature of a header or trailer, and its place in their sequence.
fn check_signature(
    message: &Message<'_>,
    header: Option<&Authenticated<'_>>,
    received: &Received<'_>,
    plan: &VrrpInstance,
    (guard, wall): (&mut Guard, WallTime),
) -> Result<(), Discard> {
    let peers = match &plan.destination {
        Destination::Multicast(_) => 0,
        Destination::Unicast(unicast) => unicast.peers.len(),
    };
    if let (Some(header), Some(key)) = (header, key(plan)) {
        let unicast = matches!(plan.destination, Destination::Unicast(_));
        header.check(received, unicast, key, guard)?;
    }
    if let Some(hmac) = hmac(plan) {
        let senders = (&mut guard.senders, peers);
        let identity = identity(plan, received.source);
        trailer::check(hmac, identity, message.bytes, message.trailer, senders, wall)?;
    }
    Ok(())
}

/// Whom trailers speak for.
pub(super) fn identity(plan: &VrrpInstance, source: IpAddr) -> Identity {
    let version = message::number(message::version(plan));
    Identity { version, id: plan.virtual_router_id.number(), source }
}

/// The key of authentication headers; version 3 has none.
pub(super) fn key(plan: &VrrpInstance) -> Option<&[u8; 8]> {
    match (message::version(plan), &plan.authentication) {
        (Version::V2, Authentication::Ah(key)) => Some(key),
        (Version::V3, _)
        | (_, Authentication::None | Authentication::Pass(_) | Authentication::Hmac(_)) => None,
    }
}

/// The keys of trailers.
pub(super) fn hmac(plan: &VrrpInstance) -> Option<&Hmac> {
    match &plan.authentication {
        Authentication::Hmac(hmac) => Some(hmac),
        Authentication::None | Authentication::Pass(_) | Authentication::Ah(_) => None,
    }
}
