//! A topology, built: namespaces, addresses, routes, machines and directors.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use model::Plan;

use crate::adapt::adapt;
use crate::director::{ConfigFile, Director};
use crate::error::{Doing, LabError};
use crate::net::{Namespace, Net};
use crate::server::Machine;
use crate::topology::{GREETING_PORTS, Topology};
use crate::unpack::Unpacker;

/// Priorities below this leave no room for a second director beneath.
const PRIORITY_ROOM: u8 = 10;
/// How much director 1 is raised then.
const RAISE: &str = "50";
/// Where pins go: `/sys/fs/bpf/evenkeel-lab-PID`.
const PINS: &str = "/sys/fs/bpf";
/// Beginning of the names of directories of ours.
const DIRECTORY_PREFIX: &str = "evenkeel-lab-";

/// Everything that was built; gone when dropped.
pub(crate) struct Rig {
    // Dropped in this order: directors first, namespaces last.
    /// The directors, running or not.
    pub directors: Vec<Director>,
    /// The machines behind, in the topology's order.
    pub machines: Vec<Machine>,
    /// Where clients are.
    pub client: Namespace,
    /// The switch of each segment; port N is that of director N + 1.
    pub switches: Vec<Namespace>,
    /// The next client's number.
    pub sequence: Arc<AtomicU32>,
    /// What was built.
    pub topology: Topology,
    /// Longest time a backup may take to see that the master is silent.
    pub takeover_bound: Duration,
    /// A director of higher priority takes over from a lower one that is master.
    pub preempts: bool,
    /// What had to be changed in the files, in sentences.
    pub adaptations: Vec<String>,
    _unpackers: Vec<Unpacker>,
    _directories: Directories,
    _net: Net,
}

/// What a rig is built with.
pub(crate) struct Parts<'a> {
    /// The plan of the files.
    pub plan: &'a Plan,
    /// The files.
    pub files: &'a [ConfigFile],
    /// The evenkeel executable.
    pub executable: &'a Path,
    /// Where the directors' logs go; a directory that is removed afterwards unless given.
    pub logs: Option<&'a Path>,
}

/// Directories that are removed in the end.
struct Directories {
    temporary: PathBuf,
    pins: PathBuf,
}

impl Directories {
    fn make() -> io::Result<Directories> {
        remove_stale(&std::env::temp_dir());
        remove_stale(Path::new(PINS));
        let name = format!("{DIRECTORY_PREFIX}{}", process::id());
        let temporary = std::env::temp_dir().join(&name);
        fs::create_dir_all(&temporary)?;
        Ok(Directories { temporary, pins: Path::new(PINS).join(name) })
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary);
        let _ = fs::remove_dir_all(&self.pins);
    }
}

