//! Authentication headers, and trailers computed by Python's hmac module.

use super::captured::{AH_FIRST, AH_GOODBYE, AH_SECOND, AH_SUCCESSOR, ah};
use super::*;
use core::time::Duration;
use model::vrrp::{AntiReplay, Authentication, Hmac, HmacKey, HmacMode};

const US: &str = "10.9.0.1";

#[test]
fn sequence_numbers_go_on_from_one_master_to_the_next() {
    let plan = Arc::new(ah());
    let mut guard = Guard::default();
    let hear =
        |text, guard: &mut Guard| open(&hex(text).received(), &plan, guard, WALL).map(|_| ());
    assert_eq!(hear(AH_FIRST, &mut guard), Ok(()));
    assert_eq!(hear(AH_FIRST, &mut guard), Err(Discard::Replay(1, 1)));
    assert_eq!(hear(AH_SECOND, &mut guard), Ok(()));
    assert_eq!(hear(AH_GOODBYE, &mut guard), Ok(()));
    assert_eq!(hear(AH_SECOND, &mut guard), Err(Discard::Replay(2, 9)));
    // In Keepalived's place 10.9.0.2 sent the tenth. So do we, to the byte.
    let ours = Sealer::default().emit(&mut guard, &plan, ip("10.9.0.2"), 100, WALL).to_vec();
    assert_eq!(ours[0].payload[..], *hex(AH_SUCCESSOR).received().payload);
    assert_eq!(hear(AH_SUCCESSOR, &mut guard), Err(Discard::Replay(10, 10)));
}

#[test]
fn an_authentication_header_is_there_exactly_if_configured() {
    let plain = VrrpInstance { authentication: Authentication::None, ..ah() };
    assert_eq!(hex(AH_FIRST).open(&plain), Err(Discard::UnexpectedHeader));
    let packet = &sent(&plain, US, 150)[0];
    let missing = open(&arrived(packet, &[]), &ah(), &mut Guard::default(), WALL);
    assert_eq!(missing, Err(Discard::MissingHeader));
}

#[test]
fn what_the_authentication_header_signs_cannot_change() {
    let open_changed = |index: usize| {
        let mut packet = hex(AH_FIRST);
        packet.0[index] ^= 1;
        packet.open(&ah())
    };
    // Type of service, fragmentation and header checksum may change on the way.
    for index in [1, 6, 7, 10, 11] {
        assert!(open_changed(index).is_ok(), "byte {index}");
    }
    // Identification, protocol, source; reserved bits, index, sequence and signature.
    for index in [4, 5, 13].into_iter().chain(22..44) {
        assert_eq!(open_changed(index), Err(Discard::Signature), "byte {index}");
    }
    assert_eq!(open_changed(20), Err(Discard::Header(113, 4)));
    assert_eq!(open_changed(21), Err(Discard::Header(112, 5)));
    assert_eq!(open_changed(46), Err(Discard::Checksum));
    let other_key = VrrpInstance { authentication: Authentication::Ah(*b"Secret\0\0"), ..ah() };
    assert_eq!(hex(AH_FIRST).open(&other_key), Err(Discard::Signature));
    let first = hex(AH_FIRST);
    let no_header = Received { ipv4_header: &[], ..first.received() };
    let result = open(&no_header, &ah(), &mut Guard::default(), WALL);
    assert_eq!(result, Err(Discard::Truncated));
}

#[test]
fn peers_get_the_same_sequence_number_under_their_own_signature() {
    let plan = unicast(ah(), &["10.9.0.2", "10.9.0.3"], None);
    let packets = sent(&plan, US, 150);
    assert_eq!(packets[0].payload[..12], packets[1].payload[..12]);
    assert_ne!(packets[0].payload[12..24], packets[1].payload[12..24]);
    for packet in &packets {
        let header = header(packet);
        let received = Received { ttl: 9, ..arrived(packet, &header) };
        assert!(open(&received, &plan, &mut Guard::default(), WALL).is_ok());
    }
}

const V2: &str = "213364010001705d0a0900640000000000000000\
                  010100006b49d20080000000094ec33d2f65e749900762ff8d9563e5";
const V3: &str = "31336401003275930a090064\
                  010200006b49d20080000001097ab0f3f0d50711269e1611ab142fbf";
