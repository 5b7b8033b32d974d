//! Asks the kernel. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use edge::neighbour_probe::{Probe, ProbeSockets};
use edge::netlink::Socket;
use edge::netlink::route;
use edge::{nft_rules, sysctl};
use model::Plan;
use model::vrrp::{Destination, VirtualLink};

use super::{Facts, kernel, links, others};
use crate::commands::doctor::parts::Parts;
use crate::firewall;

/// An address of a documentation network (RFC 5737): the way to it is the way to clients that are
/// in no network of ours.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Next hops that are asked whether they are there.
const ASKED_MAX: usize = 256;
/// How long they have to answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// Parameters of the whole namespace.
const GLOBAL: [&str; 7] = [
    "net/ipv4/ip_forward",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/core/bpf_jit_enable",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
];
/// Parameters of each interface, of IPv6.
const OF_INTERFACES_V6: [&str; 4] = ["forwarding", "accept_ra", "accept_dad", "disable_ipv6"];
/// Parameters of each interface, of IPv4.
const OF_INTERFACES: [&str; 6] = [
    "rp_filter",
    "forwarding",
    "send_redirects",
    "arp_ignore",
    "arp_announce",
    "promote_secondaries",
];

/// Looks at this machine as a Plan needs it. The error is one that leaves nothing to judge.
pub(in super::super) fn gather(plan: &Plan) -> io::Result<Facts> {
    let mut socket = Socket::open()?;
    let mut facts = Facts { interfaces: links::interfaces(&mut socket)?, ..Facts::default() };
    facts.routes = routes(&mut socket, plan)?;
    facts.elsewhere = route::lookup(&mut socket, ELSEWHERE.into())
        .ok()
        .filter(|way| !way.local)
        .map(|one| one.interface);
    let parts = Parts::of(plan, &facts);
    let taking_part: BTreeSet<String> = parts.names().map(str::to_owned).collect();
    links::describe(&mut socket, &mut facts.interfaces, &taking_part);
    facts.sysctls = sysctls(&taking_part);
    facts.silent = silent(&facts);
    facts.defaults_v6 = others::default_routes();
    let wants_macvlan = plan.vrrp.instances.iter().any(|one| {
        matches!(one.link, VirtualLink::Macvlan { .. }) || !one.address_links.is_empty()
    });
    facts.kernel = kernel::kernel(&mut socket, wants_macvlan);
    match nft_rules::chains() {
        Ok(chains) => facts.firewall = Some(chains),
        Err(error) => facts.kernel.nft_error = Some(error.to_string()),
    }
    if plan.layer4.marks().next().is_some() {
        facts.marks = firewall::read().into();
    }
    facts.others = others::others();
    Ok(facts)
}

/// The ways to real servers and to peers.
fn routes(socket: &mut Socket, plan: &Plan) -> io::Result<BTreeMap<IpAddr, Option<route::Route>>> {
    let servers = plan.layer4.virtual_servers.iter().flat_map(|server| {
        let sorry = server.quorum.sorry.iter().map(|sorry| sorry.endpoint.address);
        server.real_servers.iter().map(|one| one.endpoint.address).chain(sorry)
    });
    let peers = plan.vrrp.instances.iter().flat_map(|one| match &one.destination {
        Destination::Unicast(unicast) => &unicast.peers[..],
        Destination::Multicast(_) => &[],
    });
    // A link-local address has no way without its interface.
    let is_of_one_link = |address: &IpAddr| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let all = servers.chain(peers.map(|peer| peer.address)).filter(|one| !is_of_one_link(one));
    let all: Vec<IpAddr> = all.collect::<BTreeSet<_>>().into_iter().collect();
    let ways = route::lookup_many(socket, &all)?;
    Ok(all.into_iter().zip(ways).collect())
}

fn sysctls(interfaces: &BTreeSet<String>) -> BTreeMap<String, String> {
    let of = |name: &str| {
        let v4 = OF_INTERFACES.map(|parameter| format!("net/ipv4/conf/{name}/{parameter}"));
        let v6 = OF_INTERFACES_V6.map(|parameter| format!("net/ipv6/conf/{name}/{parameter}"));
        v4.into_iter().chain(v6)
    };
    let own = interfaces.iter().map(String::as_str).chain(["all", "lo"]).flat_map(of);
    let keys = own.chain(GLOBAL.iter().map(|key| (*key).to_owned()));
    keys.filter_map(|key| sysctl::read(&key).ok().map(|value| (key, value))).collect()
}

/// Asks the first next hops by ARP or neighbour discovery, and returns those that do not answer. What cannot be asked is
/// not silent.
fn silent(facts: &Facts) -> Vec<(u32, IpAddr)> {
    let Ok(probes) = ProbeSockets::open() else { return Vec::new() };
    let hops: BTreeSet<(u32, IpAddr)> = facts
        .routes
        .values()
        .flatten()
        .filter(|way| !way.local)
        .map(|way| (way.interface, way.next_hop))
        .take(ASKED_MAX)
        .collect();
    let mut missing = BTreeSet::new();
    for (index, target) in hops {
        let Some(interface) = facts.by_index(index) else { continue };
        let mut own = interface.addresses.iter().map(|(address, _)| *address);
        let from = own.find(|one| one.is_ipv4() == target.is_ipv4());
        let from = match target {
            IpAddr::V4(_) => Some(from.unwrap_or(Ipv4Addr::UNSPECIFIED.into())),
            IpAddr::V6(_) => from,
        };
        let (Some(from_mac), Some(from), true) =
            (interface.device.mac, from, interface.device.carrier)
        else {
            continue;
        };
        let probe = Probe { interface: index, from_mac, from, target, target_mac: None };
        if probes.send(&probe).is_ok() {
            missing.insert((index, target));
        }
    }
    let end = Instant::now() + ANSWER_WITHIN;
    while !missing.is_empty() && Instant::now() < end {
        match probes.receive() {
            Ok(Some(answer)) => {
                missing.remove(&(answer.interface, answer.address));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => break,
        }
    }
    missing.into_iter().collect()
}
