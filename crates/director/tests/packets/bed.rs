//! A loaded engine without a network: packets go in and come out by BPF_PROG_TEST_RUN.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use director::xdp::{XdpEngine, XdpOptions};
use director::{Destination, Engine, ServiceSettings, TableChange};
use edge::gate::Gate;
use lab::net::Net;
use model::layer4::{Endpoint, Forwarding, Persistence, Protocol, Scheduler, ServiceKey};
use model::status::ConnectionStatus;

use crate::frame::{ACK, Frame, INIT, OURS, SYN, Side, internet_checksum};

pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// ifindex of the loopback, where test runs come in.
pub(crate) const HERE: u32 = 1;
/// ifindex that stands for the way to the servers.
pub(crate) const THERE: u32 = 77;
pub(crate) const THERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// A way to the client, when a test gives it one.
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x88];
pub(crate) const WAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x87];

/// What XDP programs return.
pub(crate) const DROP: u32 = 1;
pub(crate) const PASS: u32 = 2;
pub(crate) const REDIRECT: u32 = 4;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Drop,
    /// Its sender is told that its port is unreachable.
    Refused,
    Pass(Frame),
    /// Out of the interface it came in by.
    Back(Frame),
    /// Out of another interface.
    Redirect(Frame),
}

impl Outcome {
    pub(crate) fn forwarded(self) -> Frame {
        match self {
            Outcome::Back(frame) | Outcome::Redirect(frame) => frame,
            other => panic!("not forwarded: {other:?}"),
        }
    }
}

pub(crate) struct Bed {
    pub(crate) engine: XdpEngine,
    pub(crate) pins: PathBuf,
}

/// A directory of pins that is gone at the end of a test, a failed one too.
pub(crate) struct Unpinned(pub(crate) PathBuf);

impl Drop for Unpinned {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test in an empty network namespace with an engine, or says why not.
pub(crate) fn with_bed(work: impl FnOnce(&mut Bed) + Send) {
    with_room(4096, work);
}

/// The same with a table for so many connections.
pub(crate) fn with_room(connections_max: u32, work: impl FnOnce(&mut Bed) + Send) {
    in_namespace(|| {
        let pins = Unpinned(fresh_pins());
        let mut bed = Bed::with_room(pins.0.clone(), connections_max);
        work(&mut bed);
        bed.engine.stop().unwrap();
    });
}

/// Runs in an empty network namespace: the engine must not meet the machine's own interfaces.
pub(crate) fn in_namespace(work: impl FnOnce() + Send) {
    if let Some(missing) = lab::net::missing() {
        return println!("skipped: {missing}");
    }
    let net = Net::new("packets").unwrap();
    net.namespace("director").unwrap().enter(work).unwrap();
}

pub(crate) fn fresh_pins() -> PathBuf {
    static SEQUENCE: AtomicU32 = AtomicU32::new(0);
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/sys/fs/bpf/evenkeel-test-{}-{sequence}", std::process::id()))
}

pub(crate) fn service(protocol: Protocol, port: u16) -> ServiceKey {
    ServiceKey::Address { address: VIRTUAL.into(), port, protocol }
}

pub(crate) fn endpoint(last: u8, port: u16) -> Endpoint {
    Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port }
}

pub(crate) fn server_mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, last]
}

pub(crate) fn persistence(seconds: u64, prefix_len: u8) -> Option<Persistence> {
    Some(Persistence { timeout: std::time::Duration::from_secs(seconds), prefix_len })
}

impl Bed {
    pub(crate) fn new(pins: PathBuf) -> Bed {
        Bed::with_room(pins, 4096)
    }

    pub(crate) fn with_room(pins: PathBuf, connections_max: u32) -> Bed {
        let options = XdpOptions {
            connections_max,
            connections6_max: connections_max,
            ..XdpOptions::new(&pins)
        };
        let engine = XdpEngine::start(&options).unwrap();
        engine.test_interface(HERE, OURS).unwrap();
        Bed { engine, pins }
    }

    pub(crate) fn add_service(
        &mut self,
        key: ServiceKey,
        scheduler: Scheduler,
        persistence: Option<Persistence>,
    ) {
        let settings = ServiceSettings { scheduler, persistence, ..ServiceSettings::default() };
        self.engine.apply(&[TableChange::AddService(key, settings)]).unwrap();
    }

    /// Adds server 10.0.0.LAST at the service's port plus 8000.
    pub(crate) fn add(&mut self, key: ServiceKey, last: u8, weight: u32, forwarding: Forwarding) {
        let port = match (key.port(), forwarding) {
            (0, _) => 0,
            (port, Forwarding::DirectRouting | Forwarding::Tunnel(_)) => port,
            (port, Forwarding::Nat) => port + 8000,
        };
        let destination = Destination::new(endpoint(last, port), weight, forwarding);
        self.engine.apply(&[TableChange::AddDestination(key, destination)]).unwrap();
        self.engine
            .test_next_hop(key, destination.endpoint, THERE, server_mac(last), THERE_MAC)
            .unwrap();
    }

