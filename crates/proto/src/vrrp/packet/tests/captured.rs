//! IP packets of Keepalived 2.2.7 between 10.9.0.1 and 10.9.0.2, priority 150 and 100.

use super::*;
use crate::vrrp::packet::AH_PROTOCOL;
use model::vrrp::{Authentication, OldChecksum, V3Checksum};

/// AH, key `secret`: 10.9.0.1 to the group, sequence 1.
pub(super) const AH_FIRST: &str = concat!(
    "45c0004400010000ff33d0a90a090001e0000012700400000a09000100000001b26a2fe933c8cd0c56c61050",
    "213d9602020131e40a0900640a0900650000000000000000",
);
/// The same, sequence 2.
pub(super) const AH_SECOND: &str = concat!(
    "45c0004400020000ff33d0a80a090001e0000012700400000a090001000000024b75e4fee875f54175861604",
    "213d9602020131e40a0900640a0900650000000000000000",
);
/// The same, priority 0, sequence 9.
pub(super) const AH_GOODBYE: &str = concat!(
    "45c0004400090000ff33d0a10a090001e0000012700400000a090001000000095c6bcc77153062fcf85c6871",
    "213d00020201c7e40a0900640a0900650000000000000000",
);
/// 10.9.0.2 took over: its first advert, sequence 10.
pub(super) const AH_SUCCESSOR: &str = concat!(
    "45c0004400010000ff33d0a80a090002e0000012700400000a0900020000000a4d4fa299a92b7da75e597f3b",
    "213d6402020163e40a0900640a0900650000000000000000",
);
/// AH, key `longersecret` cut to eight bytes, unicast with TTL 7.
pub(super) const AH_UNICAST: &str = concat!(
    "45c000400001000007339eb60a0900010a090002700400000a09000100000001f398b91db1f59bb684e31749",
    "213e960102013c500a0900660000000000000000",
);
/// Version 3 to the group, 0.5 s.
pub(super) const V3: &str = "45c0002000010000ff70d0900a090001e0000012313f9601003243840a090067";
/// The same, priority 0.
pub(super) const V3_GOODBYE: &str =
    "45c0002000140000ff70d07d0a090001e0000012313f00010032d9840a090067";
/// Version 3 to one of two peers.
pub(super) const V3_UNICAST: &str =
    "45c0002000010000ff70a6980a0900010a090002314096010032198a0a090068";
/// The same with `old_unicast_checksum`.
pub(super) const V3_OLD_CHECKSUM: &str =
    "45c0002000010000ff70a6980a0900010a09000231419601003243800a090069";
/// Version 3 over IPv6 to the group, with two addresses.
pub(super) const V6: &str = concat!(
    "6c0e374e002870fffe800000000000002cc3a1fffead9ea5ff02000000000000000000000000001231429602",
    "0032a13efe80000000000000000000000000006620010db8000000000000000000000066",
);
/// Version 3 over IPv6 to a peer; the hop limit is the kernel's 64.
pub(super) const V6_UNICAST: &str = concat!(
    "6c0c3dcd00187040fd000000000000000000000000000001fd00000000000000000000000000000231439601",
    "00323f14fe800000000000000000000000000067",
);

/// PASS `secret`: virtual router 51, priority 100, 1 s, 10.9.0.100. The message only.
const PASS: [u8; 20] = [
    0x21, 0x33, 0x64, 0x01, 0x01, 0x01, 0x33, 0x11, 0x0a, 0x09, 0x00, 0x64, 0x73, 0x65, 0x63, 0x72,
    0x65, 0x74, 0x00, 0x00,
];

pub(super) fn ah() -> VrrpInstance {
    let authentication = Authentication::Ah(*b"secret\0\0");
    VrrpInstance { authentication, ..plan(Version::V2, 61, &["10.9.0.100", "10.9.0.101"]) }
}

fn ah_unicast() -> VrrpInstance {
    let authentication = Authentication::Ah(*b"longerse");
    let plan = VrrpInstance { authentication, ..plan(Version::V2, 62, &["10.9.0.102"]) };
    unicast(plan, &["10.9.0.2"], Some(7))
}

pub(super) fn v3() -> VrrpInstance {
    plan(Version::V3, 63, &["10.9.0.103"])
}

pub(super) fn v3_unicast() -> VrrpInstance {
    unicast(plan(Version::V3, 64, &["10.9.0.104"]), &["10.9.0.2", "10.9.0.3"], None)
}

fn v3_old() -> VrrpInstance {
    let plan = plan(Version::V3, 65, &["10.9.0.105"]);
    let plan = VrrpInstance { old_unicast_checksum: OldChecksum::Sent, ..plan };
    unicast(plan, &["10.9.0.2"], None)
}

pub(super) fn v6() -> VrrpInstance {
    plan(Version::V3, 66, &["fe80::66", "2001:db8::66"])
}

fn v6_unicast() -> VrrpInstance {
    unicast(plan(Version::V3, 67, &["fe80::67"]), &["fd00::2"], Some(64))
}

