//! Giving the addresses away when the role cannot be kept alive.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use model::vrrp::{Family, VrrpInstance, VrrpPlan};
use proto::vrrp::{fixed_source, packet};

use super::kernel::Kernel;
use super::memory::Memory;
use super::stations::{Leaving, Stations};

/// Says goodbye (priority 0) for the instances that were master, so that a backup takes over,
/// and puts the machine back as it was: virtual addresses, routes, rules and interfaces, packet
/// filter and kernel parameters. For the supervisor, in the place of a vrrp role that died and
/// does not come back; `memory` is the role's.
pub(crate) fn withdraw(plan: &VrrpPlan, memory: Option<OwnedFd>) -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let copy = memory.as_ref().and_then(|memory| memory.try_clone().ok());
    copy.into_iter().for_each(|copy| kernel.remember_in(copy));
    let memory = memory.map(Memory::over).unwrap_or_default();
    let mut stations = Stations::new()?;
    stations.learn_ways(plan, &kernel.interfaces);
    let mut complaints = Vec::new();
    let was_master = |instance: &&VrrpInstance| {
        let mut addresses = instance.held_addresses();
        memory.left_master(instance) || addresses.any(|address| kernel.has(instance, address))
    };
    for instance in plan.instances.iter().filter(was_master) {
        let Some(source) = source(instance, &kernel, plan) else { continue };
        let mut guard = packet::Guard::default();
        guard.resume_sequence(memory.sequence(instance));
        let adverts = goodbyes(instance, source, guard, &stations);
        stations.send(&adverts, |_, error| {
            complaints.push(format!("{}: no advert of priority 0: {error}", instance.name));
        });
    }
    // By the virtual interfaces, which go with all else.
    kernel.adopt(plan);
    complaints.extend(kernel.finish());
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other(complaints.join("; "))),
    }
}

/// Takes away what a role that died during a reload may have left behind of a configuration that
/// the next process is not told of.
pub(crate) fn sweep(former: &VrrpPlan, next: &VrrpPlan) -> io::Result<()> {
    if former == next {
        return Ok(());
    }
    let complaints = Kernel::open()?.sweep(former, next);
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other(complaints.join("; "))),
    }
}

fn source(instance: &VrrpInstance, kernel: &Kernel, plan: &VrrpPlan) -> Option<IpAddr> {
    let name = &instance.interface;
    fixed_source(instance).or_else(|| match instance.family {
        Family::Ipv4 => kernel.source(name, plan).map(IpAddr::V4),
        Family::Ipv6 => kernel.source6(name, plan).map(IpAddr::V6),
    })
}

