//! What clients of a configuration can use: virtual servers, and frontends with their backends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use model::Plan;
use model::check::{CheckKind, Checker};
use model::layer4::{Forwarding, Persistence, Protocol, Scheduler, ServiceKey, VirtualServer};
use model::proxy::{Backend, Frontend, Matching, Mode, Sample, UseBackend};
use serde::Serialize;

use super::{Held, SERVERS_MAX, Server};

/// Most services of one virtual_server_group that are rehearsed.
const GROUP_SERVICES_MAX: usize = 16;

/// Ports whose protocol makes the server speak first.
pub(crate) const GREETING_PORTS: [u16; 6] = [21, 22, 25, 110, 143, 587];

/// Something a client can connect to, with the servers that may answer.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// For people: `TCP 10.0.0.1:80` or `main -> app`.
    pub name: String,
    /// Where the client connects.
    pub address: SocketAddrV4,
    /// With what.
    pub protocol: Protocol,
    /// What the client says.
    pub request: Request,
    /// Who answers, and how often.
    pub shares: Vec<Share>,
    /// Which of the two balancers is between.
    pub layer: Layer,
}

/// What a client says to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Request {
    /// GET of this path.
    Http(String),
    /// Nothing: the server speaks first.
    Greeting,
    /// One datagram.
    Datagram,
}

/// One server's part in a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Number in [`Topology::servers`](super::Topology::servers).
    pub server: usize,
    /// Weight in the file.
    pub weight: u32,
    /// Answers only when no other is up.
    pub backup: bool,
    /// How packets get there (layer 4).
    pub forwarding: Option<Forwarding>,
    /// Port there.
    pub port: u16,
    /// Name of the `server` line (layer 7).
    pub label: Option<String>,
    /// Longest time the checks need to see that the server refuses connections; absent when it
    /// is not checked.
    pub notice_death: Option<Duration>,
    /// Longest time they need to see it return.
    pub notice_return: Option<Duration>,
}

/// The balancer.
#[derive(Clone, Debug, Serialize)]
pub enum Layer {
    /// A virtual server.
    Four {
        /// Its identity in the tables.
        key: ServiceKey,
        /// Its scheduler.
        scheduler: Scheduler,
        /// Its persistence.
        persistence: Option<Persistence>,
    },
    /// A frontend and one of its backends.
    Seven {
        /// Name of the backend.
        backend: String,
    },
}

impl Service {
    /// Some of its servers answer the client themselves.
    pub fn is_direct(&self) -> bool {
        self.shares.iter().any(|share| share.forwarding.is_some_and(Forwarding::is_direct))
    }

    /// Whether the parts are known beforehand. Other schedulers follow addresses, chance, or the
    /// connections that happen to be open.
    pub fn is_predictable(&self) -> bool {
        match &self.layer {
            Layer::Four { scheduler, .. } => matches!(
                scheduler,
                Scheduler::RoundRobin
                    | Scheduler::WeightedRoundRobin
                    | Scheduler::LeastConnection
                    | Scheduler::WeightedLeastConnection
            ),
            Layer::Seven { .. } => true,
        }
    }

    /// What part of the connections each share should get while everything is well, 0 to 1, in
    /// the order of the shares.
    pub fn expected(&self) -> Vec<f64> {
        let effective = |share: &Share| match &self.layer {
            _ if share.backup || share.weight == 0 => 0,
            // They look only at whether there is a weight.
            Layer::Four { scheduler, .. } if scheduler.ignores_weights() => 1,
            Layer::Four { .. } | Layer::Seven { .. } => share.weight,
        };
        let sum: u32 = self.shares.iter().map(effective).sum();
        let part = |share| f64::from(effective(share)) / f64::from(sum.max(1));
        self.shares.iter().map(part).collect()
    }

    /// One line: `TCP 10.0.0.1:80, wrr: server1 (2), server2 (1)`.
    pub fn describe(&self, servers: &[Server]) -> String {
        let how = match &self.layer {
            Layer::Four { scheduler, persistence, .. } => match persistence {
                Some(found) => {
                    format!(", {scheduler}, persistent {} s", found.timeout.as_secs())
                }
                None => format!(", {scheduler}"),
            },
            Layer::Seven { .. } => format!(" at {}", self.address),
        };
        let shares: Vec<String> = self
            .shares
            .iter()
            .map(|share| {
                let backup = if share.backup { ", backup" } else { "" };
                format!("{} (weight {}{backup})", servers[share.server].name, share.weight)
            })
            .collect();
        format!("{}{how}: {}", self.name, shares.join(", "))
    }
}

/// Services and the servers behind them.
pub(super) struct Found {
    pub(super) services: Vec<Service>,
    pub(super) servers: Vec<Server>,
}

