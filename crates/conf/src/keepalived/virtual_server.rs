//! `virtual_server` and `real_server`.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr};
use core::str::FromStr;
use core::time::Duration;

use model::layer4::Protocol;
use model::vrrp::Family;

use super::ast::{Configuration, Granularity, Location, RealServer, Served, VirtualServer};
use super::keyword::section::{REAL_SERVER, TOP, VIRTUAL_SERVER};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::servers::method;
use super::structure::Statement;
use crate::source::Spanned;

/// Keepalived's persistence when the keyword stands alone, and the bound of IPVS (31 days).
pub(crate) const PERSISTENCE_DEFAULT: Duration = Duration::from_secs(360);
const PERSISTENCE_MAX: u32 = 86_400 * 31;
/// What a firewall mark is called in mistakes.
pub(crate) const MARK: &str = "a firewall mark above 0";
/// Greatest weight of IPVS.
const WEIGHT_MAX: u32 = 65_535;

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("virtual_server", &[TOP])
        .example(
            "192.0.2.200 80 { lb_algo rr; lb_kind NAT; protocol TCP; real_server 10.0.0.1 80 { TCP_CHECK { } } }",
        )
        .syntax("ADDRESS [PORT] { ... } | group NAME { ... } | fwmark MARK { ... }")
        .doc("A service that clients connect to, all those of a virtual_server_group, or all \
              packets to which the firewall gives a mark: evenkeel marks shows its rules.")
        .parse(Rule::blocks(Fill::Top(virtual_server), VIRTUAL_SERVER)),
    keyword("lb_kind", &[VIRTUAL_SERVER])
        .example("DR")
        .alias(&["lvs_method"])
        .syntax(method::SYNTAX)
        .default("NAT")
        .doc("How packets reach the real servers: address translation, direct routing, or a tunnel \
              (type ipip unless another one is given).")
        .parse(Rule::value(Fill::VirtualServer(lb_kind))),
    keyword("lvs_method", &[REAL_SERVER])
        .example("TUN type gue port 6080 csum")
        .syntax(method::SYNTAX)
        .default("the virtual server's")
        .doc("How packets reach this real server.")
        .parse(Rule::value(Fill::RealServer(lvs_method))),
    keyword("persistence_timeout", &[VIRTUAL_SERVER])
        .example("60")
        .syntax("[SECONDS]")
        .default("off; 360 without an argument")
        .doc("A client that comes back within this time gets the server it had.")
        .parse(Rule::value(Fill::VirtualServer(persistence_timeout))),
    keyword("persistence_granularity", &[VIRTUAL_SERVER])
        .example("255.255.255.0")
        .syntax("NETMASK|1..128")
        .default("255.255.255.255, of IPv6 128")
        .doc("Clients of one such network count as one client for persistence: a netmask of IPv4, \
              or a prefix length of IPv6.")
        .parse(Rule::value(Fill::VirtualServer(persistence_granularity))),
    keyword("nat_mask", &[VIRTUAL_SERVER])
        .example("255.255.255.0")
        .syntax("NETMASK")
        .doc("Netmask of NAT.")
        .no_effect("it never had one, and Keepalived removed it", Rule::value(Fill::Check(nat_mask))),
    keyword("ip_family", &[VIRTUAL_SERVER])
        .example("inet")
        .syntax("inet|inet6")
        .default("that of the address; of a firewall mark, that of the real servers")
        .doc("Address family of the service.")
        .parse(Rule::value(Fill::VirtualServer(ip_family))),
    keyword("protocol", &[VIRTUAL_SERVER])
        .example("TCP")
        .syntax("TCP|UDP|SCTP")
        .default("UDP")
        .doc("Layer-4 protocol of the service. Write it: without, TCP finds nobody. A firewall \
              mark is for every protocol.")
        .parse(Rule::value(Fill::VirtualServer(protocol))),
    keyword("virtualhost", &[VIRTUAL_SERVER])
        .example("www.example.com")
        .syntax("HOST")
        .default("the checked address")
        .doc("Host header of HTTP_GET and SSL_GET for all real servers.")
        .parse(Rule::value(Fill::VirtualServer(virtual_host))),
    keyword("virtualhost", &[REAL_SERVER])
        .example("www.example.com")
        .syntax("HOST")
        .default("the virtual server's")
        .doc("Host header of HTTP_GET and SSL_GET for this real server.")
        .parse(Rule::value(Fill::RealServer(server_virtual_host))),
    keyword("real_server", &[VIRTUAL_SERVER])
        .example("10.0.0.2 80 { TCP_CHECK { } }")
        .syntax("ADDRESS [PORT] { ... }")
        .doc("A server that does the work; without a port it gets the port the client used.")
        .parse(Rule::blocks(Fill::VirtualServer(real_server), REAL_SERVER)),
    keyword("weight", &[VIRTUAL_SERVER])
        .example("10")
        .syntax("1..65535")
        .default("1")
        .doc("Weight of real servers that give none.")
        .parse(Rule::value(Fill::VirtualServer(default_weight))),
    keyword("weight", &[REAL_SERVER])
        .example("3")
        .syntax("0..65535")
        .default("the virtual server's")
        .doc("Share of new connections; 0 lets the server drain.")
        .parse(Rule::value(Fill::RealServer(weight))),
];

