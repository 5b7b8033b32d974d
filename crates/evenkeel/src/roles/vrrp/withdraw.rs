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
    use model::vrrp::{Authentication, Garp, InitialState, VirtualAddress, VrrpInstance};
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
}
