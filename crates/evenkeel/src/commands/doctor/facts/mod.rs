//! What this machine is like, gathered in one place. Everything that judges it is a pure function
//! of a Plan and these facts.

mod gather;
mod kernel;
mod links;
mod others;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use edge::ethtool::Feature;
use edge::netlink::device::{Device, Mode};
use edge::netlink::generic::XdpFeatures;
use edge::netlink::route::Route;
use edge::nft_rules::Chain;
use model::layer4::ServiceKey;
use model::status::MarksStatus;

pub(super) use gather::gather;

/// The machine, as the network namespace of this process has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Every interface; details of those that take part.
    pub(super) interfaces: Vec<Interface>,
    /// Kernel parameters by key (`net/ipv4/ip_forward`); those that are not there are absent.
    pub(super) sysctls: BTreeMap<String, String>,
    /// The way to each real server and unicast peer; none where there is no way.
    pub(super) routes: BTreeMap<IpAddr, Option<Route>>,
    /// Index of the interface towards clients of no network of ours.
    pub(super) elsewhere: Option<u32>,
    /// IPv6's default routes: the name of the interface, and whether a router's advertisement made
    /// it.
    pub(super) defaults_v6: Vec<(String, bool)>,
    /// Next hops that were asked for and did not answer.
    pub(super) silent: Vec<(u32, IpAddr)>,
    /// The kernel, and what this process may do.
    pub(super) kernel: Kernel,
    /// Other programs.
    pub(super) others: Others,
    /// Packet filter rules; absent when they cannot be read, or when there is no nf_tables.
    pub(super) firewall: Option<Vec<Chain>>,
    /// The firewall's rules that set marks; looked for only when a virtual server needs one.
    pub(super) marks: MarksStatus,
}

/// An interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Interface {
    /// What netlink says of it.
    pub(super) device: Device,
    /// Its addresses with their prefix lengths.
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// Name of its driver; empty when it does not tell.
    pub(super) driver: String,
    /// Its switches.
    pub(super) features: BTreeMap<String, Feature>,
    /// What its driver says of XDP; absent before Linux 6.3.
    pub(super) xdp: Option<XdpFeatures>,
    /// XDP programs on it.
    pub(super) programs: Vec<Program>,
    /// The running director forwards at tc here.
    pub(super) at_tc: bool,
    /// The other end of a veth, where it can be seen.
    pub(super) peer: Option<Peer>,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Its number.
    pub(super) number: u32,
    /// Its name; empty when it cannot be asked for.
    pub(super) name: String,
    /// Where it runs.
    pub(super) mode: Mode,
}

impl Program {
    /// It is the director's.
    pub(super) fn is_ours(&self) -> bool {
        self.name == "evenkeel_xdp"
    }
}

/// The other end of a veth.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// Its name.
    pub(super) name: String,
    /// The file by which its network namespace is entered; none when it is this one.
    pub(super) namespace: Option<PathBuf>,
    /// Bytes of the largest IP packet.
    pub(super) mtu: u32,
    /// Its switches.
    pub(super) features: BTreeMap<String, Feature>,
    /// It has an XDP program.
    pub(super) has_program: bool,
}

/// The kernel, and what this process may do.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// `6.1.0-18-amd64`
    pub(super) release: String,
    /// Why no BPF program can be loaded, if that is so.
    pub(super) bpf_error: Option<String>,
    /// It describes its types (/sys/kernel/btf/vmlinux).
    pub(super) btf: bool,
    /// A BPF file system is mounted at /sys/fs/bpf.
    pub(super) bpf_file_system: bool,
    /// Why no thread gets real-time priority, if that is so.
    pub(super) real_time_error: Option<String>,
    /// Descriptors a process may have at most.
    pub(super) descriptors: usize,
    /// This process may change kernel parameters.
    pub(super) sysctls_writable: bool,
    /// Bits of the capabilities in force (capabilities(7)).
    pub(super) capabilities: u64,
    /// `tsc`
    pub(super) clock: String,
    /// It can make macvlans; absent when that could not be asked.
    pub(super) macvlan: Option<bool>,
    /// Why nf_tables cannot be used, if that is so.
    pub(super) nft_error: Option<String>,
}

/// Other programs.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    /// An Evenkeel director forwards in this network namespace.
    pub(super) director: bool,
    /// Keepaliveds and HAProxies that are not ours: name and process id.
    pub(super) rivals: Vec<(String, u32)>,
    /// TCP listeners of programs that are not ours, with the name of the program if it is known.
    pub(super) listeners: Vec<(SocketAddr, Option<String>)>,
    /// Services in the kernel's IPVS; absent without IPVS.
    pub(super) ipvs: Option<Vec<ServiceKey>>,
}

impl Facts {
    /// The interface of this name.
    pub(super) fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|one| one.device.name == name)
    }

    /// The interface with this index.
    pub(super) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|one| one.device.index == index)
    }

    /// The first interface that has this address.
    pub(super) fn holder(&self, address: IpAddr) -> Option<&Interface> {
        self.interfaces.iter().find(|one| one.has(address))
    }

    /// A kernel parameter, as text.
    pub(super) fn sysctl(&self, key: &str) -> Option<&str> {
        self.sysctls.get(key).map(String::as_str)
    }

    /// A kernel parameter that is a number.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        self.sysctl(key)?.parse().ok()
    }

    /// An IPv4 parameter of an interface, or of `all`.
    pub(super) fn conf(&self, interface: &str, parameter: &str) -> Option<i64> {
        self.number(&format!("net/ipv4/conf/{interface}/{parameter}"))
    }

    /// An IPv6 parameter of an interface, or of `all`.
    pub(super) fn conf_v6(&self, interface: &str, parameter: &str) -> Option<i64> {
        self.number(&format!("net/ipv6/conf/{interface}/{parameter}"))
    }

    /// An IPv4 parameter of which the greater of `all` and the interface's own counts.
    pub(super) fn greater_conf(&self, interface: &str, parameter: &str) -> Option<i64> {
        Some(self.conf("all", parameter)?.max(self.conf(interface, parameter)?))
    }
}

impl Interface {
    /// Bytes of the largest packet that comes in by it: a veth takes what its other end sends.
    pub(super) fn incoming_mtu(&self) -> u32 {
        self.peer.as_ref().map_or(self.device.mtu, |peer| peer.mtu)
    }

    /// An address is in a network that it has an address of.
    pub(super) fn is_beside(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(one, length)| match (one, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(*length)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(*length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        })
    }

    /// It has this address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(one, _)| *one == address)
    }

    /// A switch is on.
    pub(super) fn is_on(&self, feature: &str) -> bool {
        self.features.get(feature).is_some_and(|one| one.on)
    }
}
