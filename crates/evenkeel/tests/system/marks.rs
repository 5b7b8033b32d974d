//! The book's scenarios with firewall marks: real rules of iptables and nftables in the director's
//! namespace, nginx and an FTP server of the test's own behind it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::layer4::{
    Endpoint, Forwarding, Layer4Plan, Persistence, RealServer, Scheduler, ServiceKey, VirtualServer,
};
use model::vrrp::Family;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::director_role::{DirectorRole, PATIENCE, Pins};
use crate::webserver::{self, Nginx};

const VIRTUAL: [u8; 4] = [10, 1, 0, 100];
/// Where both FTP servers wait for data: only the mark leads to the right one.
const PASSIVE: u16 = 12_345;
/// The book's rule for web servers (2.4.1).
const WEB: &str = "-p tcp -d 10.1.0.100/32 -m multiport --dports 80,443 -j MARK --set-mark 80";
/// Its rules for passive FTP (2.5.3.2).
const FTP: [&str; 2] = [
    "-p tcp -d 10.1.0.100/32 --dport 21 -j MARK --set-mark 21",
    "-p tcp -d 10.1.0.100/32 --dport 10000:20000 -j MARK --set-mark 21",
];

/// A client, a director and servers `a` and `b`, two networks.
struct Farm {
    client: Namespace,
    director: Namespace,
    nodes: [Namespace; 2],
    pins: Pins,
    _net: Net,
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 11 + number)
}

impl Farm {
    fn new(tag: &str, tool: &str) -> Option<Farm> {
        let has_tool = || std::process::Command::new(tool).arg("--version").output().is_ok();
        let no_tool = || (!has_tool()).then(|| format!("`{tool}` is not installed"));
        if let Some(reason) = lab::net::missing().or_else(webserver::missing).or_else(no_tool) {
            println!("skipped: {reason}");
            return None;
        }
        let net = Net::new(tag).unwrap();
        let (client, director) = (net.namespace("client").unwrap(), net.namespace("dir").unwrap());
        let nodes = ["a", "b"].map(|name| net.namespace(name).unwrap());
        net.veth((&client, "eth0"), (&director, "eth0")).unwrap();
        let members = [(&director, "eth1"), (&nodes[0], "eth0"), (&nodes[1], "eth0")];
        net.segment("private", &members).unwrap();
        for number in 10..30 {
            client.ip(&format!("addr add 10.1.0.{number}/24 dev eth0")).unwrap();
        }
        director.ip("addr add 10.1.0.1/24 dev eth0").unwrap();
        director.ip("addr add 10.1.0.100/24 dev eth0").unwrap();
        director.ip("addr add 10.2.0.1/24 dev eth1").unwrap();
        director.sysctl("net/ipv4/ip_forward", "1").unwrap();
        for (node, number) in nodes.iter().zip(0..) {
            node.ip(&format!("addr add {}/24 dev eth0", address(number))).unwrap();
            node.ip("route add default via 10.2.0.1").unwrap();
        }
        let pins = Pins::new(&director);
        Some(Farm { client, director, nodes, pins, _net: net })
    }

    fn run(&self, tool: &str, arguments: &str) {
        let output = self.director.command(tool).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{tool} {arguments}: {output:?}");
    }

    fn mangle(&self, rule: &str) {
        self.run("iptables", &format!("-t mangle -A PREROUTING {rule}"));
    }

    /// Web servers that say their name on ports 80 and 443.
    fn web(&self) -> Vec<Nginx> {
        let nodes = self.nodes.iter().zip(["a", "b"]).zip(0..);
        let started = nodes.flat_map(|((node, name), number)| {
            [80, 443].map(|port| {
                let at = SocketAddr::from((address(number), port));
                Nginx::start(node, at, &[("name", name.as_bytes())])
            })
        });
        started.collect()
    }

    fn start(&self, mark: u32, persistence: Option<u64>) -> DirectorRole {
        DirectorRole::start(&self.director, &self.pins, plan(mark, persistence))
    }

