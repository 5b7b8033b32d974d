//! Every kind of advert against Debian's keepalived: version 3 over both families, unicast,
//! authentication headers, virtual MAC addresses. In each, our role and keepalived hear each
//! other, the weaker one yields, and each takes over by the other's goodbye.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lab::net::Namespace;
use model::control::Event;
use model::status::VrrpState;
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{
    Authentication, Destination, Family, Peer, Unicast, Version, VirtualAddress, VirtualLink,
    VrrpInstance,
};

use crate::role::RoleProcess;
use crate::vrrp::{BY_GOODBYE, Pair, SOON, plan, skipped, status, within};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
/// Link-local: the first address of a version 3 IPv6 advert has to be.
const VIRTUAL_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);

fn instance(priority: u8) -> VrrpInstance {
    let id = VirtualRouterId::try_from(51).unwrap();
    VrrpInstance {
        priority: Priority::try_from(priority).unwrap(),
        advert_interval: Centiseconds(100),
        addresses: vec![VirtualAddress::new(VIRTUAL.into(), 32)],
        ..VrrpInstance::new("VI_1", "eth0", id)
    }
}

fn version_3(priority: u8) -> VrrpInstance {
    let advert_interval = Centiseconds(50);
    VrrpInstance { version: Version::V3, advert_interval, ..instance(priority) }
}

fn ipv6(priority: u8) -> VrrpInstance {
    VrrpInstance {
        family: Family::Ipv6,
        destination: Destination::Multicast(Family::Ipv6.group()),
        addresses: vec![VirtualAddress::new(VIRTUAL_V6.into(), 64)],
        ..version_3(priority)
    }
}

fn to_peer(instance: VrrpInstance, source: IpAddr, peer: IpAddr) -> VrrpInstance {
    let peer = Peer { address: peer, min_ttl: None, max_ttl: None };
    VrrpInstance {
        destination: Destination::Unicast(Unicast { peers: vec![peer], ..Unicast::default() }),
        source: Some(source),
        ..instance
    }
}

/// The same virtual router in Keepalived's words.
fn configuration(priority: u8, more: &str, address: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n \
         priority {priority}\n {more}\n virtual_ipaddress {{\n {address}\n }}\n}}\n"
    )
}

fn holds(namespace: &Namespace, address: IpAddr) -> bool {
    // Any interface: a virtual MAC address has one of its own.
    let listed = namespace.ip("-o addr show").unwrap_or_default();
    listed.contains(&format!(" {address}/"))
}

/// Keepalived is master and hears us; we hear it; it stops and we take over; it comes back and
/// we yield; it is weaker and yields; we stop and it takes over.
fn drill(tag: &str, ours: impl Fn(u8) -> VrrpInstance, theirs: impl Fn(u8) -> String) {
    if skipped() {
        return;
    }
    let pair = Pair::new(tag).unwrap();
    for (side, last) in [(&pair.ours, 1), (&pair.theirs, 2)] {
        side.ip(&format!("addr add fd00::{last}/64 dev eth0 nodad")).unwrap();
    }
    let address = ours(100).addresses[0].address;
    let we_hold = || holds(&pair.ours, address);
    let they_hold = || holds(&pair.theirs, address);

    let keepalived = pair.keepalived_of(&theirs(150));
    within(SOON, "keepalived becomes master", they_hold);
    let mut role = pair.role(None, plan(ours(100)));
    let heard = |role: &mut crate::role::RoleProcess| {
        status(role).master.is_some_and(|(_, priority)| priority == 150)
    };
    within(SOON, "its adverts are accepted", || heard(&mut role));
    keepalived.stop();
    within(BY_GOODBYE, "we take over by its goodbye", we_hold);

    let keepalived = pair.keepalived_of(&theirs(150));
    within(SOON, "we yield", || they_hold() && !we_hold());
    keepalived.stop();
    within(BY_GOODBYE, "we take over again", we_hold);
    let state = status(&mut role);
    assert_eq!((state.state, state.adverts_discarded), (VrrpState::Master, 0), "{state:?}");

    let keepalived = pair.keepalived_of(&theirs(50));
    std::thread::sleep(Duration::from_secs(4));
    assert!(we_hold() && !they_hold(), "keepalived does not accept our adverts");
    assert!(role.stop().success());
    assert!(!we_hold());
    within(BY_GOODBYE, "keepalived takes over by our goodbye", they_hold);
    keepalived.stop();
}

