//! What others do to what is ours, and to the interfaces it is on.

use edge::netlink::Socket;
use model::vrrp::{Family, Holding, NextHop, VirtualLink, VirtualRoute, VirtualRule};

use super::super::{GROUPS, KernelChange};
use super::*;

/// A kernel with its event socket, subscribed before the interfaces were read.
fn listening(plan: &VrrpPlan) -> (Kernel, Socket) {
    let events = Socket::open().unwrap();
    events.subscribe(&GROUPS).unwrap();
    let mut kernel = Kernel::open().unwrap();
    assert_eq!(kernel.prepare(plan), [""; 0]);
    (kernel, events)
}

/// What happened since the last time.
fn happened(kernel: &mut Kernel, events: &mut Socket) -> Vec<KernelChange> {
    let events = events.receive().unwrap();
    kernel.apply_events(&events)
}

fn with_routes(id: u8) -> VrrpInstance {
    let via = |gateway: &str| NextHop {
        gateway: Some(gateway.parse().unwrap()),
        interface: Some("eth0".into()),
        ..NextHop::default()
    };
    let mut route = VirtualRoute::new(Family::Ipv4, Some(prefix("10.20.0.0/16")));
    route.next_hops = vec![via("10.9.0.254")];
    let mut route6 = VirtualRoute::new(Family::Ipv6, Some(prefix("2001:db8:20::/48")));
    route6.next_hops = vec![via("2001:db8::254")];
    let mut rule = VirtualRule::new(Family::Ipv4, 500, 100);
    rule.from = Some(prefix("10.20.0.0/16"));
    VrrpInstance {
        routes: vec![route, route6],
        rules: vec![rule],
        ..instance(id, &["10.9.0.50", "2001:db8::50"])
    }
}

#[test]
fn what_we_do_ourselves_is_no_loss() {
    let Some(site) = Site::new("self") else { return };
    let plan = plan(&[with_routes(1)]);
    let all = [&plan.instances[0]];
    let told = site
        .ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&plan);
            for _ in 0..3 {
                assert_eq!(kernel.hold(&all), [""; 0]);
                assert_eq!(kernel.release(&all), [""; 0]);
            }
            assert_eq!(kernel.hold(&all), [""; 0]);
            std::thread::sleep(std::time::Duration::from_millis(200));
            let told = happened(&mut kernel, &mut events);
            assert!(kernel.holds(all[0]));
            told
        })
        .unwrap();
    assert!(!told.iter().any(|change| matches!(change, KernelChange::Lost(_))), "{told:?}");
}

#[test]
fn whatever_somebody_else_removes_is_told_once() {
    let Some(site) = Site::new("thief") else { return };
    let plan = plan(&[with_routes(1)]);
    let all = [&plan.instances[0]];
    let told = site
        .ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&plan);
            assert_eq!(kernel.hold(&all), [""; 0]);
            std::thread::sleep(std::time::Duration::from_millis(100));
            happened(&mut kernel, &mut events);
            site.ours.ip("addr del 10.9.0.50/32 dev eth0").unwrap();
            site.ours.ip("addr del 2001:db8::50/128 dev eth0").unwrap();
            site.ours.ip("route del 10.20.0.0/16").unwrap();
            site.ours.ip("-6 route del 2001:db8:20::/48").unwrap();
            site.ours.ip("rule del pref 500").unwrap();
            // Gone and back before we look: no loss.
            site.ours.ip("route add 10.20.0.0/16 via 10.9.0.254 proto 18").unwrap();
            happened(&mut kernel, &mut events)
        })
        .unwrap();
    let mut lost: Vec<Holding> = told
        .into_iter()
        .filter_map(|change| match change {
            KernelChange::Lost(holding) => Some(holding),
            _ => None,
        })
        .collect();
    let held = &plan.instances[0];
    let mut expected: Vec<Holding> = held.addresses.iter().cloned().map(Holding::Address).collect();
    expected.push(Holding::Route(held.routes[1].clone()));
    expected.push(Holding::Rule(held.rules[0].clone()));
    let key = |holding: &Holding| format!("{holding:?}");
    lost.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(lost, expected);
}

#[test]
fn what_an_interface_lost_by_going_down_is_back_when_it_is_up() {
    let Some(site) = Site::new("flap") else { return };
    let plan = plan(&[with_routes(1)]);
    let all = [&plan.instances[0]];
    let told = site
        .ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&plan);
            assert_eq!(kernel.hold(&all), [""; 0]);
            site.ours.ip("link set eth0 down").unwrap();
            let mut told = happened(&mut kernel, &mut events);
            site.ours.ip("link set eth0 up").unwrap();
            // A gateway within reach by an address that went too.
            site.ours.ip("addr add 2001:db8::1/64 dev eth0 nodad").unwrap();
            // The kernel may take a second to say that a carrier is there again.
            for _ in 0..40 {
                std::thread::sleep(std::time::Duration::from_millis(50));
                told.extend(happened(&mut kernel, &mut events));
                let back = site.json("-6 route show 2001:db8:20::/48").len() == 1;
                let links = told.iter().filter(|one| matches!(one, KernelChange::LinkChanged(_)));
                if back && links.count() == 2 {
                    break;
                }
            }

            assert!(kernel.holds(all[0]));
            told
        })
        .unwrap();
    let link = KernelChange::LinkChanged("eth0".into());
    assert_eq!(told.iter().filter(|change| **change == link).count(), 2, "{told:?}");
    assert!(!told.iter().any(|change| matches!(change, KernelChange::Lost(_))), "{told:?}");
    assert_eq!(site.json("route show 10.20.0.0/16").len(), 1);
    assert_eq!(site.json("-6 route show 2001:db8:20::/48").len(), 1);
    assert!(site.addresses("eth0").contains(&"2001:db8::50/128".into()));
}

