//! Virtual and real servers as administrators name them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use model::Plan;
use model::check::Checker;
use model::layer4::{Endpoint, Forwarding, Protocol, ServiceKey, VirtualServer, VirtualServerId};
use model::vrrp::Family;

/// Names that an error lists.
const LISTED_MAX: usize = 8;

/// The identities of a Plan's virtual servers.
pub(super) fn ids(plan: &Plan) -> BTreeSet<VirtualServerId> {
    plan.layer4.virtual_servers.iter().map(|server| server.id.clone()).collect()
}

/// The file has this real server.
pub(super) fn has_server(plan: &Plan, id: &VirtualServerId, server: Endpoint) -> bool {
    find(plan, id).is_some_and(|one| one.real_servers.iter().any(|it| it.endpoint == server))
}

fn find<'a>(plan: &'a Plan, id: &VirtualServerId) -> Option<&'a VirtualServer> {
    plan.layer4.virtual_servers.iter().find(|server| server.id == *id)
}

/// The checkers of a real server.
pub(super) fn checkers<'a>(
    plan: &'a Plan,
    id: &VirtualServerId,
    server: Endpoint,
) -> &'a [Checker] {
    let servers = find(plan, id).into_iter().flat_map(|one| &one.real_servers);
    let found = servers.into_iter().find(|one| one.endpoint == server);
    found.map_or(&[], |one| &one.checkers)
}

/// The virtual server of an event's name for it: [`VirtualServerId`] as it is displayed. A reload
/// may have taken it away.
pub(super) fn virtual_server_of_event(service: &str) -> Option<VirtualServerId> {
    let (protocol, rest) = service.split_once(' ')?;
    if protocol == "FWM" {
        return mark(rest).map(VirtualServerId::Service);
    }
    let protocol = Protocol::of_name(protocol)?;
    if let Some(name) = rest.strip_prefix("group ") {
        return Some(VirtualServerId::Group { name: name.to_owned(), protocol });
    }
    let (address, port) = endpoint(rest)?;
    Some(VirtualServerId::Service(ServiceKey::Address { address, port: port?, protocol }))
}

/// `80`, `80 IPv6`
fn mark(text: &str) -> Option<ServiceKey> {
    let (mark, family) = match text.strip_suffix(" IPv6") {
        Some(mark) => (mark, Family::Ipv6),
        None => (text, Family::Ipv4),
    };
    Some(ServiceKey::Mark { mark: mark.parse().ok()?, family })
}

/// Both of a real server by its names in full, as events have them.
pub(super) fn of_event(service: &str, server: &str) -> Option<(VirtualServerId, Endpoint)> {
    let (address, port) = endpoint(server)?;
    let endpoint = Endpoint { address, port: port? };
    Some((virtual_server_of_event(service)?, endpoint))
}

/// The virtual server meant by `TCP 192.0.2.1:80`, `192.0.2.1:80`, `192.0.2.1`, `group web`,
/// `TCP group web`, `fwmark 80` or `fwmark 80 IPv6`; an address of a group is its group's. An error
/// says what there is.
pub(super) fn virtual_server(plan: &Plan, text: &str) -> Result<VirtualServerId, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = words.split_first().map(|(first, rest)| (Protocol::of_name(first), rest));
    let (protocol, rest) = match named {
        Some((Some(protocol), rest)) => (Some(protocol), rest),
        Some((None, _)) | None => (None, &words[..]),
    };
    let servers = &plan.layer4.virtual_servers;
    let fits = |server: &&VirtualServer| {
        let of_protocol = protocol.is_none_or(|wanted| server.protocol() == Some(wanted));
        of_protocol
            && match (rest, &server.id) {
                (["group", name], VirtualServerId::Group { name: known, .. }) => name == known,
                ([name], VirtualServerId::Group { name: known, .. }) if name == known => true,
                ([word, name @ ..], _) if is_mark(word) => {
                    mark(&name.join(" ")).is_some_and(|key| server.services.contains(&key))
                }
                ([address], _) => endpoint(address).is_some_and(|(address, port)| {
                    let mut keys = server.services.iter();
                    keys.any(|key| {
                        key.address() == Some(address) && port.is_none_or(|port| key.port() == port)
                    })
                }),
                (_, _) => false,
            }
    };
    let found: Vec<String> = servers.iter().filter(fits).map(|it| it.id.to_string()).collect();
    match &found[..] {
        [_] => {}
        [] => {
            let known: Vec<String> = servers.iter().map(|server| server.id.to_string()).collect();
            let what = format!("there is no virtual server {text}");
            return Err(with_suggestion(&what, text, "there are", &known));
        }
        [..] => return Err(format!("{text} may be {}: say which", listed(&found))),
    }
    let id = servers.iter().find(fits).map(|server| server.id.clone());
    id.ok_or_else(|| format!("there is no virtual server {text}"))
}

