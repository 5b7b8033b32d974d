//! What goes out, and what is kept of it.

use super::captured::{ah, v3, v3_unicast};
use super::*;
use crate::vrrp::packet::{AH_PROTOCOL, PROTOCOL};

#[test]
fn an_unchanged_advert_is_kept_and_a_changed_one_is_made_anew() {
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    let plan = Arc::new(v3());
    let mut emit = |plan: &Arc<VrrpInstance>, source, priority| {
        sealer.emit(&mut guard, plan, ip(source), priority, WALL)[0].payload.clone()
    };
    let first = emit(&plan, "10.9.0.1", 150);
    assert!(Arc::ptr_eq(&first, &emit(&plan, "10.9.0.1", 150)));
    let weaker = emit(&plan, "10.9.0.1", 100);
    assert_eq!((first[2], weaker[2]), (150, 100));
    assert_ne!(emit(&plan, "10.9.0.7", 100), weaker, "the source is in the checksum");
    let other = VrrpInstance { advert_interval: Centiseconds(100), ..v3() };
    assert_eq!(emit(&Arc::new(other), "10.9.0.7", 100)[5], 100);
}

#[test]
fn signed_adverts_are_renewed_in_place_once_the_last_one_is_gone() {
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    let plan = Arc::new(ah());
    let mut emit = || sealer.emit(&mut guard, &plan, ip("10.9.0.1"), 150, WALL)[0].clone();
    let first = emit();
    let second = emit();
    assert_eq!((first.ip_id, first.payload[11]), (1, 1), "the one in flight stays as it was");
    assert_eq!((second.ip_id, second.payload[11]), (2, 2));
    drop(first);
    let place = second.payload.as_ptr();
    drop(second);
    let third = emit();
    assert_eq!((third.payload.as_ptr(), third.payload[11]), (place, 3));
}

#[test]
fn every_peer_gets_its_own_packet() {
    let packets = sent(&v3_unicast(), "10.9.0.1", 150);
    let peers: Vec<IpAddr> = packets.iter().map(|packet| packet.destination).collect();
    assert_eq!(peers, ["10.9.0.2", "10.9.0.3"].map(ip));
    assert_ne!(packets[0].payload[6..8], packets[1].payload[6..8], "the peer is in the checksum");
    assert!(packets.iter().all(|packet| packet.ttl == 255 && packet.protocol == PROTOCOL));
    assert!(sent(&unicast(v3(), &[], None), "10.9.0.1", 150).is_empty());
    let far = unicast(v3(), &["10.9.0.2"], Some(3));
    assert_eq!(sent(&far, "10.9.0.1", 150)[0].ttl, 3);
}

#[test]
fn identifications_of_signed_packets_skip_zero() {
    let (mut sealer, mut guard) = (Sealer::default(), Guard::default());
    let plan = Arc::new(ah());
    let mut last = 0;
    for _ in 0..=u16::MAX {
        let packet = &sealer.emit(&mut guard, &plan, ip("10.9.0.1"), 150, WALL)[0];
        assert!(packet.ip_id > 0 && packet.protocol == AH_PROTOCOL);
        last = packet.ip_id;
    }
    assert_eq!(last, 1);
}