    /// Adds a server at any address.
    pub(crate) fn add_at(&mut self, key: ServiceKey, endpoint: Endpoint, forwarding: Forwarding) {
        let destination = Destination::new(endpoint, 1, forwarding);
        self.engine.apply(&[TableChange::AddDestination(key, destination)]).unwrap();
        self.engine.test_next_hop(key, endpoint, THERE, server_mac(1), THERE_MAC).unwrap();
    }

    pub(crate) fn update(
        &mut self,
        key: ServiceKey,
        last: u8,
        weight: u32,
        forwarding: Forwarding,
    ) {
        let port = if forwarding == Forwarding::Nat { key.port() + 8000 } else { key.port() };
        let destination = Destination::new(endpoint(last, port), weight, forwarding);
        self.engine.apply(&[TableChange::UpdateDestination(key, destination)]).unwrap();
    }

    pub(crate) fn remove(&mut self, key: ServiceKey, at: Endpoint) {
        self.engine.apply(&[TableChange::RemoveDestination(key, at)]).unwrap();
    }

    pub(crate) fn send(&self, frame: &Frame) -> Outcome {
        let run = self.engine.test_forward(&frame.bytes(), 1).unwrap();
        let out = || Frame::read(&run.packet);
        match run.action {
            1 => Outcome::Drop,
            4 if is_refusal(&run.packet, frame) => Outcome::Refused,
            2 => Outcome::Pass(out()),
            3 => Outcome::Back(out()),
            4 => Outcome::Redirect(out()),
            other => panic!("XDP action {other}"),
        }
    }

    /// What becomes of these very bytes.
    pub(crate) fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let run = self.engine.test_forward(frame, 1).unwrap();
        (run.action, run.packet)
    }

    /// The kernel knows the way to the client from here on.
    pub(crate) fn give_the_client_a_route(&self) {
        let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
        let (ours, theirs) = (mac(WAY_MAC), mac(CLIENT_MAC));
        for arguments in [
            format!("link add way address {ours} type veth peer name away"),
            "link set lo up".to_owned(),
            "link set away up".to_owned(),
            "link set way up".to_owned(),
            "addr add 198.51.100.1/24 dev way".to_owned(),
            format!("neigh add {CLIENT} lladdr {theirs} dev way nud permanent"),
        ] {
            // The thread of the test is in its namespace, and so is what it starts.
            let done = Command::new("ip").args(arguments.split(' ')).output().unwrap();
            assert!(done.status.success(), "ip {arguments}: {done:?}");
        }
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    }

    /// Opens a connection from a client port; returns the server's last octet.
    pub(crate) fn connect(&self, key: ServiceKey, from: Side) -> u8 {
        let to = (VIRTUAL, key.port());
        let first = match key.protocol() {
            Some(Protocol::Tcp) | None => Frame::tcp(from, to, SYN),
            Some(Protocol::Udp) => Frame::udp(from, to),
            Some(Protocol::Sctp) => Frame::sctp(from, to, INIT),
        };
        self.send(&first).forwarded().to_mac[5]
    }

    /// Client and server agree on a TCP connection through NAT.
    pub(crate) fn establish(&self, key: ServiceKey, from: Side) -> u8 {
        let last = self.connect(key, from);
        let server = (Ipv4Addr::new(10, 0, 0, last), key.port() + 8000);
        self.send(&Frame::tcp(server, from, SYN | ACK));
        self.send(&Frame::tcp(from, (VIRTUAL, key.port()), ACK)).forwarded();
        last
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let all = self.engine.data_plane();
        all.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    pub(crate) fn gate(&self) -> Gate {
        Gate::open(&self.pins).unwrap()
    }

    pub(crate) fn connections(&self) -> Vec<ConnectionStatus> {
        self.engine.connections(edge::clock::now()).unwrap()
    }

    /// The state of the connection of a client port.
    pub(crate) fn state(&self, client_port: u16) -> String {
        let all = self.connections();
        let found = all.iter().find(|conn| conn.client.port == client_port);
        found.map_or("none", |conn| &conn.state).to_owned()
    }

    /// Active, inactive and templates of a server.
    pub(crate) fn load(&self, key: ServiceKey, at: Endpoint) -> (u32, u32, u32) {
        let load = self.engine.destination_load(key, at);
        (load.active, load.inactive, load.templates)
    }
}

/// An ICMP error (RFC 792) from the address that the frame was sent to: port unreachable.
fn is_refusal(answer: &[u8], about: &Frame) -> bool {
    answer[23] == 1
        && answer[26..30] == about.to.0.octets()
        && answer[30..34] == about.from.0.octets()
        && answer[34..36] == [3, 3]
        && internet_checksum(&answer[34..]) == 0
        && answer[50..54] == about.bytes()[22..26]
}
