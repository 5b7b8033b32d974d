//! Checkers against real servers: Debian's nginx, and peers that misbehave.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::check::{CheckKind, Checker, HttpCheck, Pace, UrlCheck};
use model::layer4::{
    Endpoint, Layer4Plan, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer,
};
use model::status::RealServerStatus;

use crate::director_role::{DirectorRole, PATIENCE, Pins};
use crate::webserver::{self, Nginx};

/// MD5 of `hello`, as `genhash` prints it.
const HELLO: [u8; 16] = *b"\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92";

/// Quick enough for a test, slow enough for two busy cores.
pub(crate) fn checker(kind: CheckKind, target: SocketAddr) -> Checker {
    let interval = Duration::from_millis(200);
    let pace = Pace {
        interval,
        down_interval: interval,
        retry_interval: Duration::from_millis(100),
        rise: 1,
        fall: 2,
        warmup: Duration::ZERO,
        initially_up: true,
    };
    Checker::new(kind, target, Duration::from_secs(2), pace)
}

fn page(path: &str, digest: Option<[u8; 16]>) -> CheckKind {
    let path = path.to_string();
    CheckKind::Http(HttpCheck::plain(vec![UrlCheck { path, digest, ..UrlCheck::default() }]))
}

/// A director and a real server, with a cable between them.
struct Bench {
    director: Namespace,
    server: Namespace,
    pins: Pins,
    _net: Net,
}

impl Bench {
    fn new(tag: &str) -> Option<Bench> {
        if let Some(reason) = lab::net::missing().or_else(webserver::missing) {
            println!("skipped: {reason}");
            return None;
        }
        let net = Net::new(tag).unwrap();
        let (director, server) = (net.namespace("dir").unwrap(), net.namespace("rs").unwrap());
        net.veth((&director, "eth0"), (&server, "eth0")).unwrap();
        director.ip("addr add 10.7.0.1/24 dev eth0").unwrap();
        server.ip("addr add 10.7.0.2/24 dev eth0").unwrap();
        let pins = Pins::new(&director);
        Some(Bench { director, server, pins, _net: net })
    }

    /// A director role with one real server that is watched by these checkers.
    fn watch(&self, checkers: Vec<Checker>) -> DirectorRole {
        DirectorRole::start(&self.director, &self.pins, plan(checkers))
    }
}

fn target(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, 2], port))
}

fn plan(checkers: Vec<Checker>) -> Layer4Plan {
    let endpoint = Endpoint { address: [10, 7, 0, 2].into(), port: 80 };
    let server = RealServer { checkers, ..RealServer::new(endpoint) };
    let key = ServiceKey { address: [10, 7, 0, 100].into(), port: 80, protocol: Protocol::Tcp };
    let service = VirtualServer {
        scheduler: Scheduler::RoundRobin,
        real_servers: vec![server],
        ..VirtualServer::new(key)
    };
    let interfaces = vec!["eth0".to_string()];
    Layer4Plan { virtual_servers: vec![service], interfaces, ..Layer4Plan::default() }
}

/// The first real server, once its checker has spoken.
fn server(role: &mut DirectorRole) -> RealServerStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let server = role.report().services.remove(0).servers.remove(0);
        if server.last_result.is_some() {
            return server;
        }
        assert!(Instant::now() < deadline, "no check has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tcp_check_follows_a_server_that_dies_and_returns() {
    let Some(bench) = Bench::new("tcpcheck") else { return };
    let mut nginx = Nginx::start(&bench.server, target(80), &[]);
    let mut role = bench.watch(vec![checker(CheckKind::Tcp, target(80))]);
    let before = server(&mut role);
    assert_eq!((before.in_table, before.up), (true, true));
    assert_eq!(before.last_result.as_deref(), Some("connection accepted"));
    nginx.kill();
    assert_eq!(role.health(), (false, "connection refused".to_string()));
    let dead = server(&mut role);
    assert_eq!((dead.in_table, dead.up), (false, false));
    drop(nginx);
    let _nginx = Nginx::start(&bench.server, target(80), &[]);
    assert_eq!(role.health(), (true, "connection accepted".to_string()));
    assert!(server(&mut role).in_table);
    role.stop();
}

#[test]
fn http_get_compares_the_digest_and_the_status_of_real_pages() {
    let Some(bench) = Bench::new("httpget") else { return };
    let nginx = Nginx::start(&bench.server, target(80), &[("index.html", b"hello")]);
    let mut role = bench.watch(vec![checker(page("/index.html", Some(HELLO)), target(80))]);
    assert_eq!(server(&mut role).last_result.as_deref(), Some("HTTP status 200, digest matches"));
    nginx.write("index.html", b"defaced");
    let (up, reason) = role.health();
    assert!(!up && reason.ends_with("instead of 5d41402abc4b2a76b9719d911017c592"), "{reason}");
    nginx.write("index.html", b"hello");
    assert_eq!(role.health(), (true, "HTTP status 200, digest matches".to_string()));
    role.configure(plan(vec![checker(page("/broken", None), target(80))]));
    assert_eq!(role.health(), (false, "HTTP status 500".to_string()));
    role.stop();
}

#[test]
fn a_server_that_drips_fails_at_the_deadline() {
    let Some(bench) = Bench::new("drip") else { return };
    let listener = bench.server.enter(|| TcpListener::bind(target(80))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let done = AtomicBool::new(false);
    let mut role = bench.watch(vec![checker(page("/", None), target(80))]);
    std::thread::scope(|scope| {
        // A byte now and then, for ever: every read of the checker gets something.
        scope.spawn(|| {
            let mut streams = Vec::new();
            while !done.load(Ordering::Relaxed) {
                streams.extend(listener.accept().map(|(stream, _)| stream));
                streams.retain_mut(|stream| stream.write_all(b"H").is_ok());
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let begun = Instant::now();
        let verdict = role.health();
        done.store(true, Ordering::Relaxed);
        assert_eq!(verdict, (false, "answer not complete within 2 s".to_string()));
        // Two tries of two seconds each; far from the minutes a whole answer would take.
        let took = begun.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&took), "{took:?}");
    });
    role.stop();
}

#[test]
fn without_virtual_servers_the_role_runs_without_bpf() {
    let Some(bench) = Bench::new("nobpf") else { return };
    let mut role = DirectorRole::start(&bench.director, &bench.pins, Layer4Plan::default());
    let report = role.report();
    assert_eq!((report.engine.as_str(), report.services.len()), ("none", 0));
    assert_eq!(bench.pins.names(), ["gate"]);
    assert!(role.connections().is_empty());
    role.stop();
}