#[test]
fn version_3_over_ipv4() {
    let address = VIRTUAL.to_string();
    drill("kind3", version_3, |priority| {
        configuration(priority, "version 3\n advert_int 0.5", &address)
    });
}

#[test]
fn version_3_over_ipv6() {
    let address = format!("{VIRTUAL_V6}/64");
    drill("kind6", ipv6, |priority| {
        configuration(priority, "version 3\n advert_int 0.5", &address)
    });
}

#[test]
fn version_2_with_an_authentication_header() {
    let sealed = |priority| VrrpInstance {
        authentication: Authentication::Ah(*b"secret\0\0"),
        ..instance(priority)
    };
    let words = "advert_int 1\n authentication {\n auth_type AH\n auth_pass secret\n }";
    let address = VIRTUAL.to_string();
    drill("kindah", sealed, |priority| configuration(priority, words, &address));
}

#[test]
fn version_2_unicast() {
    let peers = |priority| to_peer(instance(priority), OURS.into(), THEIRS.into());
    let words = format!("advert_int 1\n unicast_src_ip {THEIRS}\n unicast_peer {{\n {OURS}\n }}");
    let address = VIRTUAL.to_string();
    drill("kindu2", peers, |priority| configuration(priority, &words, &address));
}

#[test]
fn version_3_unicast_over_ipv6() {
    let (ours, theirs) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let peers = |priority| to_peer(ipv6(priority), ours, theirs);
    let words = format!(
        "version 3\n advert_int 0.5\n unicast_src_ip {theirs}\n unicast_peer {{\n {ours}\n }}"
    );
    let address = format!("{VIRTUAL_V6}/64");
    drill("kindu6", peers, |priority| configuration(priority, &words, &address));
}

#[test]
fn version_3_to_a_group_of_ones_own() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let elsewhere = |priority| VrrpInstance {
        destination: Destination::Multicast(group.into()),
        ..version_3(priority)
    };
    let address = VIRTUAL.to_string();
    drill("kindg", elsewhere, |priority| {
        let words = configuration(priority, "version 3\n advert_int 0.5", &address);
        format!("global_defs {{\n vrrp_mcast_group4 {group}\n}}\n{words}")
    });
}

#[test]
fn a_virtual_mac_address() {
    let mac = [0, 0, 0x5e, 0, 1, 51];
    let name = "vrrp.51".to_owned();
    let virtual_mac = |priority| VrrpInstance {
        link: VirtualLink::Macvlan {
            name: name.clone(),
            mac,
            transmit_on_base: false,
            other_interfaces: false,
        },
        ..instance(priority)
    };
    let address = VIRTUAL.to_string();
    drill("kindm", virtual_mac, |priority| {
        configuration(priority, "advert_int 1\n use_vmac", &address)
    });
}

#[test]
fn an_advert_of_a_router_that_nobody_has_here_is_told_of_once_where_that_is_wanted() {
    if skipped() {
        return;
    }
    let pair = Pair::new("strangers").unwrap();
    let id = VirtualRouterId::try_from(52).unwrap();
    let mut plan = plan(VrrpInstance { virtual_router_id: id, ..instance(100) });
    plan.settings.log_unknown_routers = true;
    let mut ours = pair.role(None, plan);
    let _theirs = pair.keepalived_of(&configuration(150, "", "10.9.0.101"));
    let count = |role: &RoleProcess| {
        let told = |event: &&Event| match event {
            Event::Log { text, .. } => text.contains("virtual router 51, which nobody has here"),
            _ => false,
        };
        role.events.iter().filter(told).count()
    };
    within(SOON, "the stranger is told of", || {
        status(&mut ours);
        count(&ours) == 1
    });
    std::thread::sleep(Duration::from_secs(2));
    status(&mut ours);
    assert_eq!(count(&ours), 1);
}