    /// Who answers a client with this last octet.
    fn ask(&self, from: u8, port: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.client.enter(|| fetch(from, port)).unwrap() {
                Ok(name) => return name,
                Err(error) => assert!(Instant::now() < deadline, "port {port}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The virtual server of a mark over both servers, whose ports are the client's.
fn plan(mark: u32, persistence: Option<u64>) -> Layer4Plan {
    let server = |number| {
        let endpoint = Endpoint { address: address(number).into(), port: 0 };
        RealServer { forwarding: Forwarding::Nat, ..RealServer::new(endpoint) }
    };
    let key = ServiceKey::Mark { mark, family: Family::Ipv4 };
    let service = VirtualServer {
        scheduler: Scheduler::RoundRobin,
        persistence: persistence
            .map(|seconds| Persistence { timeout: Duration::from_secs(seconds), prefix_len: 32 }),
        real_servers: vec![server(0), server(1)].into(),
        ..VirtualServer::new(key)
    };
    Layer4Plan { virtual_servers: vec![service], ..Layer4Plan::default() }
}

/// A connection to the virtual address from one of the client's.
fn connect(from: u8, port: u16, within: Duration) -> std::io::Result<TcpStream> {
    let from = SocketAddr::from(([10, 1, 0, from], 0));
    let stream = connect_from(from, SocketAddr::from((VIRTUAL, port)), within)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn connect_from(from: SocketAddr, to: SocketAddr, within: Duration) -> std::io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(within))?;
    rustix::net::bind(&socket, &from)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

fn fetch(from: u8, port: u16) -> std::io::Result<String> {
    let mut stream = connect(from, port, Duration::from_secs(2))?;
    write!(stream, "GET /name HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("no head"))
}

#[test]
fn ports_80_and_443_are_one_service_with_the_same_servers() {
    let Some(farm) = Farm::new("markweb", "iptables") else { return };
    farm.mangle(WEB);
    let _web = farm.web();
    let mut role = farm.start(80, None);
    for port in [80, 443] {
        let names: BTreeSet<String> = (0..8).map(|_| farm.ask(10, port)).collect();
        assert_eq!(names.len(), 2, "port {port}: {names:?}");
    }
    let report = role.report();
    assert_eq!(report.services[0].key.to_string(), "FWM 80");
    assert!(report.services[0].counters.connections >= 16);
    let marks = report.marks.unwrap();
    assert_eq!((marks.rules.rules.len(), marks.rules.unread.len()), (1, 0), "{marks:?}");
    role.stop();
}

#[test]
fn with_persistence_a_client_has_one_server_on_both_ports() {
    let Some(farm) = Farm::new("markper", "iptables") else { return };
    farm.mangle(WEB);
    let _web = farm.web();
    let mut role = farm.start(80, Some(300));
    let mut seen = BTreeSet::new();
    for from in 10..18 {
        let first = farm.ask(from, 80);
        for port in [443, 80, 443] {
            assert_eq!(farm.ask(from, port), first, "client {from}, port {port}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "clients are spread");
    let templates = role.connections().into_iter().filter(|it| it.client.port == 0).count();
    assert_eq!(templates, 8, "one for each client, whatever the port");
    role.stop();
}

#[test]
fn passive_ftp_reaches_the_server_of_its_control_connection() {
    let Some(farm) = Farm::new("markftp", "iptables") else { return };
    FTP.iter().for_each(|rule| farm.mangle(rule));
    let _servers = [0, 1].map(|number| FtpServer::start(&farm.nodes[usize::from(number)], number));
    let role = farm.start(21, Some(300));
    let mut seen = BTreeSet::new();
    for from in 10..16 {
        let listed = farm.client.enter(|| FtpClient::new(from).list_passive()).unwrap();
        let (control, data) = listed;
        assert_eq!(control, data, "client {from}");
        seen.insert(control);
    }
    assert_eq!(seen.len(), 2, "clients are spread");
    role.stop();
}

#[test]
fn active_ftp_comes_back_masqueraded_from_port_20() {
    let Some(farm) = Farm::new("markact", "iptables") else { return };
    FTP.iter().for_each(|rule| farm.mangle(rule));
    farm.run("iptables", "-t nat -A POSTROUTING -p tcp -s 10.2.0.0/24 --sport 20 -j MASQUERADE");
    let _servers = [0, 1].map(|number| FtpServer::start(&farm.nodes[usize::from(number)], number));
    let role = farm.start(21, Some(300));
    let mut seen = BTreeSet::new();
    for from in 10..14 {
        let listed = farm.client.enter(|| FtpClient::new(from).list_active()).unwrap();
        let (control, data, peer) = listed;
        assert_eq!(control, data, "client {from}");
        assert_eq!(peer.ip(), Ipv4Addr::new(10, 1, 0, 1), "the director's own address");
        seen.insert(control);
    }
    assert_eq!(seen.len(), 2, "clients are spread");
    role.stop();
}

#[test]
fn rules_of_nftables_are_followed_while_they_change() {
    let Some(farm) = Farm::new("marknft", "nft") else { return };
    let _web = farm.web();
    let mut role = farm.start(80, None);
    assert!(
        role.warnings().iter().any(|it| it.contains("no rule of the firewall gives mark 80")),
        "the mark has no rule yet"
    );
    let closed = |port| {
        farm.client.enter(move || connect(10, port, Duration::from_millis(300))).unwrap().is_err()
    };
    assert!(closed(80));
    farm.run("nft", "add table ip lb");
    farm.run("nft", "add chain ip lb pre { type filter hook prerouting priority -150 ; }");
    farm.run(
        "nft",
        "add rule ip lb pre ip daddr 10.1.0.100 tcp dport { 80, 443 } meta mark set 80",
    );
    let names: BTreeSet<String> = (0..8).map(|_| farm.ask(10, 443)).collect();
    assert_eq!(names.len(), 2);
    farm.run("nft", "flush chain ip lb pre");
    let deadline = Instant::now() + PATIENCE;
    while !closed(80) {
        assert!(Instant::now() < deadline, "the rule is gone and still followed");
        std::thread::sleep(Duration::from_millis(50));
    }
    role.stop();
}

/// A server of FTP that knows LIST, PASV and PORT: what it lists is its number.
struct FtpServer;

impl FtpServer {
    /// Serves until the test's process ends; its namespace outlives the test's use of it.
    fn start(node: &Namespace, number: u8) -> FtpServer {
        let (control, data) = node
            .enter(|| (TcpListener::bind(("0.0.0.0", 21)), TcpListener::bind(("0.0.0.0", PASSIVE))))
            .unwrap();
        let (control, data, node) = (control.unwrap(), data.unwrap(), node.clone());
        std::thread::spawn(move || {
            for client in control.incoming().flatten() {
                let _ = serve(client, &data, &node, number);
            }
        });
        FtpServer
    }
}

fn serve(
    mut client: TcpStream,
    data: &TcpListener,
    node: &Namespace,
    number: u8,
) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    write!(client, "220 server {number}\r\n")?;
    let mut active: Option<SocketAddr> = None;
    for line in BufReader::new(client.try_clone()?).lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("PASV", _) => {
                let [a, b, c, d] = VIRTUAL;
                let [high, low] = PASSIVE.to_be_bytes();
                // As vsftpd's pasv_address says it.
                write!(client, "227 Entering Passive Mode ({a},{b},{c},{d},{high},{low})\r\n")?;
            }
            ("PORT", numbers) => {
                active = socket_of(numbers);
                write!(client, "200 PORT\r\n")?;
            }
            ("LIST", _) => {
                write!(client, "150 here it comes\r\n")?;
                let mut stream = match active.take() {
                    None => data.accept()?.0,
                    Some(to) => node.enter(|| from_port_20(to))??,
                };
                write!(stream, "{number}")?;
                drop(stream);
                write!(client, "226 done\r\n")?;
            }
            ("QUIT", _) => return write!(client, "221 bye\r\n"),
            (_, _) => write!(client, "200 as you like\r\n")?,
        }
    }
    Ok(())
}

fn from_port_20(to: SocketAddr) -> std::io::Result<TcpStream> {
    connect_from(SocketAddr::from(([0, 0, 0, 0], 20)), to, PATIENCE)
}

/// `10,1,0,100,48,57`
fn socket_of(numbers: &str) -> Option<SocketAddr> {
    let numbers: Vec<u8> =
        numbers.split(',').map(|it| it.trim().parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers[..] else { return None };
    Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

struct FtpClient {
    from: u8,
    control: BufReader<TcpStream>,
    server: String,
}

impl FtpClient {
    fn new(from: u8) -> FtpClient {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match connect(from, 21, Duration::from_secs(2)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut client = FtpClient { from, control: BufReader::new(stream), server: String::new() };
        let greeting = client.line();
        client.server = greeting.trim_start_matches("220 server ").to_owned();
        client.say("USER anonymous");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn say(&mut self, words: &str) -> String {
        write!(self.control.get_mut(), "{words}\r\n").unwrap();
        self.line()
    }

    /// The control connection's server and the data's.
    fn list_passive(mut self) -> (String, String) {
        let answer = self.say("PASV");
        let numbers = answer.split(['(', ')']).nth(1).and_then(socket_of).unwrap();
        assert!(self.say("LIST").starts_with("150"));
        let mut data = connect(self.from, numbers.port(), PATIENCE).unwrap();
        let mut listed = String::new();
        data.read_to_string(&mut listed).unwrap();
        assert!(self.line().starts_with("226"));
        (self.server, listed)
    }

    /// The same, and from where the data came.
    fn list_active(mut self) -> (String, String, SocketAddr) {
        let listener = TcpListener::bind(SocketAddr::from(([10, 1, 0, self.from], 0))).unwrap();
        let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
        assert!(self.say(&format!("PORT 10,1,0,{},{high},{low}", self.from)).starts_with("200"));
        assert!(self.say("LIST").starts_with("150"));
        let (mut data, peer) = listener.accept().unwrap();
        let mut listed = String::new();
        data.read_to_string(&mut listed).unwrap();
        assert!(self.line().starts_with("226"));
        (self.server, listed, peer)
    }
}
