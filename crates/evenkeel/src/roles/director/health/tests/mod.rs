//! Plans by hand, and what becomes of them.

mod property;
mod rules;
mod run_time;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use director::{Destination, ServiceTable, TableChange, Tables};
use model::Time;
use model::check::{CheckKind, Checker, Pace};
use model::control::{Cause, Event, Moment, ServerAction, ServerRequest};
use model::layer4::{
    Endpoint, Forwarding, Layer4Plan, Protocol, Quorum, RealServer, ServiceKey, SorryServer,
    VirtualServer,
};
use model::vrrp::Command;

use super::{CheckerId, Health, Outcome};

fn key(last: u8) -> ServiceKey {
    ServiceKey::Address { address: [192, 0, 2, last].into(), port: 80, protocol: Protocol::Tcp }
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint { address: IpAddr::from([10, 0, 0, last]), port: 80 }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(1000 + seconds)
}

fn checker(last: u8, port: u16) -> Checker {
    let second = Duration::from_secs(1);
    let pace = Pace::every(second);
    Checker::new(CheckKind::Tcp, SocketAddr::from(([10, 0, 0, last], port)), second, pace)
}

/// `alpha`
fn pessimistic(checker: Checker) -> Checker {
    let pace = Pace { initially_up: false, ..checker.pace };
    Checker { pace, ..checker }
}

fn server(last: u8, weight: u32, ports: &[u16]) -> RealServer {
    RealServer {
        weight,
        checkers: ports.iter().map(|&port| checker(last, port)).collect(),
        ..RealServer::new(endpoint(last))
    }
}

fn inhibited(last: u8) -> RealServer {
    RealServer { inhibit_on_failure: true, ..server(last, 1, &[80]) }
}

fn script(word: &str) -> Option<Command> {
    Some(Command { words: vec![word.to_string()], user: None })
}

fn virtual_server(last: u8, real_servers: Vec<RealServer>) -> VirtualServer {
    let quorum = Quorum { up: script("up"), down: script("down"), ..Quorum::default() };
    let real_servers = real_servers.into();
    VirtualServer { real_servers, quorum, ..VirtualServer::new(key(last)) }
}

fn sorry(last: u8, inhibit: bool) -> Option<SorryServer> {
    Some(SorryServer { endpoint: endpoint(last), forwarding: Forwarding::Nat, inhibit })
}

fn with_sorry(mut virtual_server: VirtualServer, last: u8, inhibit: bool) -> VirtualServer {
    virtual_server.quorum.sorry = sorry(last, inhibit);
    virtual_server
}

fn with_quorum(mut virtual_server: VirtualServer, weight: u32, hysteresis: u32) -> VirtualServer {
    virtual_server.quorum.weight = weight;
    virtual_server.quorum.hysteresis = hysteresis;
    virtual_server
}

fn plan(virtual_servers: Vec<VirtualServer>) -> Layer4Plan {
    Layer4Plan { virtual_servers, ..Layer4Plan::default() }
}

/// One virtual server, started; what that has to tell is forgotten.
fn started(virtual_server: VirtualServer) -> Health {
    let mut health = Health::default().successor(at(0), plan(vec![virtual_server]), None);
    drain(&mut health);
    health
}

fn drain(health: &mut Health) -> Vec<Outcome> {
    std::iter::from_fn(|| health.poll_outcome()).collect()
}

/// The checkers of a server of the first virtual server.
fn ids(health: &Health, last: u8) -> Vec<CheckerId> {
    let service = &health.services[0];
    let place = service.find(endpoint(last)).expect("there is such a server");
    service.servers[place].checkers.iter().map(|tracked| tracked.id).collect()
}

/// All of a server's checkers say so; returns what comes of it.
fn set(health: &mut Health, last: u8, up: bool) -> Vec<Outcome> {
    for id in ids(health, last) {
        health.handle_verdict(at(1), id, up, "as the test says");
    }
    drain(health)
}

fn last_byte(endpoint: Endpoint) -> u8 {
    match endpoint.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

/// Last bytes and weights of what the first virtual server's table should hold.
fn shown(health: &Health) -> Vec<(u8, u32)> {
    let wanted = health.wanted();
    wanted[&key(1)].destinations.iter().map(|it| (last_byte(it.endpoint), it.weight)).collect()
}

/// `+1=5`, `~1=0`, `-1`: changes of destinations in short.
fn changes(outcomes: &[Outcome]) -> Vec<String> {
    let short = |it: &Destination| format!("{}={}", last_byte(it.endpoint), it.weight);
    outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Table(TableChange::AddDestination(_, it)) => Some(format!("+{}", short(it))),
            Outcome::Table(TableChange::UpdateDestination(_, it)) => {
                Some(format!("~{}", short(it)))
            }
            Outcome::Table(TableChange::RemoveDestination(_, it)) => {
                Some(format!("-{}", last_byte(*it)))
            }
            Outcome::Table(other) => Some(format!("{other:?}")),
            _ => None,
        })
        .collect()
}

fn scripts(outcomes: &[Outcome]) -> Vec<String> {
    let words = |outcome: &Outcome| match outcome {
        Outcome::Run { command, arguments, .. } => {
            assert!(arguments.is_empty(), "Keepalived adds none");
            Some(command.words.join(" "))
        }
        _ => None,
    };
    outcomes.iter().filter_map(words).collect()
}

fn lines(outcomes: &[Outcome]) -> Vec<&str> {
    let lines = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Line(line) => Some(line.as_str()),
        _ => None,
    });
    lines.collect()
}

fn logged(outcomes: &[Outcome]) -> Vec<&str> {
    let line = |outcome| match outcome {
        &Outcome::Event(Event::Log { ref text, .. }) => Some(text.as_str()),
        _ => None,
    };
    outcomes.iter().filter_map(line).collect()
}

fn request(last: u8, action: ServerAction) -> ServerRequest {
    let virtual_server = VirtualServer::new(key(1)).id;
    ServerRequest { virtual_server, server: endpoint(last), action }
}

/// Carries changes out as an engine does, which refuses what makes no sense.
fn apply(tables: &mut Tables, change: TableChange) {
    let place = |table: &ServiceTable, endpoint: Endpoint| {
        table.destinations.iter().position(|it| it.endpoint == endpoint)
    };
    match change {
        TableChange::AddService(key, settings) => {
            let table = ServiceTable { settings, destinations: Vec::new() };
            assert!(tables.insert(key, table).is_none(), "{key} is there already");
        }
        TableChange::UpdateService(key, settings) => {
            tables.get_mut(&key).expect("the service is there").settings = settings;
        }
        TableChange::RemoveService(key) => {
            tables.remove(&key).expect("the service is there");
        }
        TableChange::AddDestination(key, destination) => {
            let table = tables.get_mut(&key).expect("the service is there");
            assert_eq!(place(table, destination.endpoint), None, "{destination:?} is there");
            table.destinations.push(destination);
        }
        TableChange::UpdateDestination(key, destination) => {
            let table = tables.get_mut(&key).expect("the service is there");
            let place = place(table, destination.endpoint).expect("the destination is there");
            table.destinations[place] = destination;
        }
        TableChange::RemoveDestination(key, endpoint) => {
            let table = tables.get_mut(&key).expect("the service is there");
            let place = place(table, endpoint).expect("the destination is there");
            table.destinations.remove(place);
        }
    }
}

/// Tables in which the order of destinations does not count.
fn sorted(mut tables: Tables) -> Tables {
    for table in tables.values_mut() {
        table.destinations.sort_by_key(|it| it.endpoint);
    }
    tables
}
