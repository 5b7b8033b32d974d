//! Interfaces: what netlink, ethtool and the drivers say of them, and the other ends of veths.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use edge::bpf_programs;
use edge::ethtool::Ethtool;
use edge::netlink::Socket;
use edge::netlink::device::{Device, devices, namespace_number};
use edge::netlink::generic::xdp_features;
use edge::netlink::link::Interfaces;
use edge::netns::NetworkNamespace;

use super::{Interface, Peer, Program};

/// Where `ip netns` keeps names.
const NAMES: &str = "/run/netns";

/// Every interface, with its addresses.
pub(super) fn interfaces(socket: &mut Socket) -> io::Result<Vec<Interface>> {
    let addresses = Interfaces::load(socket)?;
    let all = devices(socket)?.into_iter().map(|device| {
        let ipv4 = addresses.ipv4(device.index).map(|(address, length)| (address.into(), length));
        let ipv6 = addresses.ipv6(device.index).map(|(address, length)| (address.into(), length));
        let addresses = ipv4.chain(ipv6).collect();
        Interface { device, addresses, ..Interface::default() }
    });
    Ok(all.collect())
}

/// Where a director with the usual pin directory notes how it attached.
const LINKS: &str = "/sys/fs/bpf/evenkeel/links";

/// Adds the details of those that take part. What cannot be asked for stays empty.
pub(super) fn describe(
    socket: &mut Socket,
    interfaces: &mut [Interface],
    taking_part: &BTreeSet<String>,
) {
    let Ok(ethtool) = Ethtool::open() else { return };
    let features: Option<BTreeMap<u32, _>> =
        xdp_features().ok().map(|all| all.into_iter().collect());
    let names: BTreeMap<u32, String> =
        interfaces.iter().map(|one| (one.device.index, one.device.name.clone())).collect();
    let mut namespaces = Namespaces::default();
    for interface in interfaces {
        let device = &interface.device;
        if !taking_part.contains(&device.name) {
            continue;
        }
        interface.driver = ethtool.driver(&device.name).unwrap_or_default();
        interface.features = ethtool.features(&device.name).unwrap_or_default();
        interface.xdp = features.as_ref().and_then(|all| all.get(&device.index).copied());
        interface.programs = device
            .programs
            .iter()
            .map(|one| Program {
                number: one.program,
                name: bpf_programs::name(one.program).unwrap_or_default(),
                mode: one.mode,
            })
            .collect();
        let note = format!("{LINKS}/{}-tc", device.index);
        interface.at_tc = Path::new(&note).is_dir();
        if device.kind == "veth" {
            interface.peer = peer(socket, device, &names, &mut namespaces);
        }
    }
}

fn peer(
    socket: &mut Socket,
    device: &Device,
    names: &BTreeMap<u32, String>,
    namespaces: &mut Namespaces,
) -> Option<Peer> {
    let index = device.base?;
    let Some(number) = device.base_namespace else {
        let name = names.get(&index)?.clone();
        return look(&name, index, None);
    };
    let path = namespaces.find(socket, number)?;
    let namespace = NetworkNamespace::open(&path).ok()?;
    let found = namespace.enter(|| {
        let all = devices(&mut Socket::open().ok()?).ok()?;
        let name = all.into_iter().find(|one| one.index == index)?.name;
        look(&name, index, Some(path.clone()))
    });
    found.ok().flatten()
}

/// Describes the other end, in the namespace of this thread.
fn look(name: &str, index: u32, namespace: Option<PathBuf>) -> Option<Peer> {
    let features = Ethtool::open().ok()?.features(name).ok()?;
    let all = devices(&mut Socket::open().ok()?).ok()?;
    let device = all.into_iter().find(|one| one.index == index)?;
    let has_program = !device.programs.is_empty();
    let mtu = device.mtu;
    Some(Peer { name: name.to_owned(), namespace, mtu, features, has_program })
}

/// Network namespaces of this machine by the numbers that ours has for them.
#[derive(Default)]
struct Namespaces {
    known: Option<BTreeMap<i32, PathBuf>>,
}

impl Namespaces {
    /// A file by which the namespace of this number is entered.
    fn find(&mut self, socket: &mut Socket, number: i32) -> Option<PathBuf> {
        self.known.get_or_insert_with(|| numbered(socket)).get(&number).cloned()
    }
}

/// Namespaces with names first, then those of processes.
fn numbered(socket: &mut Socket) -> BTreeMap<i32, PathBuf> {
    let list = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let is_process = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let processes = list("/proc").into_iter().filter(is_process).map(|path| path.join("ns/net"));
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    for path in list(NAMES).into_iter().chain(processes) {
        let Some(number) = number_of(socket, &path, &mut seen) else { continue };
        found.entry(number).or_insert(path);
    }
    found
}

fn number_of(socket: &mut Socket, path: &Path, seen: &mut BTreeSet<u64>) -> Option<i32> {
    if !seen.insert(fs::metadata(path).ok()?.ino()) {
        return None;
    }
    let file = fs::File::open(path).ok()?;
    namespace_number(socket, file.as_fd()).ok().flatten()
}