/// The real server meant by `10.0.0.1:80`, or by the address alone where that says enough: one of
/// the file or of `added`. An error says what there is.
pub(super) fn real_server(
    plan: &Plan,
    id: &VirtualServerId,
    added: &[Endpoint],
    text: &str,
) -> Result<Endpoint, String> {
    let in_file = find(plan, id).into_iter().flat_map(|server| &server.real_servers);
    let mut all: Vec<Endpoint> = in_file.map(|server| server.endpoint).collect();
    for endpoint in added {
        if !all.contains(endpoint) {
            all.push(*endpoint);
        }
    }
    let fits = |known: &&Endpoint| {
        endpoint(text).is_some_and(|(address, port)| {
            known.address == address && port.is_none_or(|port| known.port == port)
        })
    };
    let found: Vec<Endpoint> = all.iter().filter(fits).copied().collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let known: Vec<String> = all.iter().map(ToString::to_string).collect();
            let what = format!("{id} has no real server {text}");
            Err(with_suggestion(&what, text, "it has", &known))
        }
        [..] => {
            let names: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(format!("{text} may be {}: say which", listed(&names)))
        }
    }
}

/// The real server to add: the port is the virtual server's where none is given. Takes what a
/// file may say, and nothing else.
pub(super) fn new_server(
    plan: &Plan,
    id: &VirtualServerId,
    forwarding: Option<Forwarding>,
    text: &str,
) -> Result<Endpoint, String> {
    let server = find(plan, id).ok_or_else(|| format!("there is no virtual server {id}"))?;
    let common = ServiceKey::common_port(&server.services);
    let (address, port) = endpoint(text).ok_or_else(|| {
        format!("{text} is no address of a real server; write one such as 10.0.0.1:80")
    })?;
    let marks_alone = server.services.iter().all(|key| key.mark().is_some());
    let port = match (port, id) {
        (Some(port @ 1..), _) if marks_alone => {
            return Err(format!(
                "servers of a firewall mark get the port the client used: write {address}, not \
                 port {port}"
            ));
        }
        (_, _) if marks_alone => 0,
        (Some(port), _) => port,
        (None, VirtualServerId::Service(_)) => common,
        (None, VirtualServerId::Group { .. }) => {
            return Err(format!("{text} needs a port, such as {text}:80"));
        }
    };
    if !Endpoint::is_of_a_host(address) {
        return Err(format!("{address} cannot be the address of a real server"));
    }
    if port == 0 && common != 0 {
        return Err(format!("port 0 is the client's, which is {common} here: write {address}"));
    }
    let forwarding = forwarding.unwrap_or_else(|| server.usual_forwarding());
    // What reaches a server of the other family only in a tunnel, as in a file.
    let is_of_other = |key: &ServiceKey| key.family() != Family::of(address);
    if !matches!(forwarding, Forwarding::Tunnel(_)) && server.services.iter().any(is_of_other) {
        return Err(format!("{id} has addresses of the other family than {address}"));
    }
    if forwarding == Forwarding::DirectRouting && port != common {
        let stays = if common == 0 { "the client's".to_owned() } else { common.to_string() };
        return Err(format!(
            "direct routing cannot change the port, it stays {stays}: write {address}:{common}, \
             or --forwarding nat"
        ));
    }
    let is_own =
        |key: &ServiceKey| key.address() == Some(address) && (key.port() == port || port == 0);
    if server.services.iter().any(is_own) {
        return Err("a real server cannot be its own virtual server".to_owned());
    }
    Ok(Endpoint { address, port })
}