fn virtual_server(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let served = served(reader, statement);
    let unusable = served.is_none();
    // The mistakes inside the block are found even so.
    let mut server = VirtualServer::new(served.unwrap_or_else(|| {
        let location = unreadable_location(statement);
        Spanned { value: Served::Service(location.value), span: location.span }
    }));
    let block = reader.block(statement);
    // Most of it are real servers.
    server.real_servers.reserve_exact(block.len());
    server.written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::VirtualServer(parse) => parse(reader, statement, &mut server),
        Fill::Timers(parse) => parse(reader, statement, &mut server.timers),
        _ => {}
    });
    if !unusable {
        to.virtual_servers.push(server);
    }
}

/// `ADDRESS [PORT]`, `group NAME` or `fwmark MARK`
fn served(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Spanned<Served>> {
    let arguments = statement.arguments();
    match arguments.first().map(|word| word.text.as_ref()) {
        Some("fwmark") => {
            reader.no_more(statement, 2);
            let Some(mark) = arguments.get(1) else {
                let message = "virtual_server fwmark needs a mark".to_string();
                let help = "write the number that the firewall sets after it";
                reader.error(statement.header(), message, help);
                return None;
            };
            let value = Served::Mark(reader.number_of(mark, MARK, 1..=u32::MAX)?);
            Some(Spanned { value, span: arguments[0].span.to(mark.span) })
        }
        Some("group") => {
            reader.no_more(statement, 2);
            let Some(name) = arguments.get(1) else {
                let message = "virtual_server group needs a name".to_string();
                let help = "write the name of a virtual_server_group after it";
                reader.error(statement.header(), message, help);
                return None;
            };
            let value = Served::Group(name.text.to_string());
            Some(Spanned { value, span: arguments[0].span.to(name.span) })
        }
        _ => {
            let location = reader.location(statement)?;
            Some(Spanned { value: Served::Service(location.value), span: location.span })
        }
    }
}

/// A location to go on with, so that the mistakes inside the block are found too.
fn unreadable_location(statement: &Statement<'_>) -> Spanned<Location> {
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let value = Location { address, port: None };
    Spanned { value, span: statement.header() }
}

fn lb_kind(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    server.forwarding = method::method(reader, statement);
}

fn lvs_method(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut RealServer) {
    server.forwarding = method::method(reader, statement);
}

fn persistence_timeout(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    server: &mut VirtualServer,
) {
    server.persistence_timeout = if statement.arguments().is_empty() {
        Some(PERSISTENCE_DEFAULT)
    } else {
        let seconds = reader.number(statement, "a number of seconds", 0..=PERSISTENCE_MAX);
        if seconds == Some(0) {
            let message = "persistence_timeout 0 says nothing: clients stay nowhere".to_string();
            reader.warning(statement.header(), message, "remove it");
        }
        seconds.filter(|&n| n > 0).map(|seconds| Duration::from_secs(seconds.into()))
    };
}

fn persistence_granularity(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    server: &mut VirtualServer,
) {
    let Some(word) = reader.argument(statement, "a netmask or a prefix length") else { return };
    let value = if word.text.bytes().all(|byte| byte.is_ascii_digit()) {
        let length = reader.number_of(word, "a prefix length", 1..=128);
        length.and_then(|length| u8::try_from(length).ok()).map(Granularity::Prefix)
    } else {
        let ones = Ipv4Addr::from_str(&word.text).ok().and_then(prefix_of_mask);
        if ones.is_none() {
            let message = format!("\"{}\" is not a netmask", word.text);
            let help = "write a netmask like 255.255.255.0, or for IPv6 a number from 1 to 128";
            reader.error(word.span, message, help);
        }
        ones.map(Granularity::Netmask)
    };
    server.granularity = value.map(|value| Spanned { value, span: statement.header() });
}

fn nat_mask(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.argument(statement, "a netmask");
}

fn ip_family(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let choices = [("inet", Family::Ipv4), ("inet6", Family::Ipv6)];
    let family = reader.choice(statement, &choices, &[]);
    server.family = family.map(|value| Spanned { value, span: statement.header() });
}

/// Leading ones of a netmask that is not empty and has no gaps.
fn prefix_of_mask(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (ones > 0 && ones + bits.trailing_zeros() >= 32).then_some(ones as u8)
}

fn protocol(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    // Keepalived reads it in any case.
    let choices = Protocol::ALL.map(|one| (one.name(), one));
    let word = statement.arguments().first().map_or("", |word| word.text.as_ref());
    if let (Some(protocol), [_]) = (Protocol::of_name(word), statement.arguments()) {
        server.protocol = Some(protocol);
        return;
    }
    server.protocol = reader.choice(statement, &choices, &[]);
}

/// A value of the Host header.
pub(super) fn host(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<String> {
    let word = reader.argument(statement, "a host name")?;
    if word.text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        let message = format!("\"{}\" cannot be a host name", word.text.escape_debug());
        reader.error(word.span, message, "write a name like www.example.org");
        return None;
    }
    Some(word.text.to_string())
}

fn virtual_host(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    server.virtual_host = host(reader, statement);
}

fn server_virtual_host(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    to.virtual_host = host(reader, statement);
}

fn real_server(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    let location = reader.location(statement);
    let unusable = location.is_none();
    let location = location.unwrap_or_else(|| unreadable_location(statement));
    let mut server = RealServer::new(location);
    reader.fields(reader.block(statement), |reader, statement, fill| match fill {
        Fill::RealServer(parse) => parse(reader, statement, &mut server),
        Fill::Timers(parse) => parse(reader, statement, &mut server.timers),
        _ => {}
    });
    if !unusable {
        to.real_servers.push(server);
    }
}

fn default_weight(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    server.weight = reader.number(statement, "a weight", 1..=WEIGHT_MAX);
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut RealServer) {
    server.weight = reader.number(statement, "a weight", 0..=WEIGHT_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks_have_no_gaps() {
        assert_eq!(prefix_of_mask(Ipv4Addr::new(255, 255, 255, 0)), Some(24));
        assert_eq!(prefix_of_mask(Ipv4Addr::BROADCAST), Some(32));
        assert_eq!(prefix_of_mask(Ipv4Addr::new(255, 0, 255, 0)), None);
        assert_eq!(prefix_of_mask(Ipv4Addr::UNSPECIFIED), None);
    }
}