/// Adverts of priority zero, to the group or to every peer.
fn goodbyes(
    instance: &VrrpInstance,
    source: IpAddr,
    mut guard: packet::Guard,
    stations: &Stations,
) -> Vec<Leaving> {
    let Some(interface) = stations.way(instance) else { return Vec::new() };
    let plan = Arc::new(instance.clone());
    let mut sealer = packet::Sealer::default();
    let wall = edge::clock::wall();
    let packets = sealer.emit(&mut guard, &plan, source, 0, wall);
    let leaving = |packet: &packet::Outgoing| Leaving {
        plan: plan.clone(),
        interface,
        packet: packet.clone(),
    };
    packets.iter().map(leaving).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge::raw::Receiver;
    use lab::net::Net;
    use model::units::{Centiseconds, Priority, VirtualRouterId};
    use model::vrrp::{
        Authentication, Destination, Garp, InitialState, IpPrefix, NextHop, Version,
        VirtualAddress, VirtualLink, VirtualRoute, VirtualRule, VrrpInstance,
    };
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    fn instance(id: u8) -> VrrpInstance {
        VrrpInstance {
            name: format!("VI_{id}"),
            interface: "eth0".into(),
            virtual_router_id: VirtualRouterId::try_from(id).unwrap(),
            priority: Priority::try_from(100).unwrap(),
            advert_interval: Centiseconds(100),
            initial_state: InitialState::Backup,
            authentication: Authentication::None,
            preempt: true,
            preempt_delay: Duration::ZERO,
            addresses: vec![VirtualAddress::new(Ipv4Addr::new(10, 9, 0, id).into(), 32)],
            excluded_addresses: Vec::new(),
            garp: Garp::default(),
            ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
        }
    }

    #[test]
    fn addresses_are_removed_and_only_who_held_some_says_goodbye() {
        if let Some(reason) = lab::net::missing() {
            println!("skipped: {reason}");
            return;
        }
        let net = Net::new("withdraw").unwrap();
        let (ours, theirs) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
        net.veth((&ours, "eth0"), (&theirs, "eth0")).unwrap();
        ours.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
        theirs.ip("addr add 10.9.0.2/24 dev eth0").unwrap();
        ours.ip("addr add 10.9.0.51/32 dev eth0").unwrap();
        let mut listener = theirs
            .enter(|| {
                let kernel = Kernel::open().unwrap();
                let index = kernel.interfaces.link("eth0").unwrap().index;
                let family = model::vrrp::Family::Ipv4;
                let listener = Receiver::open(family, packet::PROTOCOL, Some("eth0")).unwrap();
                listener.join(packet::GROUP.into(), index).unwrap();
                listener
            })
            .unwrap();
        let instances = vec![instance(50), instance(51)];
        let plan = VrrpPlan { instances, ..VrrpPlan::default() };
        ours.enter(|| withdraw(&plan, None)).unwrap().unwrap();
        assert!(!ours.ip("addr show dev eth0").unwrap().contains("10.9.0.51"));
        let mut heard = Vec::new();
        let end = Instant::now() + Duration::from_secs(10);
        while heard.is_empty() && Instant::now() < end {
            while let Some(packet) = listener.receive().unwrap() {
                heard.push((packet.source, packet.payload[1], packet.payload[2]));
            }
        }
        assert_eq!(heard, [(IpAddr::from([10, 9, 0, 1]), 51, 0)]);
    }

    #[test]
    fn everything_that_a_dead_role_left_is_taken_away_with_goodbyes_that_peers_believe() {
        if let Some(reason) = lab::net::missing() {
            println!("skipped: {reason}");
            return;
        }
        let net = Net::new("withdraw2").unwrap();
        let (ours, theirs) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
        net.veth((&ours, "eth0"), (&theirs, "eth0")).unwrap();
        ours.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
        theirs.ip("addr add 10.9.0.2/24 dev eth0").unwrap();
        let macvlan = |name: &str, kind, id| VirtualLink::Macvlan {
            name: name.into(),
            mac: [0, 0, 0x5e, 0, kind, id],
            transmit_on_base: false,
            other_interfaces: false,
        };
        let address = Ipv4Addr::new(192, 168, 99, 0).into();
        let destination = IpPrefix { address, length: 24 };
        let sealed = VrrpInstance {
            authentication: Authentication::Ah(*b"secret\0\0"),
            link: macvlan("vrrp.51", 1, 51),
            routes: vec![VirtualRoute {
                next_hops: vec![NextHop { interface: Some("eth0".into()), ..NextHop::default() }],
                ..VirtualRoute::new(Family::Ipv4, Some(destination))
            }],
            rules: vec![VirtualRule::new(Family::Ipv4, 1000, 100)],
            accept: false,
            ..instance(51)
        };
        let ipv6 = VrrpInstance {
            family: Family::Ipv6,
            version: Version::V3,
            destination: Destination::Multicast(Family::Ipv6.group()),
            addresses: vec![VirtualAddress::new("fe80::100".parse().unwrap(), 64)],
            link: macvlan("vrrp.52", 2, 52),
            ..instance(52)
        };
        let plan = VrrpPlan { instances: vec![sealed, ipv6], ..VrrpPlan::default() };
        let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let listening = |family, protocol| {
            let index = Kernel::open().unwrap().interfaces.link("eth0").unwrap().index;
            let listener = Receiver::open(family, protocol, Some("eth0")).unwrap();
            listener.join(Family::group(family), index).unwrap();
            listener
        };
        let (mut four, mut six) = theirs
            .enter(|| {
                let four = listening(Family::Ipv4, packet::AH_PROTOCOL);
                (four, listening(Family::Ipv6, packet::PROTOCOL))
            })
            .unwrap();
        let pictures = ["-o addr", "-o link", "route show table all", "rule", "-6 rule"];
        let picture = || pictures.map(|what| volatile(&ours.ip(what).unwrap()));
        // Duplicate address detection of eth0's own address comes to its end.
        let end = Instant::now() + Duration::from_secs(20);
        while ours.ip("-6 addr show dev eth0 tentative").unwrap().contains("inet6") {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(50));
        }
        let before = picture();
        ours.enter(|| {
            let parameter = || edge::sysctl::read("net/ipv4/conf/eth0/arp_ignore").unwrap();
            let mut dead = Kernel::open().unwrap();
            dead.remember_in(memory.try_clone().unwrap());
            assert_eq!(dead.prepare(&plan), [""; 0]);
            let all: Vec<&VrrpInstance> = plan.instances.iter().collect();
            assert_eq!(dead.hold(&all), [""; 0]);
            drop(dead);
            assert_eq!(parameter(), "1");
            Memory::write_sequence(&memory, &plan.instances[0], 4711);
            withdraw(&plan, Some(memory.try_clone().unwrap())).unwrap();
            assert_eq!(parameter(), "0");
        })
        .unwrap();
        assert_eq!(picture(), before);
        assert!(!ours.command("nft").args(["list", "ruleset"]).output().is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains("keepalived")
        }));
        let mut heard = Vec::new();
        while heard.len() < 2 {
            assert!(Instant::now() < end, "{heard:?}");
            while let Some(packet) = four.receive().unwrap() {
                let sequence = &packet.payload[8..12];
                let sequence = u32::from_be_bytes(sequence.try_into().unwrap());
                heard.push((packet.payload[24 + 1], packet.payload[24 + 2], sequence > 4711));
            }
            while let Some(packet) = six.receive().unwrap() {
                let IpAddr::V6(source) = packet.source else { panic!("{}", packet.source) };
                heard.push((packet.payload[1], packet.payload[2], source.is_unicast_link_local()));
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, [(51, 0, true), (52, 0, true)]);
    }

    /// Without what the clock changes.
    fn volatile(text: &str) -> Vec<String> {
        let lines = text.lines().map(|line| line.split(" valid_lft").next().unwrap_or(line));
        lines.map(str::to_owned).collect()
    }
}