#[test]
fn a_static_address_that_somebody_removes_is_back_at_once() {
    let Some(site) = Site::new("static") else { return };
    let mut fixed = address("10.7.0.1/24");
    fixed.interface = Some("eth1".into());
    let statics = vec![Holding::Address(fixed)];
    let plan = VrrpPlan { statics: statics.clone(), ..VrrpPlan::default() };
    site.ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&plan);
            happened(&mut kernel, &mut events);
            assert!(site.addresses("eth1").contains(&"10.7.0.1/24".into()));
            site.ours.ip("addr del 10.7.0.1/24 dev eth1").unwrap();
            let told = happened(&mut kernel, &mut events);
            assert_eq!(told, [KernelChange::Restored(statics[0].clone())]);
            assert!(site.addresses("eth1").contains(&"10.7.0.1/24".into()));
            assert_eq!(kernel.finish(), [""; 0]);
            assert!(!site.addresses("eth1").contains(&"10.7.0.1/24".into()));
        })
        .unwrap();
}

#[test]
fn interfaces_that_are_made_again_or_renamed_are_told_of() {
    let Some(site) = Site::new("again") else { return };
    site.ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&VrrpPlan::default());
            let index = kernel.interfaces.link("eth1").unwrap().index;
            site.ours.ip("link del eth1").unwrap();
            site.ours.ip(&format!("link add eth1 index {index} type veth peer name x")).unwrap();
            let told = happened(&mut kernel, &mut events);
            let vanished = KernelChange::LinkVanished("eth1".into());
            let appeared = KernelChange::LinkAppeared("eth1".into());
            let place = |change| told.iter().position(|one| *one == change);
            assert!(place(vanished).unwrap() < place(appeared).unwrap(), "{told:?}");
            site.ours.ip("link set eth1 name lan0").unwrap();
            let told = happened(&mut kernel, &mut events);
            assert!(told.contains(&KernelChange::LinkVanished("eth1".into())), "{told:?}");
            assert!(told.contains(&KernelChange::LinkAppeared("lan0".into())), "{told:?}");
            site.ours.ip("link set lan0 address 02:00:00:00:00:77").unwrap();
            let told = happened(&mut kernel, &mut events);
            assert!(told.contains(&KernelChange::MacChanged("lan0".into())), "{told:?}");
        })
        .unwrap();
}

#[test]
fn a_virtual_interface_that_is_removed_or_set_down_is_back_with_its_addresses_while_in_use() {
    let Some(site) = Site::new("vmacthief") else { return };
    let plan = plan(&[VrrpInstance {
        link: VirtualLink::Macvlan {
            name: "vrrp.1".into(),
            mac: [0, 0, 0x5e, 0, 1, 1],
            transmit_on_base: false,
            other_interfaces: false,
        },
        ..instance(1, &["10.9.0.50/24", "2001:db8::50/64"])
    }]);
    let all = [&plan.instances[0]];
    let restored = KernelChange::LinkRestored("vrrp.1".into());
    let addresses = || {
        let mut list = site.addresses("vrrp.1");
        list.retain(|address| !address.starts_with("fe80"));
        list
    };
    site.ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&plan);
            assert_eq!(kernel.hold(&all), [""; 0]);
            std::thread::sleep(std::time::Duration::from_millis(100));
            happened(&mut kernel, &mut events);
            for theft in ["link del vrrp.1", "link set vrrp.1 down"] {
                site.ours.ip(theft).unwrap();
                let told = happened(&mut kernel, &mut events);
                assert!(told.contains(&restored), "{theft}: {told:?}");
                assert_eq!(addresses(), ["10.9.0.50/24", "2001:db8::50/64"], "{theft}");
                let told = happened(&mut kernel, &mut events);
                assert!(!told.contains(&restored), "{theft}: {told:?}");
            }
            assert_eq!(kernel.release(&all), [""; 0]);
            site.ours.ip("link del vrrp.1").unwrap();
            let told = happened(&mut kernel, &mut events);
            assert!(!told.contains(&restored), "{told:?}");
            assert!(!kernel.interfaces.link("vrrp.1").unwrap().up);
        })
        .unwrap();
}

#[test]
fn an_interface_keeps_the_source_of_its_adverts_while_it_is_down() {
    let Some(site) = Site::new("vmacsource") else { return };
    site.ours
        .enter(|| {
            let (mut kernel, mut events) = listening(&VrrpPlan::default());
            site.ours.ip("link set eth0 down").unwrap();
            happened(&mut kernel, &mut events);
            let source = kernel.source("eth0", &VrrpPlan::default());
            assert_eq!(source, Some([10, 9, 0, 1].into()));
            site.ours.ip("addr del 10.9.0.1/24 dev eth0").unwrap();
            happened(&mut kernel, &mut events);
            assert_eq!(kernel.source("eth0", &VrrpPlan::default()), None);
        })
        .unwrap();
}
