//! Giving the addresses away when the role cannot be kept alive.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::vrrp::{VrrpInstance, VrrpPlan};
use proto::vrrp::packet;

use super::kernel::Kernel;
use super::stations::{Leaving, Stations};

/// Removes every virtual address from this machine and says goodbye (priority 0) for the
/// instances that held some, so that a backup takes over. For the supervisor, in the place of a
/// vrrp role that died and does not come back.
pub(crate) fn withdraw(plan: &VrrpPlan) -> io::Result<()> {
    let mut kernel = Kernel::open()?;
    let mut stations = Stations::new()?;
    stations.learn_ways(plan, &kernel.interfaces);
    let held: Vec<&VrrpInstance> = plan
        .instances
        .iter()
        .filter(|instance| instance.held_addresses().any(|address| kernel.has(instance, address)))
        .collect();
    kernel.adopt(plan);
    let mut complaints = kernel.finish();
    for instance in held {
        let source = match instance.source {
            Some(IpAddr::V4(source)) => Some(source),
            Some(IpAddr::V6(_)) | None => kernel.source(&instance.interface, plan),
        };
        let Some(source) = source else { continue };
        let adverts = goodbyes(instance, source, &stations);
        stations.send(&adverts, |_, error| {
            complaints.push(format!("{}: no advert of priority 0: {error}", instance.name));
        });
    }
    match complaints.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other(complaints.join("; "))),
    }
}

/// Adverts of priority zero, to the group or to every peer.
fn goodbyes(instance: &VrrpInstance, source: Ipv4Addr, stations: &Stations) -> Vec<Leaving> {
    let Some(interface) = stations.way(instance) else { return Vec::new() };
    let plan = Arc::new(instance.clone());
    let mut sealer = packet::Sealer::default();
    let mut guard = packet::Guard::default();
    let wall = edge::clock::wall();
    let packets = sealer.emit(&mut guard, &plan, source.into(), 0, wall);
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
        ours.enter(|| withdraw(&plan)).unwrap().unwrap();
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
