//! Adverts. The first byte chooses the plan, the second is the TTL, the rest is the packet; with
//! an authentication header the IPv4 header comes first.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::units::{VirtualRouterId, WallTime};
use model::vrrp::{
    AntiReplay, Authentication, Destination, Family, Hmac, HmacKey, HmacMode, Peer, Unicast,
    Version, VirtualAddress, VrrpInstance,
};
use proto::vrrp::packet::{self, AH_PROTOCOL, Advert, Guard, PROTOCOL, Received, Sealer};

/// 2027-01-15 08:00:00.5 UTC, the time of the corpus.
const WALL: WallTime = WallTime::from_nanos(1_800_000_000_500_000_000);

/// Version 2 over IPv4, without authentication or with a password.
pub fn advert_v2(bytes: &[u8]) {
    let Some((choice, ttl, payload)) = split(bytes) else { return };
    let authentication = match choice & 2 {
        0 => Authentication::None,
        _ => Authentication::Pass(*b"secret\0\0"),
    };
    let plan = plan(choice, Version::V2, Family::Ipv4, authentication);
    hear(&plan, ttl, &[], payload);
}

/// Version 3 over both families.
pub fn advert_v3(bytes: &[u8]) {
    let Some((choice, ttl, payload)) = split(bytes) else { return };
    let family = if choice & 2 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    hear(&plan(choice, Version::V3, family, Authentication::None), ttl, &[], payload);
}

/// Version 2 behind an authentication header.
pub fn advert_ah(bytes: &[u8]) {
    let Some((choice, ttl, packet)) = split(bytes) else { return };
    let Some((header, payload)) = packet.split_at_checked(20) else { return };
    let authentication = Authentication::Ah(*b"secret\0\0");
    let plan = plan(choice, Version::V2, Family::Ipv4, authentication);
    if hear(&plan, ttl, header, payload).is_some() {
        let mut guard = Guard::default();
        let received = received(&plan, ttl, header, payload);
        packet::open(&received, &plan, &mut guard, WALL).expect("it was accepted before");
        packet::open(&received, &plan, &mut guard, WALL).expect_err("it is a replay");
    }
}

/// Both versions and families with a trailer.
pub fn advert_hmac(bytes: &[u8]) {
    let Some((choice, ttl, payload)) = split(bytes) else { return };
    let version = if choice & 2 == 0 { Version::V2 } else { Version::V3 };
    let family = if choice & 4 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    let hmac = Hmac {
        keys: [HmacKey { id: 1, secret: (0..32).collect() }].into(),
        active: 1,
        anti_replay: match choice & 8 {
            0 => AntiReplay::Time(Duration::from_secs(5)),
            _ => AntiReplay::Monotonic,
        },
        mode: if choice & 16 == 0 { HmacMode::Enforce } else { HmacMode::Permissive },
    };
    let enforced = hmac.mode == HmacMode::Enforce;
    let plan = plan(choice, version, family, Authentication::Hmac(hmac));
    if hear(&plan, ttl, &[], payload).is_some() && enforced {
        let mut guard = Guard::default();
        let received = received(&plan, ttl, &[], payload);
        packet::open(&received, &plan, &mut guard, WALL).expect("it was accepted before");
        packet::open(&received, &plan, &mut guard, WALL).expect_err("it is a replay");
    }
}

fn split(bytes: &[u8]) -> Option<(u8, u8, &[u8])> {
    match bytes {
        [choice, ttl, rest @ ..] => Some((*choice, *ttl, rest)),
        _ => None,
    }
}

/// The lowest bit of the choice is unicast.
fn plan(
    choice: u8,
    version: Version,
    family: Family,
    authentication: Authentication,
) -> VrrpInstance {
    let address: IpAddr = match family {
        Family::Ipv4 => [10, 9, 0, 100].into(),
        Family::Ipv6 => [0xfe80, 0, 0, 0, 0, 0, 0, 0x33].into(),
    };
    let destination = match choice & 1 {
        0 => Destination::Multicast(family.group()),
        _ => {
            let peer = Peer { address: source(family), min_ttl: Some(2), max_ttl: None };
            Destination::Unicast(Unicast { peers: vec![peer], ..Unicast::default() })
        }
    };
    let id = VirtualRouterId::try_from(51).expect("not zero");
    VrrpInstance {
        version,
        family,
        authentication,
        destination,
        addresses: vec![VirtualAddress::new(address, 32)],
        skip_check_addresses: choice & 32 != 0,
        ..VrrpInstance::new("VI_1", "eth0", id)
    }
}

fn source(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => [10, 9, 0, 1].into(),
        Family::Ipv6 => [0xfe80, 0, 0, 0, 0, 0, 0, 1].into(),
    }
}

fn received<'a>(
    plan: &VrrpInstance,
    ttl: u8,
    ipv4_header: &'a [u8],
    payload: &'a [u8],
) -> Received<'a> {
    let destination = match (&plan.destination, plan.family) {
        (Destination::Multicast(group), _) => *group,
        (Destination::Unicast(_), Family::Ipv4) => [10, 9, 0, 2].into(),
        (Destination::Unicast(_), Family::Ipv6) => [0xfe80, 0, 0, 0, 0, 0, 0, 2].into(),
    };
    let protocol = match plan.authentication {
        Authentication::Ah(_) => AH_PROTOCOL,
        Authentication::None | Authentication::Pass(_) | Authentication::Hmac(_) => PROTOCOL,
    };
    Received { source: source(plan.family), destination, ttl, protocol, ipv4_header, payload }
}

/// Opens a packet. What is accepted keeps its promises, and we can send ours afterwards.
fn hear(plan: &VrrpInstance, ttl: u8, header: &[u8], payload: &[u8]) -> Option<Advert> {
    let received = received(plan, ttl, header, payload);
    let id = packet::addressee(&received);
    let mut guard = Guard::default();
    let advert = packet::open(&received, plan, &mut guard, WALL);
    let plan = Arc::new(plan.clone());
    let priority = advert.map_or(0, |advert| advert.priority);
    let ours =
        Sealer::default().emit(&mut guard, &plan, received.source, priority, WALL).first().cloned();
    assert!(ours.is_some_and(|packet| packet.payload.len() >= 12));
    match advert {
        Ok(advert) => {
            assert!(advert.interval.0 > 0 && id.is_some_and(|id| id > 0));
            Some(advert)
        }
        Err(discard) => {
            assert!(!discard.to_string().is_empty());
            None
        }
    }
}
