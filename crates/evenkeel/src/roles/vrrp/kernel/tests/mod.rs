//! In network namespaces, against what `ip` says and what Debian's keepalived leaves.

mod batches;
mod keepalived;
mod losses;
mod no_accept;
mod parameters;
mod virtual_mac;

use std::net::IpAddr;

use lab::net::{Namespace, Net};
use model::units::VirtualRouterId;
use model::vrrp::{IpPrefix, VirtualAddress, VrrpInstance, VrrpPlan};

use super::{Direction, Kernel, everything};

/// A director with two interfaces, and the other ends of their cables.
struct Site {
    ours: Namespace,
    theirs: Namespace,
    _net: Net,
}

impl Site {
    /// Nothing where namespaces cannot be made; then the reason is printed.
    fn new(tag: &str) -> Option<Site> {
        if let Some(reason) = lab::net::missing() {
            println!("skipped: {reason}");
            return None;
        }
        let net = Net::new(tag).unwrap();
        let (ours, theirs) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
        for device in ["eth0", "eth1"] {
            net.veth((&ours, device), (&theirs, device)).unwrap();
        }
        ours.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
        ours.ip("addr add 10.9.1.1/24 dev eth1").unwrap();
        ours.ip("addr add 2001:db8::1/64 dev eth0 nodad").unwrap();
        theirs.ip("addr add 10.9.0.2/24 dev eth0").unwrap();
        Some(Site { ours, theirs, _net: net })
    }

    /// What the kernel tells of the director, as a JSON array.
    fn json(&self, arguments: &str) -> Vec<serde_json::Value> {
        json(&self.ours, arguments)
    }

    /// Addresses of an interface as ADDRESS/LENGTH.
    fn addresses(&self, interface: &str) -> Vec<String> {
        let links = self.json(&format!("addr show dev {interface}"));
        let list = links.iter().flat_map(|link| link["addr_info"].as_array().unwrap().clone());
        list.filter(|one| one["local"].is_string())
            .map(|one| format!("{}/{}", one["local"].as_str().unwrap(), one["prefixlen"]))
            .collect()
    }
}

fn json(namespace: &Namespace, arguments: &str) -> Vec<serde_json::Value> {
    let text = namespace.ip(&format!("-j -d {arguments}")).unwrap();
    if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
}

impl Kernel {
    /// Puts everything of these instances in place at once.
    pub(in crate::roles::vrrp) fn hold(&mut self, instances: &[&VrrpInstance]) -> Vec<String> {
        instances.iter().for_each(|plan| self.begin_hold(plan));
        self.change(Direction::Place, &everything(instances))
    }
}

/// An instance on eth0 with these addresses.
fn instance(id: u8, addresses: &[&str]) -> VrrpInstance {
    VrrpInstance {
        addresses: addresses.iter().map(|text| address(text)).collect(),
        ..VrrpInstance::new(&format!("VI_{id}"), "eth0", VirtualRouterId::try_from(id).unwrap())
    }
}

/// `10.9.0.50` or `10.9.0.50/24`
fn address(text: &str) -> VirtualAddress {
    let IpPrefix { address, length } = prefix(text);
    VirtualAddress::new(address, length)
}

fn prefix(text: &str) -> IpPrefix {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().unwrap();
    let whole = if address.is_ipv4() { 32 } else { 128 };
    IpPrefix { address, length: length.map_or(whole, |length| length.parse().unwrap()) }
}

fn plan(instances: &[VrrpInstance]) -> VrrpPlan {
    VrrpPlan { instances: instances.to_vec(), ..VrrpPlan::default() }
}

/// A kernel that is ready for these instances.
fn prepared(instances: &[VrrpInstance]) -> Kernel {
    let mut kernel = Kernel::open().unwrap();
    assert_eq!(kernel.prepare(&plan(instances)), [""; 0]);
    kernel
}