/// The word before a firewall mark: keepalived.conf's, or ipvsadm's.
fn is_mark(word: &str) -> bool {
    word.eq_ignore_ascii_case("fwmark") || word.eq_ignore_ascii_case("fwm")
}

/// `10.0.0.1:80`, `10.0.0.1`, `[2001:db8::1]:80`, `2001:db8::1`
fn endpoint(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip(), Some(socket.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| (address, None))
}

fn with_suggestion(what: &str, text: &str, there: &str, known: &[String]) -> String {
    let tail = |name: &str| name.rsplit(' ').next().unwrap_or_default().to_owned();
    let near = known
        .iter()
        .map(|name| (distance(&tail(text), &tail(name)), name))
        .filter(|(far, name)| *far * 3 <= tail(name).len())
        .min_by_key(|(far, _)| *far);
    match (near, known) {
        (Some((_, name)), _) => format!("{what}; did you mean {name}?"),
        (None, []) => format!("{what}; there is none at all"),
        (None, _) => format!("{what}; {there} {}", listed(known)),
    }
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED_MAX)].join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Letters to insert, remove or replace (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], place + 1);
        for (column, theirs) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *theirs);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use model::layer4::RealServer;

    use super::*;

    fn key(last: u8, port: u16, protocol: Protocol) -> ServiceKey {
        ServiceKey::Address { address: [192, 0, 2, last].into(), port, protocol }
    }

    fn plan() -> Plan {
        let group = VirtualServer {
            id: VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp },
            services: vec![key(7, 80, Protocol::Tcp), key(8, 80, Protocol::Tcp)],
            ..VirtualServer::new(key(7, 80, Protocol::Tcp))
        };
        let server =
            |last, port| RealServer::new(Endpoint { address: [10, 0, 0, last].into(), port });
        let real_servers = vec![server(1, 80), server(2, 80), server(2, 81)].into();
        let first = VirtualServer { real_servers, ..VirtualServer::new(key(1, 80, Protocol::Tcp)) };
        let dns = [Protocol::Tcp, Protocol::Udp].map(|it| VirtualServer::new(key(2, 53, it)));
        let mut plan = Plan::default();
        plan.layer4.virtual_servers = [first, group].into_iter().chain(dns).collect();
        plan
    }

    #[test]
    fn a_virtual_server_is_named_in_every_way_that_says_enough() {
        let cases = [
            ("TCP 192.0.2.1:80", Ok("TCP 192.0.2.1:80")),
            ("tcp 192.0.2.1:80", Ok("TCP 192.0.2.1:80")),
            ("192.0.2.1:80", Ok("TCP 192.0.2.1:80")),
            ("192.0.2.1", Ok("TCP 192.0.2.1:80")),
            ("group web", Ok("TCP group web")),
            ("TCP group web", Ok("TCP group web")),
            ("web", Ok("TCP group web")),
            ("192.0.2.8:80", Ok("TCP group web")),
            ("UDP 192.0.2.2:53", Ok("UDP 192.0.2.2:53")),
            (
                "192.0.2.2:53",
                Err("192.0.2.2:53 may be TCP 192.0.2.2:53, UDP 192.0.2.2:53: say which"),
            ),
            (
                "192.0.2.1:8080",
                Err("there is no virtual server 192.0.2.1:8080; did you mean TCP 192.0.2.1:80?"),
            ),
            (
                "group wbe",
                Err(
                    "there is no virtual server group wbe; there are TCP 192.0.2.1:80, TCP group web, TCP 192.0.2.2:53, UDP 192.0.2.2:53",
                ),
            ),
        ];
        for (text, expected) in cases {
            let found = virtual_server(&plan(), text).map(|id| id.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        }
        let none = virtual_server(&Plan::default(), "192.0.2.1:80").unwrap_err();
        assert_eq!(none, "there is no virtual server 192.0.2.1:80; there is none at all");
    }

    #[test]
    fn a_real_server_needs_its_port_only_where_there_are_two() {
        let plan = plan();
        let id = &plan.layer4.virtual_servers[0].id;
        let added = [Endpoint { address: [10, 0, 0, 9].into(), port: 80 }];
        let cases = [
            ("10.0.0.1:80", Ok("10.0.0.1:80")),
            ("10.0.0.1", Ok("10.0.0.1:80")),
            ("10.0.0.9", Ok("10.0.0.9:80")),
            ("10.0.0.2", Err("10.0.0.2 may be 10.0.0.2:80, 10.0.0.2:81: say which")),
            (
                "10.0.0.1:88",
                Err("TCP 192.0.2.1:80 has no real server 10.0.0.1:88; did you mean 10.0.0.1:80?"),
            ),
        ];
        for (text, expected) in cases {
            let found = real_server(&plan, id, &added, text).map(|one| one.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_new_server_is_one_that_a_file_could_name() {
        let plan = plan();
        let ids = |index: usize| &plan.layer4.virtual_servers[index].id;
        let (nat, direct) = (None, Some(Forwarding::DirectRouting));
        let cases = [
            (0, nat, "10.0.0.5", Ok("10.0.0.5:80")),
            (0, nat, "10.0.0.5:8080", Ok("10.0.0.5:8080")),
            (0, direct, "10.0.0.5", Ok("10.0.0.5:80")),
            (1, nat, "10.0.0.5", Err("10.0.0.5 needs a port, such as 10.0.0.5:80")),
            (
                0,
                nat,
                "server",
                Err("server is no address of a real server; write one such as 10.0.0.1:80"),
            ),
            (0, nat, "0.0.0.0", Err("0.0.0.0 cannot be the address of a real server")),
            (0, nat, "224.0.0.1:80", Err("224.0.0.1 cannot be the address of a real server")),
            (
                0,
                nat,
                "[2001:db8::1]:80",
                Err("TCP 192.0.2.1:80 has addresses of the other family than 2001:db8::1"),
            ),
            (0, nat, "10.0.0.5:0", Err("port 0 is the client's, which is 80 here: write 10.0.0.5")),
            (0, nat, "192.0.2.1:80", Err("a real server cannot be its own virtual server")),
            (1, nat, "192.0.2.8:80", Err("a real server cannot be its own virtual server")),
            (
                0,
                direct,
                "10.0.0.5:8080",
                Err(
                    "direct routing cannot change the port, it stays 80: write 10.0.0.5:80, or --forwarding nat",
                ),
            ),
        ];
        for (index, forwarding, text, expected) in cases {
            let made = new_server(&plan, ids(index), forwarding, text).map(|it| it.to_string());
            assert_eq!(made, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_event_names_its_virtual_server_whether_or_not_the_plan_has_it() {
        for server in plan().layer4.virtual_servers {
            let name = server.id.to_string();
            assert_eq!(virtual_server_of_event(&name), Some(server.id), "{name}");
        }
        assert_eq!(virtual_server_of_event("backend"), None);
        let (id, server) = of_event("UDP 192.0.2.200:53", "10.0.0.1:53").unwrap();
        assert_eq!((id.to_string().as_str(), server.port), ("UDP 192.0.2.200:53", 53));
    }
}