const V6: &str = "313364010032f97ffe800000000000000000000000000033\
                  010100006b49d200800000000e2ceb08ba414fc53723e8ff4023525c";

fn hmac() -> Hmac {
    let long = b"correct horse battery staple, and then some: sixty-four bytes!!!";
    let keys =
        [HmacKey { id: 1, secret: (0..32).collect() }, HmacKey { id: 2, secret: long.into() }];
    Hmac {
        keys: keys.into(),
        active: 1,
        anti_replay: AntiReplay::Time(Duration::from_secs(5)),
        mode: HmacMode::Enforce,
    }
}

fn trailed(version: Version, address: &str, hmac: Hmac) -> VrrpInstance {
    let authentication = Authentication::Hmac(hmac);
    VrrpInstance { authentication, ..plan(version, 51, &[address]) }
}

fn seconds_off(seconds: i64) -> WallTime {
    WallTime::from_nanos(WALL.as_nanos().saturating_add_signed(seconds * 1_000_000_000))
}

#[test]
fn our_trailers_are_those_of_another_implementation() {
    let v2 = trailed(Version::V2, "10.9.0.100", hmac());
    assert_eq!(sent(&v2, US, 100)[0].payload[..], hex(V2).0);
    let v6 = trailed(Version::V3, "fe80::33", hmac());
    assert_eq!(sent(&v6, "fe80::1", 100)[0].payload[..], hex(V6).0);
    // The second advert within a moment: the counter tells them apart.
    let v3 = Arc::new(trailed(Version::V3, "10.9.0.100", Hmac { active: 2, ..hmac() }));
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    sealer.emit(&mut guard, &v3, ip(US), 100, WALL);
    let second = sealer.emit(&mut guard, &v3, ip(US), 100, WALL);
    assert_eq!(second[0].payload[..], hex(V3).0);
}

/// Opens one of the vectors at a moment so far from its stamp.
fn opened(text: &str, hmac: Hmac, off: i64, guard: &mut Guard) -> Result<(), Discard> {
    let (Packet(payload), v6) = (hex(text), text == V6);
    let (version, address) = match text {
        V2 => (Version::V2, "10.9.0.100"),
        V3 => (Version::V3, "10.9.0.100"),
        _ => (Version::V3, "fe80::33"),
    };
    let plan = trailed(version, address, hmac);
    let received = Received {
        source: if v6 { ip("fe80::1") } else { ip(US) },
        destination: plan.family.group(),
        ttl: 255,
        protocol: 112,
        ipv4_header: &[],
        payload: &payload,
    };
    open(&received, &plan, guard, seconds_off(off)).map(|_| ())
}

#[test]
fn trailers_of_every_version_family_and_key_are_accepted() {
    for text in [V2, V3, V6] {
        assert_eq!(opened(text, hmac(), 0, &mut Guard::default()), Ok(()), "{text}");
    }
}

#[test]
fn a_trailer_is_taken_once_and_within_its_window() {
    let mut guard = Guard::default();
    assert_eq!(opened(V3, hmac(), 6, &mut guard), Err(Discard::Stale(6, 5)));
    assert_eq!(opened(V3, hmac(), -6, &mut guard), Err(Discard::Stale(-6, 5)));
    assert_eq!(opened(V3, hmac(), -5, &mut guard), Ok(()));
    assert_eq!(opened(V3, hmac(), 5, &mut guard), Err(Discard::TrailerReplay));
    // Its predecessor, whose counter is one less.
    assert_eq!(opened(V2, hmac(), 0, &mut guard), Err(Discard::TrailerReplay));
    let monotonic = Hmac { anti_replay: AntiReplay::Monotonic, ..hmac() };
    let mut guard = Guard::default();
    assert_eq!(opened(V3, monotonic.clone(), 1_000, &mut guard), Ok(()));
    assert_eq!(opened(V3, monotonic, 2_000, &mut guard), Err(Discard::TrailerReplay));
}