/// Our advert is Keepalived's to the byte, as far as we write it.
fn assert_same(ours: &Outgoing, theirs: &str) {
    let theirs = hex(theirs);
    let received = theirs.received();
    assert_eq!(ours.payload[..], *received.payload);
    assert_eq!(
        (ours.source, ours.destination, ours.ttl, ours.protocol),
        (received.source, received.destination, received.ttl, received.protocol)
    );
    if ours.protocol == AH_PROTOCOL {
        assert_eq!(ours.ip_id.to_be_bytes(), received.ipv4_header[4..6]);
    }
}

#[test]
fn our_adverts_are_keepaliveds_to_the_byte() {
    assert_same(&sent(&ah(), "10.9.0.1", 150)[0], AH_FIRST);
    assert_same(&sent(&ah_unicast(), "10.9.0.1", 150)[0], AH_UNICAST);
    assert_same(&sent(&v3(), "10.9.0.1", 150)[0], V3);
    assert_same(&sent(&v3(), "10.9.0.1", 0)[0], V3_GOODBYE);
    assert_same(&sent(&v3_unicast(), "10.9.0.1", 150)[0], V3_UNICAST);
    assert_same(&sent(&v3_old(), "10.9.0.1", 150)[0], V3_OLD_CHECKSUM);
    assert_same(&sent(&v6(), "fe80::2cc3:a1ff:fead:9ea5", 150)[0], V6);
    assert_same(&sent(&v6_unicast(), "fd00::1", 150)[0], V6_UNICAST);
}

#[test]
fn our_password_advert_is_keepaliveds_to_the_byte() {
    let authentication = Authentication::Pass(*b"secret\0\0");
    let plan = VrrpInstance { authentication, ..plan(Version::V2, 51, &["10.9.0.100"]) };
    let ours = sent(&plan, "10.9.0.1", 100);
    assert_eq!(ours[0].payload[..], PASS);
    let advert = open(&arrived(&ours[0], &[]), &plan, &mut Guard::default(), WALL);
    let interval = Centiseconds(100);
    assert_eq!(advert, Ok(Advert { source: ip("10.9.0.1"), priority: 100, interval }));
}

#[test]
fn keepaliveds_adverts_are_accepted() {
    let backup_of = |plan: VrrpInstance| unicast(plan, &["10.9.0.1", "fd00::1"], None);
    let tests = [
        (AH_FIRST, ah(), 150, 100),
        (AH_GOODBYE, ah(), 0, 100),
        (AH_UNICAST, backup_of(ah_unicast()), 150, 100),
        (V3, v3(), 150, 50),
        (V3_GOODBYE, v3(), 0, 50),
        (V3_UNICAST, backup_of(v3_unicast()), 150, 50),
        (V3_OLD_CHECKSUM, backup_of(v3_old()), 150, 50),
        (V6, v6(), 150, 50),
        (V6_UNICAST, backup_of(v6_unicast()), 150, 50),
    ];
    for (bytes, plan, priority, interval) in tests {
        let advert = hex(bytes).open(&plan).unwrap();
        assert_eq!((advert.priority, advert.interval.0), (priority, interval), "{bytes}");
    }
}

#[test]
fn the_addressee_is_found_behind_an_authentication_header_too() {
    let id = |text| super::super::addressee(&hex(text).received());
    assert_eq!([AH_FIRST, V3, V6].map(id), [Some(61), Some(63), Some(66)]);
    let mut short = hex(AH_FIRST);
    short.0.truncate(20 + 25);
    assert_eq!(super::super::addressee(&short.received()), None);
}

#[test]
fn the_old_checksum_is_sent_once_it_was_seen_and_refused_if_never_wanted() {
    let with = |old_unicast_checksum| VrrpInstance { old_unicast_checksum, ..v3_old() };
    assert_eq!(hex(V3_OLD_CHECKSUM).open(&with(OldChecksum::Never)), Err(Discard::Checksum));

    let plan = Arc::new(with(OldChecksum::Detected));
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    let us = ip("10.9.0.1");
    let new = sealer.emit(&mut guard, &plan, us, 150, WALL)[0].payload.clone();
    open(&hex(V3_OLD_CHECKSUM).received(), &plan, &mut guard, WALL).unwrap();
    assert!(guard.saw_old_checksum());
    let old = sealer.emit(&mut guard, &plan, us, 150, WALL)[0].payload.clone();
    assert_ne!(new, old);
    assert_eq!(old[..], *hex(V3_OLD_CHECKSUM).received().payload);
}

#[test]
fn both_readings_of_the_version_3_checksum_are_accepted() {
    for v3_checksum in [V3Checksum::WithPseudoHeader, V3Checksum::AsVersion2] {
        let theirs = sent(&VrrpInstance { v3_checksum, ..v3() }, "10.9.0.1", 150);
        for v3_checksum in [V3Checksum::WithPseudoHeader, V3Checksum::AsVersion2] {
            let ours = VrrpInstance { v3_checksum, ..v3() };
            let opened = open(&arrived(&theirs[0], &[]), &ours, &mut Guard::default(), WALL);
            assert!(opened.is_ok(), "{opened:?}");
        }
    }
}