/// Removes what killed runs left.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(DIRECTORY_PREFIX));
        let Some(pid) = maker.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Rig {
    /// Builds everything and starts the machines, but no director yet.
    pub(crate) fn build(topology: Topology, parts: &Parts<'_>) -> Result<Rig, LabError> {
        let directories = Directories::make().doing("making a temporary directory")?;
        let net = Net::new("lab").doing("preparing namespaces")?;
        let client = net.namespace("client").doing("making the client's namespace")?;
        let mut namespaces = Vec::new();
        for number in 1..=topology.directors {
            let namespace = net.namespace(&format!("director{number}"));
            namespaces.push(namespace.doing("making a director's namespace")?);
        }
        let mut behind = Vec::new();
        for server in &topology.servers {
            let name: String = server
                .name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            behind.push(
                net.namespace(&format!("s{}-{name}", behind.len() + 1))
                    .doing("making a server's namespace")?,
            );
        }
        let switches = connect(&net, &topology, &client, &namespaces, &behind)
            .doing("connecting the namespaces")?;
        set_up_client(&topology, &client).doing("setting up the client")?;
        for (number, namespace) in namespaces.iter().enumerate() {
            set_up_director(&topology, number, namespace).doing("setting up a director")?;
        }
        let (mut machines, mut unpackers) = (Vec::new(), Vec::new());
        let checked = checked_paths(parts.plan);
        for (server, namespace) in topology.servers.iter().zip(&behind) {
            set_up_server(&topology, server, namespace).doing("setting up a server")?;
            let machine = Machine::start_in(
                namespace,
                &server.name,
                &server.ports,
                &checked,
                &GREETING_PORTS,
            );
            machines.push(machine.doing(format!("starting {}", server.name))?);
            if !server.tunnels.is_empty() {
                let unpacker = Unpacker::start(namespace, "eth0", &server.tunnels);
                unpackers.push(unpacker.doing(format!("ending tunnels at {}", server.name))?);
            }
        }
        let mut rig = Rig {
            directors: Vec::new(),
            machines,
            client,
            switches,
            sequence: Arc::new(AtomicU32::new(0)),
            topology,
            takeover_bound: takeover_bound(parts.plan),
            preempts: parts.plan.vrrp.instances.iter().all(|instance| instance.preempt),
            adaptations: Vec::new(),
            _unpackers: unpackers,
            _directories: directories,
            _net: net,
        };
        for (number, namespace) in namespaces.into_iter().enumerate() {
            let director = rig.director(number + 1, namespace, parts);
            rig.directors.push(director.doing("preparing a director")?);
        }
        rig.adaptations.dedup();
        Ok(rig)
    }

    fn director(
        &mut self,
        number: usize,
        namespace: Namespace,
        parts: &Parts<'_>,
    ) -> io::Result<Director> {
        let directory = self._directories.temporary.join(format!("director{number}"));
        fs::create_dir_all(directory.join("empty"))?;
        let mut files = Vec::new();
        for file in parts.files {
            let text = fs::read_to_string(&file.path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", file.path.display()))
            })?;
            let (adapted, changes) = adapt(&text, parts.plan, &directory);
            let name = file.path.file_name().unwrap_or_default();
            let mut path = file.path.clone();
            if !changes.is_empty() {
                path = directory.join(name);
                fs::write(&path, adapted)?;
            }
            if number == 1 {
                let name = name.to_string_lossy();
                self.adaptations.extend(changes.iter().map(|change| format!("{name}: {change}")));
            }
            files.push(ConfigFile { option: file.option, path });
        }
        let instances = &parts.plan.vrrp.instances;
        let low = instances.iter().any(|one| one.priority.number() <= PRIORITY_ROOM);
        let options: Vec<String> = match number {
            1 if low => {
                self.adaptations.push(format!(
                    "director 1 runs with --priority-offset {RAISE}: a priority of {PRIORITY_ROOM} \
                     or less leaves no room for a second director beneath"
                ));
                vec!["--priority-offset".into(), RAISE.into()]
            }
            1 => Vec::new(),
            _ => vec!["--standby".into()],
        };
        let log_directory = parts.logs.unwrap_or(&self._directories.temporary);
        fs::create_dir_all(log_directory)?;
        let log = log_directory.join(format!("director{number}.log"));
        // Of an earlier rehearsal.
        let _ = fs::remove_file(&log);
        Ok(Director {
            number,
            namespace,
            executable: parts.executable.to_owned(),
            files,
            options,
            runtime_directory: directory.join("run"),
            pin_directory: self._directories.pins.join(format!("d{number}")),
            log,
            child: None,
        })
    }

    /// Takes a director's cables out (`false`) or puts them in again.
    pub(crate) fn plug(&self, director: usize, plugged: bool) -> io::Result<()> {
        let state = if plugged { "up" } else { "down" };
        for switch in &self.switches {
            switch.ip(&format!("link set port{director} {state}"))?;
        }
        Ok(())
    }
}

/// Directors first on every switch, so that their ports have the same numbers everywhere.
fn connect(
    net: &Net,
    topology: &Topology,
    client: &Namespace,
    directors: &[Namespace],
    servers: &[Namespace],
) -> io::Result<Vec<Namespace>> {
    for namespace in std::iter::once(client).chain(directors).chain(servers) {
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
            namespace.sysctl(&format!("net/ipv4/conf/{scope}/accept_redirects"), "0")?;
            namespace.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0")?;
        }
    }
    let mut switches = Vec::new();
    for (number, segment) in topology.segments.iter().enumerate() {
        let device = segment.interface.as_str();
        let mut members: Vec<(&Namespace, &str)> =
            directors.iter().map(|director| (director, device)).collect();
        if number == topology.client_segment {
            members.push((client, "eth0"));
        } else if number == topology.server_segment && topology.client_on_server_segment {
            members.push((client, "eth1"));
        }
        if number == topology.server_segment {
            members.extend(servers.iter().map(|server| (server, "eth0")));
        }
        switches.push(net.segment(&format!("lan-{device}"), &members)?);
    }
    Ok(switches)
}

