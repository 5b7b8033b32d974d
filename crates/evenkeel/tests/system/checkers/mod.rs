//! Checkers against real peers, through the director role: one file for each, and one for peers
//! that drip.

mod dns;
mod drip;
mod file;
mod http;
mod misc;
mod ping;
mod smtp;
mod tcp;
mod tls;
mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};
use model::check::{CheckKind, Checker, HttpCheck, Pace, Pattern, UrlCheck};
use model::layer4::{
    Endpoint, Layer4Plan, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer,
};
use model::status::RealServerStatus;

use crate::director_role::{DirectorRole, PATIENCE, Pins};
use crate::webserver;

/// Quick enough for a test, slow enough for two busy cores.
pub(crate) fn checker(kind: CheckKind, target: SocketAddr) -> Checker {
    let (interval, retry_interval) = (Duration::from_millis(200), Duration::from_millis(100));
    let pace = Pace { retry_interval, fall: 2, ..Pace::every(interval) };
    Checker::new(kind, target, Duration::from_secs(2), pace)
}

/// A page whose status alone counts.
fn url(path: &str) -> UrlCheck {
    UrlCheck { path: path.to_string(), ..UrlCheck::default() }
}

/// A page that matches this as well.
fn matching(path: &str, expression: &str) -> UrlCheck {
    let expression = expression.to_string();
    let pattern = Pattern { expression, negated: false, min_offset: 0, max_offset: None };
    UrlCheck { pattern: Some(pattern), ..url(path) }
}

fn pages(urls: Vec<UrlCheck>) -> CheckKind {
    CheckKind::Http(HttpCheck::plain(urls))
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

    /// What each of these checkers, watching a server of its own, says in the end: `true:` or
    /// `false:` for up and down, and the last result. Pace and time-out are [`checker`]'s.
    fn results(&self, kinds: Vec<(CheckKind, SocketAddr)>) -> Vec<String> {
        let checkers = kinds.into_iter().map(|(kind, target)| checker(kind, target));
        self.results_of(one_each(checkers.collect()))
    }

    /// The same of a whole plan.
    fn results_of(&self, plan: Layer4Plan) -> Vec<String> {
        let mut role = DirectorRole::start(&self.director, &self.pins, plan);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let servers = role.report().services.remove(0).servers;
            // A first failure takes a server down: a result is a verdict.
            if servers.iter().all(|server| server.last_result.is_some()) {
                role.stop();
                let said = |server: &RealServerStatus| {
                    format!("{}: {}", server.up, server.last_result.as_deref().unwrap_or_default())
                };
                return servers.iter().map(said).collect();
            }
            assert!(Instant::now() < deadline, "not every check has ended: {servers:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A virtual server with a real server for each checker; one failure takes it down.
fn one_each(checkers: Vec<Checker>) -> Layer4Plan {
    let mut plan = plan(Vec::new());
    let server = |(number, mut checker): (usize, Checker)| {
        checker.pace.fall = 1;
        let port = 1000 + number as u16;
        let endpoint = Endpoint { address: [10, 7, 0, 2].into(), port };
        RealServer { checkers: vec![checker], ..RealServer::new(endpoint) }
    };
    plan.virtual_servers[0].real_servers = checkers.into_iter().enumerate().map(server).collect();
    plan
}

fn target(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, 2], port))
}

fn plan(checkers: Vec<Checker>) -> Layer4Plan {
    let endpoint = Endpoint { address: [10, 7, 0, 2].into(), port: 80 };
    let server = RealServer { checkers, ..RealServer::new(endpoint) };
    let key =
        ServiceKey::Address { address: [10, 7, 0, 100].into(), port: 80, protocol: Protocol::Tcp };
    let service = VirtualServer {
        scheduler: Scheduler::RoundRobin,
        real_servers: vec![server].into(),
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
fn without_virtual_servers_the_role_runs_without_bpf() {
    let Some(bench) = Bench::new("nobpf") else { return };
    let mut role = DirectorRole::start(&bench.director, &bench.pins, Layer4Plan::default());
    let report = role.report();
    assert_eq!((report.engine.as_str(), report.services.len()), ("none", 0));
    assert_eq!(bench.pins.names(), ["gate"]);
    assert!(role.connections().is_empty());
    role.stop();
}
