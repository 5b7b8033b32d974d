//! The director role with the XDP engine: a NAT service over veth, its servers Debian's nginx.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::check::CheckKind;
use model::layer4::{
    Endpoint, Layer4Plan, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer,
};

use crate::checkers::checker;
use crate::director_role::{DirectorRole, PATIENCE, Pins};
use crate::webserver::{self, Nginx};

/// What the download fetches: at 200 kB/s (webserver.rs) it runs for about four seconds.
const LARGE: usize = 800_000;

/// A client, a director, three web servers `a`, `b` and `c`, two networks.
struct Farm {
    client: Namespace,
    director: Namespace,
    servers: Vec<Nginx>,
    pins: Pins,
    _net: Net,
}

fn service() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 100], 80))
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 2, 0, 11 + number], 80))
}

impl Farm {
    fn new(tag: &str) -> Option<Farm> {
        if let Some(reason) = lab::net::missing().or_else(webserver::missing) {
            println!("skipped: {reason}");
            return None;
        }
        let net = Net::new(tag).unwrap();
        let (client, director) = (net.namespace("client").unwrap(), net.namespace("dir").unwrap());
        let nodes = ["a", "b", "c"].map(|name| net.namespace(name).unwrap());
        net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
        let members =
            [(&director, "eth1"), (&nodes[0], "eth0"), (&nodes[1], "eth0"), (&nodes[2], "eth0")];
        net.segment("private", &members).unwrap();
        client.ip("addr add 10.1.0.10/24 dev eth0").unwrap();
        director.ip("addr add 10.1.0.1/24 dev eth0").unwrap();
        director.ip("addr add 10.1.0.100/24 dev eth0").unwrap();
        director.ip("addr add 10.2.0.1/24 dev eth1").unwrap();
        director.sysctl("net/ipv4/ip_forward", "1").unwrap();
        let large = vec![b'x'; LARGE];
        let mut servers = Vec::new();
        for ((node, name), number) in nodes.iter().zip(["a", "b", "c"]).zip(0..) {
            node.ip(&format!("addr add {}/24 dev eth0", address(number).ip())).unwrap();
            node.ip("route add default via 10.2.0.1").unwrap();
            let pages: [(&str, &[u8]); 2] = [("name", name.as_bytes()), ("large", &large)];
            servers.push(Nginx::start(node, address(number), &pages));
        }
        let pins = Pins::new(&director);
        Some(Farm { client, director, servers, pins, _net: net })
    }

    fn start(&self, weights: &[u32]) -> DirectorRole {
        DirectorRole::start(&self.director, &self.pins, plan(weights))
    }

    /// Fetches the server's name over this many connections; how often which one answered.
    fn fetch(&self, times: usize) -> BTreeMap<String, usize> {
        let fetch = || {
            let mut names = BTreeMap::new();
            for number in 0..times {
                let name =
                    get("/name").unwrap_or_else(|error| panic!("connection {number}: {error}"));
                *names.entry(name).or_insert(0) += 1;
            }
            names
        };
        self.client.enter(fetch).unwrap()
    }