fn set_up_client(topology: &Topology, client: &Namespace) -> io::Result<()> {
    client.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
    client.ip(&format!("addr add {}/24 dev eth0", topology.client))?;
    let clients = topology.clients;
    // Every address of the clients' network is this machine's.
    client.ip(&format!("route add local {}/{} dev lo", clients.base, clients.prefix_len))?;
    let mut known: Vec<Ipv4Addr> = Vec::new();
    let mut on_link = |address: Ipv4Addr| -> io::Result<()> {
        if !known.contains(&address) {
            known.push(address);
            client.ip(&format!("route add {address}/32 dev eth0"))?;
        }
        Ok(())
    };
    for service in &topology.services {
        let address = *service.address.ip();
        let routed = topology.routed.iter().find(|routed| routed.address == address);
        match routed.and_then(|routed| routed.via) {
            Some(via) => {
                on_link(via)?;
                client.ip(&format!("route replace {address}/32 via {via} dev eth0 onlink"))?;
            }
            None => on_link(address)?,
        }
    }
    Ok(())
}

fn set_up_director(topology: &Topology, number: usize, director: &Namespace) -> io::Result<()> {
    director.sysctl("net/ipv4/ip_forward", "1")?;
    director.sysctl("net/ipv4/ip_nonlocal_bind", "1")?;
    for segment in &topology.segments {
        for (address, prefix_len) in &segment.directors[number] {
            director.ip(&format!("addr add {address}/{prefix_len} dev {}", segment.interface))?;
        }
    }
    let clients = topology.clients;
    director.ip(&format!(
        "route add {}/{} via {}",
        clients.base, clients.prefix_len, topology.client
    ))?;
    let outside = &topology.segments[topology.client_segment].interface;
    for routed in &topology.routed {
        let device = match (routed.via, routed.local) {
            (None, _) => outside.as_str(),
            (Some(_), true) => "lo",
            (Some(_), false) => continue,
        };
        director.ip(&format!("addr add {}/32 dev {device}", routed.address))?;
    }
    Ok(())
}

fn set_up_server(
    topology: &Topology,
    server: &crate::topology::Server,
    namespace: &Namespace,
) -> io::Result<()> {
    namespace.ip(&format!("addr add {}/{} dev eth0", server.address, server.prefix_len))?;
    if let Some(gateway) = server.gateway {
        namespace.ip(&format!("route add default via {gateway} dev eth0 onlink"))?;
    }
    if server.loopback.is_empty() {
        return Ok(());
    }
    // Direct routing: the address is there, but this machine does not say so on the network; and
    // answers from it go straight to the client.
    namespace.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
    namespace.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
    let (client, clients) = (topology.client, topology.clients);
    namespace.ip(&format!("route add {client}/32 dev eth0 table 100"))?;
    namespace.ip(&format!(
        "route add {}/{} via {client} dev eth0 onlink table 100",
        clients.base, clients.prefix_len
    ))?;
    for address in &server.loopback {
        namespace.ip(&format!("addr add {address}/32 dev lo"))?;
        namespace.ip(&format!("rule add from {address} lookup 100"))?;
    }
    Ok(())
}

/// RFC 3768 6.1: three adverts and the skew, which is below a second.
fn takeover_bound(plan: &Plan) -> Duration {
    let intervals = plan.vrrp.instances.iter().map(|one| one.advert_interval.duration());
    intervals.max().unwrap_or_default() * 3 + Duration::from_secs(1)
}

/// Every path that some checker compares with a digest.
fn checked_paths(plan: &Plan) -> Vec<String> {
    let layer4 = plan
        .layer4
        .virtual_servers
        .iter()
        .flat_map(|service| &service.real_servers)
        .flat_map(|server| &server.checkers);
    let layer7 = plan
        .proxy
        .backends
        .iter()
        .flat_map(|backend| &backend.servers)
        .filter_map(|server| server.check.as_ref());
    layer4
        .chain(layer7)
        .filter_map(|checker| checker.kind.http())
        .flat_map(|http| &http.urls)
        .filter(|url| url.digest.is_some())
        .map(|url| url.path.split('?').next().unwrap_or_default().to_owned())
        .collect()
}