/// Everything in a Plan that a client can use.
pub(super) fn find(plan: &Plan, held: &[Held], notes: &mut Vec<String>) -> Result<Found, String> {
    let mut found = Found { services: Vec::new(), servers: Vec::new() };
    for frontend in &plan.proxy.frontends {
        found.add_frontend(frontend, &plan.proxy.backends, held, notes);
    }
    for virtual_server in &plan.layer4.virtual_servers {
        let rehearsed = virtual_server.services.len().min(GROUP_SERVICES_MAX);
        for &key in &virtual_server.services[..rehearsed] {
            found.add_service(virtual_server, key, notes);
        }
        if let left_out @ 1.. = virtual_server.services.len() - rehearsed {
            notes.push(format!(
                "{}: the lab rehearses the first {rehearsed} services of a group, not the other \
                 {left_out}",
                virtual_server.id
            ));
        }
    }
    if found.services.is_empty() {
        return Err("the files contain no virtual_server and no frontend that an IPv4 client \
                    could use: there is nothing to rehearse"
            .into());
    }
    if found.servers.len() > SERVERS_MAX {
        return Err(format!(
            "{} real servers are more than a lab on one machine starts ({SERVERS_MAX})",
            found.servers.len()
        ));
    }
    Ok(found)
}

impl Found {
    fn add_service(
        &mut self,
        virtual_server: &VirtualServer,
        key: ServiceKey,
        notes: &mut Vec<String>,
    ) {
        let ServiceKey::Address { address: IpAddr::V4(address), port, protocol } = key else {
            notes.push(format!("{key}: the lab rehearses IPv4 only"));
            return;
        };
        if protocol == Protocol::Sctp {
            notes.push(format!("{key}: the lab's clients do not speak SCTP"));
            return;
        }
        if port == 0 {
            notes.push(format!("{key}: takes every port; the lab uses port 80"));
        }
        let port = if port == 0 { 80 } else { port };
        let mut shares = Vec::new();
        for real_server in &virtual_server.real_servers {
            let IpAddr::V4(at) = real_server.endpoint.address else {
                notes.push(format!("{}: the lab rehearses IPv4 only", real_server.endpoint));
                continue;
            };
            let direct = real_server.forwarding.is_direct();
            let server_port = match real_server.endpoint.port {
                0 => port,
                // With direct routing the packet keeps the port the client used.
                _ if direct => port,
                own => own,
            };
            let server = self.server(at, None);
            self.listen(server, protocol, server_port);
            self.listen_for_checkers(server, &real_server.checkers);
            if direct {
                let loopback = &mut self.servers[server].loopback;
                if !loopback.contains(&address) {
                    loopback.push(address);
                }
            }
            if let Forwarding::Tunnel(tunnel) = real_server.forwarding {
                let tunnels = &mut self.servers[server].tunnels;
                if !tunnels.contains(&tunnel) {
                    tunnels.push(tunnel);
                }
            }
            shares.push(Share {
                server,
                weight: real_server.weight,
                backup: false,
                forwarding: Some(real_server.forwarding),
                port: server_port,
                label: None,
                notice_death: real_server.checkers.iter().map(death_noticed).min(),
                notice_return: real_server.checkers.iter().map(return_noticed).max(),
            });
        }
        let request = match protocol {
            Protocol::Udp | Protocol::Sctp => Request::Datagram,
            Protocol::Tcp if GREETING_PORTS.contains(&port) => Request::Greeting,
            Protocol::Tcp => Request::Http("/".into()),
        };
        self.services.push(Service {
            name: key.to_string(),
            address: SocketAddrV4::new(address, port),
            protocol,
            request,
            shares,
            layer: Layer::Four {
                key,
                scheduler: virtual_server.scheduler,
                persistence: virtual_server.persistence,
            },
        });
    }