    /// Waits until the first answer has come through, which may need ARP to settle.
    fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.client.enter(|| get("/name")).unwrap().is_err() {
            assert!(Instant::now() < deadline, "the service does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A plan with these weights for `a`, `b`... by weighted round robin.
fn plan(weights: &[u32]) -> Layer4Plan {
    let server = |(weight, number)| {
        let target: SocketAddr = address(number);
        RealServer {
            weight,
            checkers: vec![checker(CheckKind::Tcp, target)],
            ..RealServer::new(Endpoint { address: target.ip(), port: 80 })
        }
    };
    let key = ServiceKey::Address { address: service().ip(), port: 80, protocol: Protocol::Tcp };
    let service = VirtualServer {
        scheduler: Scheduler::WeightedRoundRobin,
        real_servers: weights.iter().copied().zip(0..).map(server).collect(),
        ..VirtualServer::new(key)
    };
    let interfaces = vec!["eth0".to_string(), "eth1".to_string()];
    Layer4Plan { virtual_servers: vec![service], interfaces, ..Layer4Plan::default() }
}

/// Asks for a page over a connection of its own; the answer's body.
fn get(path: &str) -> std::io::Result<String> {
    let mut stream = ask(path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no head"))?;
    Ok(body.to_string())
}

fn ask(path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&service(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    Ok(stream)
}

/// Each weight's share of the answers, within one round of the schedule.
fn assert_spread(names: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    for (name, share) in expected {
        let got = names.get(*name).copied().unwrap_or(0);
        assert!(got.abs_diff(*share) <= 2, "{name}: {got} instead of {share} in {names:?}");
    }
    assert_eq!(names.len(), expected.len(), "{names:?}");
}

#[test]
fn without_a_vrrp_instance_clients_are_served_where_the_address_comes() {
    let Some(farm) = Farm::new("noinst") else { return };
    farm.director.ip("addr del 10.1.0.100/24 dev eth0").unwrap();
    let plan = Layer4Plan { interfaces: Vec::new(), ..plan(&[1]) };
    let director = DirectorRole::start(&farm.director, &farm.pins, plan);
    farm.director.ip("addr add 10.1.0.100/24 dev eth0").unwrap();
    farm.settle();
    assert_spread(&farm.fetch(10), &[("a", 10)]);
    drop(director);
}

#[test]
fn an_address_on_the_loopback_is_served_on_every_interface_with_an_address() {
    let Some(farm) = Farm::new("noinstlo") else { return };
    farm.director.ip("addr del 10.1.0.100/24 dev eth0").unwrap();
    farm.director.ip("link set lo up").unwrap();
    farm.director.ip("addr add 10.1.0.100/32 dev lo").unwrap();
    let plan = Layer4Plan { interfaces: Vec::new(), ..plan(&[1]) };
    let director = DirectorRole::start(&farm.director, &farm.pins, plan);
    farm.settle();
    assert_spread(&farm.fetch(10), &[("a", 10)]);
    drop(director);
}

#[test]
fn a_nat_service_spreads_by_weight_and_loses_nothing_after_a_removal() {
    let Some(mut farm) = Farm::new("nat") else { return };
    let mut role = farm.start(&[3, 2, 1]);
    farm.settle();
    assert_spread(&farm.fetch(60), &[("a", 30), ("b", 20), ("c", 10)]);
    let before = role.report();
    let counted = before.services[0].counters.connections;
    assert!(counted >= 60, "{before:?}");

    farm.servers[0].kill();
    assert_eq!(role.health(), (false, "connection refused".to_string()));
    assert_spread(&farm.fetch(30), &[("b", 20), ("c", 10)]);

    // Another weight is a change of that server only: counters go on.
    role.configure(plan(&[3, 1, 1]));
    assert_spread(&farm.fetch(30), &[("b", 15), ("c", 15)]);
    let after = role.report();
    assert_eq!(after.services[0].counters.connections, counted + 60);
    let [a, b, _] = &after.services[0].servers[..] else { panic!("three servers") };
    assert_eq!((a.in_table, a.up), (false, false));
    assert!(b.counters.connections >= 35, "{b:?}");
    role.stop();
    assert_eq!(farm.pins.names(), ["gate"]);
}

#[test]
fn forwarding_outlives_a_killed_director_and_the_next_one_adopts_it() {
    let Some(mut farm) = Farm::new("adopt") else { return };
    let mut role = farm.start(&[2, 1, 1]);
    farm.settle();
    farm.servers[2].kill();
    assert!(!role.health().0);

    let download = farm.client.enter(|| ask("/large").unwrap()).unwrap();
    let mut reader = download.try_clone().unwrap();
    let mut first = [0; 1000];
    reader.read_exact(&mut first).unwrap();
    role.kill();
    let rest = std::thread::spawn(move || {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).map(|count| 1000 + count)
    });
    assert_spread(&farm.fetch(100), &[("a", 67), ("b", 33)]);
    let total = rest.join().unwrap().unwrap();
    assert!(total > LARGE, "the download ended after {total} bytes");

    let idle = farm.client.enter(|| TcpStream::connect(service()).unwrap()).unwrap();
    let mut role = farm.start(&[2, 1, 1]);
    let adopted = role.report();
    assert!(adopted.adopted);
    let standing: Vec<bool> = adopted.services[0].servers.iter().map(|it| it.in_table).collect();
    assert_eq!(standing, [true, true, false], "the dead server stays out");
    let local = idle.local_addr().unwrap();
    let connections = role.connections();
    let shown = connections.iter().find(|connection| connection.client.port == local.port());
    let shown = shown.unwrap_or_else(|| panic!("{local} is not in {connections:?}"));
    assert_eq!((shown.client.address, shown.state.as_str()), (local.ip(), "ESTABLISHED"));
    assert_spread(&farm.fetch(30), &[("a", 20), ("b", 10)]);
    assert!(role.further_health() == 0, "adoption moves no server");
    role.stop();
}

#[test]
fn a_role_whose_supervisor_is_gone_leaves_forwarding_in_place() {
    let Some(farm) = Farm::new("orphan") else { return };
    let role = farm.start(&[1, 1, 1]);
    farm.settle();
    role.abandon();
    assert_spread(&farm.fetch(30), &[("a", 10), ("b", 10), ("c", 10)]);
    farm.start(&[1, 1, 1]).stop();
}

#[test]
fn a_nat_service_on_a_machine_that_does_not_forward_is_warned_of_once() {
    let Some(farm) = Farm::new("noforward") else { return };
    let mut role = farm.start(&[1, 1, 1]);
    assert_eq!(role.warnings(), [""; 0]);
    role.stop();
    farm.director.sysctl("net/ipv4/ip_forward", "0").unwrap();
    let mut role = farm.start(&[1, 1, 1]);
    role.configure(plan(&[2, 1, 1]));
    let warnings = role.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("net.ipv4.ip_forward=1"), "{warnings:?}");
    role.stop();
}
