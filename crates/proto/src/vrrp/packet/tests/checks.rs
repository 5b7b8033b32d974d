//! Every cause to discard has its test.

use super::captured::{v3, v3_unicast, v6};
use super::*;
use crate::vrrp::packet::checksum::Sum;
use model::status::AdvertErrors;
use model::vrrp::Authentication;

const US: &str = "10.9.0.1";

fn v2() -> VrrpInstance {
    let authentication = Authentication::Pass(*b"secret\0\0");
    VrrpInstance { authentication, ..plan(Version::V2, 51, &["10.9.0.100", "10.9.0.101"]) }
}

/// Opens our own advert of `theirs` after a change, its checksum made right again.
fn opened(
    theirs: &VrrpInstance,
    ours: &VrrpInstance,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Advert, Discard> {
    let packet = &sent(theirs, US, 100)[0];
    let mut payload = packet.payload.to_vec();
    change(&mut payload);
    if payload.len() >= 8 {
        payload[6..8].fill(0);
        let sum = Sum::default().with(&payload).finish();
        payload[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    let received = Received { payload: &payload, ..arrived(packet, &[]) };
    open(&received, ours, &mut Guard::default(), WALL)
}

fn with_byte(index: usize, value: u8) -> impl FnOnce(&mut Vec<u8>) {
    move |payload| payload[index] = value
}

#[test]
fn a_malformed_message_is_named() {
    let changed = |index, value| opened(&v2(), &v2(), with_byte(index, value));
    assert!(changed(2, 0).is_ok());
    assert_eq!(changed(0, 0x22), Err(Discard::Type(2)));
    assert_eq!(changed(0, 0x41), Err(Discard::Length(24, 16)));
    assert_eq!(changed(1, 0), Err(Discard::VirtualRouterId));
    assert_eq!(changed(3, 3), Err(Discard::Truncated));
    assert_eq!(changed(3, 1), Err(Discard::Length(24, 20)));
    let cut = |length| opened(&v2(), &v2(), |payload| payload.truncate(length));
    for length in 0..24 {
        assert_eq!(cut(length), Err(Discard::Truncated));
    }
    let broken = |plan: &VrrpInstance| {
        let mut packet = sent(plan, US, 100)[0].clone();
        Arc::make_mut(&mut packet.payload)[2] ^= 1;
        open(&arrived(&packet, &[]), plan, &mut Guard::default(), WALL)
    };
    assert_eq!(broken(&v2()), Err(Discard::Checksum));
    assert_eq!(broken(&v3()), Err(Discard::Checksum));
    let mut packet = sent(&v6(), "fe80::1", 100)[0].clone();
    Arc::make_mut(&mut packet.payload)[2] ^= 1;
    let result = open(&arrived(&packet, &[]), &v6(), &mut Guard::default(), WALL);
    assert_eq!(result, Err(Discard::Checksum));
}

#[test]
fn another_version_than_configured_is_discarded() {
    let (two, three) = (v2(), VrrpInstance { version: Version::V3, ..v2() });
    assert_eq!(opened(&two, &three, |_| ()), Err(Discard::Version(2, 3)));
    assert_eq!(opened(&three, &two, |_| ()), Err(Discard::Version(3, 2)));
}

#[test]
fn version_2_checks_authentication_and_interval() {
    let changed = |index, value| opened(&v2(), &v2(), with_byte(index, value));
    assert_eq!(changed(4, 3), Err(Discard::UnknownAuthentication(3)));
    assert_eq!(changed(4, 0), Err(Discard::AuthenticationType(0, 1)));
    assert_eq!(changed(16, b'S'), Err(Discard::Password));
    assert_eq!(changed(5, 2), Err(Discard::Interval(2, 1)));
}

#[test]
fn version_2_rounds_parts_of_a_second_up() {
    let with = |interval| VrrpInstance { advert_interval: Centiseconds(interval), ..v2() };
    let wire = |interval| sent(&with(interval), US, 1)[0].payload[5];
    assert_eq!([1, 100, 101, 99_999].map(wire), [1, 1, 2, 255]);
}

#[test]
fn version_3_tells_the_masters_interval_and_refuses_none() {
    let with = |interval| VrrpInstance { advert_interval: Centiseconds(interval), ..v3() };
    let learnt = |interval| opened(&with(interval), &v3(), |_| ()).unwrap().interval.0;
    assert_eq!([1, 100, 4_095, 5_000].map(learnt), [1, 100, 4_095, 4_095]);
    // The four bits before it are reserved and ignored.
    assert_eq!(opened(&v3(), &v3(), with_byte(4, 0xf0)).unwrap().interval.0, 50);
    assert_eq!(opened(&v3(), &v3(), with_byte(5, 0)), Err(Discard::ZeroInterval));
}

#[test]
fn addresses_have_to_be_ours_in_any_order() {
    let turned = VrrpInstance { addresses: v2().addresses.into_iter().rev().collect(), ..v2() };
    assert!(opened(&v2(), &turned, |_| ()).is_ok());
    let fewer = VrrpInstance { addresses: Vec::new(), ..v2() };
    assert_eq!(opened(&v2(), &fewer, |_| ()), Err(Discard::AddressCount(2, 0)));
    let strange = opened(&v2(), &v2(), with_byte(15, 9));
    assert_eq!(strange, Err(Discard::Address(ip("10.9.0.9"))));
    let twice = opened(&v2(), &v2(), with_byte(15, 100));
    assert_eq!(twice, Err(Discard::Lacks(ip("10.9.0.101"))));
}

#[test]
fn addresses_of_the_same_sender_are_checked_once_if_so_configured() {
    let ours = VrrpInstance { skip_check_addresses: true, ..v2() };
    let stranger = VrrpInstance { addresses: v3().addresses, ..v2() };
    let mut guard = Guard::default();
    let hear = |theirs: &VrrpInstance, guard: &mut Guard| {
        open(&arrived(&sent(theirs, US, 100)[0], &[]), &ours, guard, WALL).map(|_| ())
    };
    let refused = Err(Discard::AddressCount(1, 2));
    assert_eq!(hear(&stranger, &mut guard), refused);
    assert_eq!(hear(&v2(), &mut guard), Ok(()));
    assert_eq!(hear(&stranger, &mut guard), Ok(()));
    guard.forget_sender();
    assert_eq!(hear(&stranger, &mut guard), refused);
}

#[test]
fn more_addresses_than_an_advert_holds_are_cut() {
    let many = VrrpInstance { addresses: alloc::vec![v3().addresses[0].clone(); 300], ..v2() };
    assert_eq!(sent(&many, US, 1)[0].payload.len(), 8 + 4 * 255 + 8);
    assert!(opened(&many, &many, |_| ()).is_ok());
}

#[test]
fn multicast_comes_unrouted_to_its_own_group() {
    let packets = sent(&v3(), US, 100);
    let with = |change: &dyn Fn(&mut Received<'_>)| {
        let mut received = arrived(&packets[0], &[]);
        change(&mut received);
        open(
            &received,
            &VrrpInstance { v3_checksum: Default::default(), ..v3() },
            &mut Guard::default(),
            WALL,
        )
    };
    assert!(with(&|_| ()).is_ok());
    assert_eq!(with(&|r| r.ttl = 254), Err(Discard::Ttl(254)));
    assert_eq!(with(&|r| r.source = ip("fe80::1")), Err(Discard::Family));
    let v2_sent = sent(&v2(), US, 100);
    let to = |destination: &str| {
        let received = Received { destination: ip(destination), ..arrived(&v2_sent[0], &[]) };
        open(&received, &v2(), &mut Guard::default(), WALL)
    };
    assert_eq!(to("10.9.0.2"), Err(Discard::Unicast(ip("10.9.0.2"))));
    assert_eq!(to("224.0.0.19"), Err(Discard::Group(ip("224.0.0.19"))));
}

#[test]
fn unicast_comes_from_peers_within_their_limits() {
    let packets = sent(&v3_unicast(), US, 100);
    let ours = |change: &dyn Fn(&mut Unicast)| {
        let mut ours = unicast(v3_unicast(), &[US], None);
        if let Destination::Unicast(unicast) = &mut ours.destination {
            change(unicast);
        }
        let received = Received { ttl: 64, ..arrived(&packets[0], &[]) };
        open(&received, &ours, &mut Guard::default(), WALL).map(|_| ())
    };
    assert_eq!(ours(&|_| ()), Ok(()));
    assert_eq!(ours(&|u| u.peers[0].min_ttl = Some(64)), Ok(()));
    assert_eq!(ours(&|u| u.peers[0].min_ttl = Some(65)), Err(Discard::TtlRange(64, 65, 255)));
    assert_eq!(ours(&|u| u.peers[0].max_ttl = Some(63)), Err(Discard::TtlRange(64, 0, 63)));
    let elsewhere = |u: &mut Unicast| u.peers[0].address = ip("10.9.0.3");
    assert_eq!(ours(&elsewhere), Ok(()));
    let checked = |u: &mut Unicast| {
        u.check_source = true;
        elsewhere(u);
    };
    assert_eq!(ours(&checked), Err(Discard::Stranger(ip(US))));
    let multicast = sent(&v3(), US, 100);
    let received = arrived(&multicast[0], &[]);
    let result = open(&received, &unicast(v3(), &[US], None), &mut Guard::default(), WALL);
    assert_eq!(result, Err(Discard::Multicast(ip("224.0.0.18"))));
}

#[test]
fn ethernet_padding_is_cut_off_by_the_length_in_the_ip_header() {
    let packet = &sent(&v2(), US, 100)[0];
    let mut payload = packet.payload.to_vec();
    payload.extend_from_slice(&[0xee; 2]);
    let with = |header: Vec<u8>| {
        let received = Received { payload: &payload, ..arrived(packet, &header) };
        open(&received, &v2(), &mut Guard::default(), WALL).map(|_| ())
    };
    assert_eq!(with(header(packet)), Ok(()));
    assert_eq!(with(Vec::new()), Err(Discard::Length(26, 24)));
    let mut longer = header(packet);
    longer[3] += 3;
    assert_eq!(with(longer.clone()), Err(Discard::Truncated));
    longer[2..4].fill(0);
    assert_eq!(with(longer.clone()), Err(Discard::Truncated));
}

#[test]
fn every_prefix_and_every_flipped_bit_is_an_answer_and_no_panic() {
    for plan in [v2(), v3(), v6()] {
        let packet = &sent(&plan, if plan.family == Family::Ipv6 { "fe80::1" } else { US }, 7)[0];
        for length in 0..packet.payload.len() {
            let received = Received { payload: &packet.payload[..length], ..arrived(packet, &[]) };
            assert!(open(&received, &plan, &mut Guard::default(), WALL).is_err());
        }
        for bit in 0..packet.payload.len() * 8 {
            let mut payload = packet.payload.to_vec();
            payload[bit / 8] ^= 1 << (bit % 8);
            let received = Received { payload: &payload, ..arrived(packet, &[]) };
            assert!(open(&received, &plan, &mut Guard::default(), WALL).is_err());
        }
    }
}

#[test]
fn every_discard_is_counted_once() {
    let mut errors = AdvertErrors::default();
    Discard::Ttl(3).count(&mut errors);
    Discard::Checksum.count(&mut errors);
    Discard::Checksum.count(&mut errors);
    let expected = AdvertErrors { ttl: 1, checksum: 2, ..AdvertErrors::default() };
    assert_eq!(errors, expected);
}