    fn add_frontend(
        &mut self,
        frontend: &Frontend,
        backends: &[Backend],
        held: &[Held],
        notes: &mut Vec<String>,
    ) {
        let binds = frontend.binds.iter().filter_map(|bind| match bind.address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        });
        let Some(bind) = binds.into_iter().next() else {
            notes.push(format!("frontend {}: no IPv4 address to connect to", frontend.name));
            return;
        };
        let ip = match (*bind.ip(), held.first()) {
            (Ipv4Addr::UNSPECIFIED, Some(held)) => held.address,
            // Listens everywhere and nobody holds an address: one of the lab's choosing.
            (Ipv4Addr::UNSPECIFIED, None) => Ipv4Addr::new(192, 0, 2, 1),
            (own, _) => own,
        };
        let address = SocketAddrV4::new(ip, bind.port());
        let by_rule = frontend.use_backends.iter().filter_map(|rule| match path_for(rule) {
            Some(path) => Some((rule.backend.as_str(), path)),
            None => {
                notes.push(format!(
                    "frontend {}: the lab does not know which request reaches backend {}",
                    frontend.name, rule.backend
                ));
                None
            }
        });
        let ways: Vec<(&str, String)> = by_rule
            .chain(frontend.default_backend.as_deref().map(|backend| (backend, "/".to_owned())))
            .collect();
        for (name, path) in ways {
            let Some(backend) = backends.iter().find(|backend| backend.name == name) else {
                continue;
            };
            let shares = self.shares_of(backend, notes);
            let request = match frontend.mode {
                Mode::Tcp if GREETING_PORTS.contains(&bind.port()) => Request::Greeting,
                Mode::Tcp | Mode::Http => Request::Http(path),
            };
            if shares.is_empty() {
                continue;
            }
            self.services.push(Service {
                name: format!("{} -> {name}", frontend.name),
                address,
                protocol: Protocol::Tcp,
                request,
                shares,
                layer: Layer::Seven { backend: name.to_owned() },
            });
        }
    }

    fn shares_of(&mut self, backend: &Backend, notes: &mut Vec<String>) -> Vec<Share> {
        let mut shares = Vec::new();
        for line in &backend.servers {
            let SocketAddr::V4(address) = line.address else {
                notes.push(format!("server {}: the lab rehearses IPv4 only", line.name));
                continue;
            };
            if address.ip().is_loopback() {
                notes.push(format!(
                    "backend {}: server {} is the director itself, which the lab leaves out",
                    backend.name, line.name
                ));
                continue;
            }
            let server = self.server(*address.ip(), Some(&line.name));
            self.listen(server, Protocol::Tcp, address.port());
            self.listen_for_checkers(server, line.check.as_slice());
            shares.push(Share {
                server,
                weight: line.weight.into(),
                backup: line.backup,
                forwarding: None,
                port: address.port(),
                label: Some(line.name.clone()),
                notice_death: line.check.as_ref().map(death_noticed),
                notice_return: line.check.as_ref().map(return_noticed),
            });
        }
        shares
    }

    /// The machine with this address.
    fn server(&mut self, address: Ipv4Addr, label: Option<&str>) -> usize {
        if let Some(known) = self.servers.iter().position(|server| server.address == address) {
            return known;
        }
        let taken = |name: &str| self.servers.iter().any(|server| server.name == name);
        let number = self.servers.len() + 1;
        let name = match label {
            Some(label) if !taken(label) => label.to_owned(),
            Some(_) | None => format!("server{number}"),
        };
        self.servers.push(Server {
            name,
            address,
            prefix_len: 24,
            ports: Vec::new(),
            gateway: None,
            loopback: Vec::new(),
            tunnels: Vec::new(),
        });
        self.servers.len() - 1
    }

    fn listen(&mut self, server: usize, protocol: Protocol, port: u16) {
        let ports = &mut self.servers[server].ports;
        if !ports.contains(&(protocol, port)) {
            ports.push((protocol, port));
        }
    }

    /// Checkers may look at another port than clients use.
    fn listen_for_checkers(&mut self, server: usize, checkers: &[Checker]) {
        for checker in checkers {
            let protocol = match &checker.kind {
                CheckKind::Tcp | CheckKind::Http(_) | CheckKind::Smtp(_) => Protocol::Tcp,
                CheckKind::Dns(_) | CheckKind::Udp(_) => Protocol::Udp,
                CheckKind::Ping | CheckKind::Misc(_) | CheckKind::Bfd(_) | CheckKind::File(_) => {
                    continue;
                }
            };
            if checker.target.ip() == IpAddr::V4(self.servers[server].address) {
                self.listen(server, protocol, checker.target.port());
            }
        }
    }
}

/// Longest time until a checker has seen a server that refuses connections as dead.
fn death_noticed(checker: &Checker) -> Duration {
    let pace = checker.pace;
    pace.interval.max(pace.warmup) + pace.retry_interval * pace.fall.saturating_sub(1)
}

/// Longest time until it has seen it return.
fn return_noticed(checker: &Checker) -> Duration {
    let pace = checker.pace;
    pace.down_interval + pace.retry_interval * pace.rise.saturating_sub(1)
}

/// A path whose request this rule sends to its backend, when that is easy to see: one positive
/// test of the path or the target.
fn path_for(rule: &UseBackend) -> Option<String> {
    let Some(condition) = &rule.condition else { return Some("/".into()) };
    condition.any.iter().find_map(|group| {
        let [term] = group.as_slice() else { return None };
        if term.negated {
            return None;
        }
        term.tests.iter().find_map(|test| {
            if !matches!(test.sample, Sample::Path | Sample::Url) {
                return None;
            }
            let pattern = test.patterns.first()?;
            let pattern = pattern.trim_start_matches('/');
            match test.matching {
                Matching::Exact => Some(format!("/{pattern}")),
                Matching::Begins => {
                    Some(format!("/{pattern}{}", if pattern.ends_with('/') { "x" } else { "" }))
                }
                Matching::Ends => Some(format!("/x{pattern}")),
                Matching::Contains => Some(format!("/x{pattern}x")),
                Matching::Directory => Some(format!("/{pattern}/x")),
                Matching::Network => None,
            }
        })
    })
}
