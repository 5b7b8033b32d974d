//! A good machine and plans for it, for tests that break one thing.

use std::net::IpAddr;

use edge::ethtool::Feature;
use edge::netlink::device::{Device, Mode};
use edge::netlink::generic::XdpFeatures;
use edge::netlink::route::Route;
use model::Plan;
use model::layer4::{
    Endpoint, Forwarding, Protocol, RealServer, ServiceKey, Tunnel, VirtualServer,
};
use model::proxy::ProxyPlan;
use model::units::VirtualRouterId;
use model::vrrp::{VirtualAddress, VrrpInstance};

use super::facts::{Facts, Interface, Kernel, Peer, Program};
use super::findings::{Finding, Report, Severity, examine};

const ON: Feature = Feature { on: true, changeable: true };
const OFF: Feature = Feature { on: false, changeable: true };

/// A switch that is on.
pub(super) fn on() -> Feature {
    ON
}

/// An XDP program of this name.
pub(super) fn program(name: &str, mode: Mode) -> Program {
    Program { number: 7, name: name.to_owned(), mode }
}

fn veth(index: u32, name: &str, address: [u8; 4]) -> Interface {
    let peer = Peer {
        name: format!("port{}", index - 2),
        namespace: Some("/run/netns/switch".into()),
        mtu: 1500,
        features: [("tx-checksum-ip-generic", OFF), ("rx-gro", ON)]
            .map(|(name, feature)| (name.to_owned(), feature))
            .into(),
        has_program: false,
    };
    let device = Device {
        index,
        name: name.to_owned(),
        up: true,
        carrier: true,
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        mtu: 1500,
        kind: "veth".into(),
        base: Some(9),
        base_namespace: Some(0),
        ..Device::default()
    };
    Interface {
        device,
        addresses: vec![(address.into(), 24), (of_ipv6(address), 64)],
        driver: "veth".into(),
        features: [("rx-gro", ON), ("rx-lro", OFF)].map(|(name, it)| (name.to_owned(), it)).into(),
        xdp: Some(XdpFeatures { basic: true, redirect: true, transmit: true, fragments: true }),
        programs: Vec::new(),
        at_tc: false,
        peer: Some(peer),
    }
}

/// An address of IPv6 for each of IPv4: its own network for each of theirs.
fn of_ipv6([a, b, c, d]: [u8; 4]) -> IpAddr {
    let network = u16::from_be_bytes([a, b]) ^ u16::from(c) << 4;
    std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, d.into()).into()
}

/// A director with clients at eth0 (192.0.2.0/24) and real servers at eth1 (10.0.0.0/24), and with
/// addresses of IPv6 beside them.
pub(super) fn machine() -> Facts {
    let lo = Device {
        index: 1,
        name: "lo".into(),
        up: true,
        carrier: true,
        loopback: true,
        mtu: 65_536,
        ..Device::default()
    };
    let lo = Interface {
        device: lo,
        addresses: vec![([127, 0, 0, 1].into(), 8)],
        ..Interface::default()
    };
    let way = |interface, address: [u8; 4]| {
        let next_hop = IpAddr::from(address);
        (next_hop, Some(Route { interface, next_hop, source: None, local: false, mtu: None }))
    };
    let way_v6 = |interface, address: [u8; 4]| {
        let next_hop = of_ipv6(address);
        (next_hop, Some(Route { interface, next_hop, source: None, local: false, mtu: None }))
    };
    let mut sysctls = std::collections::BTreeMap::new();
    for interface in ["all", "lo", "eth0", "eth1"] {
        for (parameter, value) in [
            ("rp_filter", "0"),
            ("forwarding", "1"),
            ("send_redirects", "0"),
            ("arp_ignore", "0"),
            ("arp_announce", "0"),
            ("promote_secondaries", "0"),
        ] {
            sysctls.insert(format!("net/ipv4/conf/{interface}/{parameter}"), value.to_owned());
        }
        for (parameter, value) in
            [("forwarding", "1"), ("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")]
        {
            sysctls.insert(format!("net/ipv6/conf/{interface}/{parameter}"), value.to_owned());
        }
    }
    for (key, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/ip_nonlocal_bind", "0"),
        ("net/ipv4/neigh/default/gc_thresh3", "1024"),
        ("net/core/bpf_jit_enable", "1"),
    ] {
        sysctls.insert(key.to_owned(), value.to_owned());
    }
    Facts {
        interfaces: vec![lo, veth(2, "eth0", [192, 0, 2, 2]), veth(3, "eth1", [10, 0, 0, 2])],
        sysctls,
        routes: [
            way(3, [10, 0, 0, 21]),
            way(3, [10, 0, 0, 22]),
            way(2, [192, 0, 2, 21]),
            way(2, [192, 0, 2, 22]),
            way_v6(3, [10, 0, 0, 21]),
            way_v6(3, [10, 0, 0, 22]),
        ]
        .into(),
        defaults_v6: vec![("eth0".into(), false)],
        elsewhere: Some(2),
        kernel: Kernel {
            release: "6.18.0".into(),
            btf: true,
            bpf_file_system: true,
            descriptors: 20_000,
            sysctls_writable: true,
            capabilities: u64::MAX,
            clock: "tsc".into(),
            macvlan: Some(true),
            ..Kernel::default()
        },
        firewall: Some(Vec::new()),
        ..Facts::default()
    }
}