#[test]
fn a_missing_trailer_is_an_error_only_when_enforced() {
    let plan = |mode| trailed(Version::V2, "10.9.0.100", Hmac { mode, ..hmac() });
    let silent = sent(&plan(HmacMode::ReceiveOnly), US, 100);
    assert_eq!(silent[0].payload.len(), 20);
    let opened = |mode| {
        open(&arrived(&silent[0], &[]), &plan(mode), &mut Guard::default(), WALL).map(|_| ())
    };
    assert_eq!(opened(HmacMode::Enforce), Err(Discard::MissingTrailer));
    assert_eq!(opened(HmacMode::Permissive), Ok(()));
    assert_eq!(opened(HmacMode::ReceiveOnly), Ok(()));
    let unaware = VrrpInstance { authentication: Authentication::None, ..plan(HmacMode::Enforce) };
    let signed = sent(&plan(HmacMode::Permissive), US, 100);
    let result = open(&arrived(&signed[0], &[]), &unaware, &mut Guard::default(), WALL);
    assert_eq!(result, Err(Discard::Length(48, 20)));
}

#[test]
fn what_a_trailer_signs_cannot_change() {
    let plan = trailed(Version::V3, "10.9.0.100", hmac());
    let changed = |index: usize| {
        let mut payload = hex(V3).0;
        payload[index] ^= 0x40;
        let way = sent(&plan, US, 1);
        let received = Received { payload: &payload, ..arrived(&way[0], &[]) };
        open(&received, &plan, &mut Guard::default(), WALL).map(|_| ())
    };
    assert_eq!(changed(12), Err(Discard::Trailer(0x41, 0)));
    assert_eq!(changed(15), Err(Discard::Trailer(1, 0x40)));
    assert_eq!(changed(13), Err(Discard::UnknownKey(0x42)));
    for index in 20..40 {
        assert_eq!(changed(index), Err(Discard::TrailerSignature), "byte {index}");
    }
    // The same bytes from another sender; the checksum of version 2 does not know its source.
    let plan = trailed(Version::V2, "10.9.0.100", hmac());
    let (Packet(payload), way) = (hex(V2), sent(&plan, "10.9.0.2", 1));
    let received = Received { payload: &payload, ..arrived(&way[0], &[]) };
    let result = open(&received, &plan, &mut Guard::default(), WALL);
    assert_eq!(result, Err(Discard::TrailerSignature));
}

#[test]
fn peers_share_one_trailer_and_strangers_have_none() {
    let plan = unicast(trailed(Version::V3, "10.9.0.100", hmac()), &["10.9.0.2", US], None);
    let packets = sent(&plan, US, 100);
    assert_eq!(packets[0].payload[12..], packets[1].payload[12..]);
    assert_ne!(packets[0].payload[6..8], packets[1].payload[6..8]);
    let heard = |plan: &VrrpInstance| {
        open(&arrived(&packets[0], &[]), plan, &mut Guard::default(), WALL).map(|_| ())
    };
    assert_eq!(heard(&plan), Ok(()));
    let lonely = unicast(plan, &["10.9.0.3"], None);
    assert_eq!(heard(&lonely), Err(Discard::Stranger(ip(US))));
}

#[test]
fn a_clock_set_back_leaves_no_sender_outside_for_longer_than_the_window() {
    let plan = Arc::new(trailed(Version::V2, "10.9.0.100", hmac()));
    let (mut sealer, mut theirs, mut ours) =
        (Sealer::default(), Guard::default(), Guard::default());
    let mut exchange = |off| {
        let wall = seconds_off(off);
        let packet = sealer.emit(&mut theirs, &plan, ip(US), 100, wall)[0].clone();
        open(&arrived(&packet, &[]), &plan, &mut ours, wall).map(|_| ())
    };
    assert_eq!(exchange(3_600), Ok(()));
    assert_eq!(exchange(3_598), Ok(()), "a small step: stamps go on growing");
    assert_eq!(exchange(0), Ok(()), "a great one: both begin anew");
    assert_eq!(exchange(0), Ok(()));
}

#[test]
fn the_senders_remembered_are_bounded() {
    let plan = Arc::new(trailed(Version::V2, "10.9.0.100", hmac()));
    let mut guard = Guard::default();
    for sender in 1..=100_u8 {
        let source = IpAddr::from([10, 9, 0, sender]);
        let mut sealer = Sealer::default();
        let packet = sealer.emit(&mut Guard::default(), &plan, source, 100, WALL)[0].clone();
        assert!(open(&arrived(&packet, &[]), &plan, &mut guard, WALL).is_ok());
        assert!(open(&arrived(&packet, &[]), &plan, &mut guard, WALL).is_err());
        assert!(guard.senders() <= 4);
    }
}