impl Facts {
    /// The interface of this name, which is there.
    pub(super) fn named(&mut self, name: &str) -> &mut Interface {
        self.interfaces.iter_mut().find(|one| one.device.name == name).unwrap()
    }
}

fn plan(servers: [[u8; 4]; 2], forwarding: Forwarding) -> Plan {
    plan_at([192, 0, 2, 10].into(), 24, servers.map(IpAddr::from), forwarding)
}

fn plan_at(address: IpAddr, length: u8, servers: [IpAddr; 2], forwarding: Forwarding) -> Plan {
    let mut plan = Plan { has_keepalived: true, ..Plan::default() };
    let router = VirtualRouterId::try_from(51).unwrap();
    let mut instance = VrrpInstance::new("WEB", "eth0", router);
    instance.addresses = vec![VirtualAddress::new(address, length)];
    plan.vrrp.instances = vec![instance];
    let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
    let mut service = VirtualServer::new(key);
    service.real_servers = servers
        .map(|address| {
            let endpoint = Endpoint { address, port: 80 };
            RealServer { forwarding, ..RealServer::new(endpoint) }
        })
        .to_vec()
        .into();
    plan.layer4.virtual_servers = vec![service];
    plan.layer4.interfaces = vec!["eth0".into()];
    plan
}

/// A service by NAT for [`machine`], its real servers at eth1.
pub(super) fn nat_plan() -> Plan {
    plan([[10, 0, 0, 21], [10, 0, 0, 22]], Forwarding::Nat)
}

/// The same over IPv6.
pub(super) fn nat_plan_v6() -> Plan {
    let servers = [[10, 0, 0, 21], [10, 0, 0, 22]].map(of_ipv6);
    plan_at(of_ipv6([192, 0, 2, 10]), 64, servers, Forwarding::Nat)
}

/// A service by direct routing, its real servers beside the clients.
pub(super) fn direct_plan() -> Plan {
    plan([[192, 0, 2, 21], [192, 0, 2, 22]], Forwarding::DirectRouting)
}

/// The same in tunnels.
pub(super) fn tunnel_plan() -> Plan {
    plan([[192, 0, 2, 21], [192, 0, 2, 22]], Forwarding::Tunnel(Tunnel::IpIp))
}

/// A frontend at this address and nothing else.
pub(super) fn proxy_plan(bind: &str) -> Plan {
    let json = serde_json::json!({
        "process": serde_json::to_value(model::proxy::ProcessSettings::default()).unwrap(),
        "frontends": [{
            "name": "www", "mode": "Tcp", "max_connections": null,
            "binds": [{ "address": bind, "freebind": false }],
            "log": serde_json::to_value(model::proxy::LogSettings::default()).unwrap(),
            "timeouts": serde_json::to_value(model::proxy::ClientTimeouts::default()).unwrap(),
            "forward_for": null, "connection_mode": "KeepAlive", "use_backends": [],
            "default_backend": null,
        }],
        "backends": [],
    });
    let proxy: ProxyPlan = serde_json::from_value(json).unwrap();
    Plan { proxy, has_haproxy: true, ..Plan::default() }
}

/// Codes of the errors and warnings, in order.
pub(super) fn codes(report: &Report) -> Vec<&'static str> {
    let bad = report.findings.iter().filter(|one| one.severity != Severity::Note);
    bad.map(|one| one.code).collect()
}

/// A report on the good machine with something broken.
pub(super) struct Bed {
    /// What was found.
    pub(super) report: Report,
}

impl Bed {
    /// Breaks something and looks.
    pub(super) fn broken(plan: Plan, breach: &dyn Fn(&mut Facts)) -> Bed {
        let mut facts = machine();
        breach(&mut facts);
        Bed { report: examine(&plan, &facts) }
    }

    /// Codes of the errors and warnings, in order.
    pub(super) fn bad(&self) -> Vec<&'static str> {
        codes(&self.report)
    }

    /// Codes of all findings.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        self.report.findings.iter().map(|one| one.code).collect()
    }

    /// The worst finding.
    pub(super) fn first(&self) -> &Finding {
        &self.report.findings[0]
    }
}
