//! Checkers: what all of them take, and those that take nothing else. The others have a file each.

pub(super) mod dns;
pub(super) mod follow;
pub(super) mod http;
pub(super) mod misc;
mod pattern;
pub(super) mod smtp;
pub(super) mod tls;
pub(super) mod udp;
pub(super) mod url;

use super::ast::{Checker, CheckerKind, Common, Global, RealServer};
use super::keyword::section::{
    BFD_CHECK, DNS_CHECK, GLOBAL, HOST, HTTP_GET, MISC_CHECK, PING_CHECK, REAL_SERVER, SMTP_CHECK,
    SSL_GET, TCP_CHECK, UDP_CHECK,
};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::structure::Statement;
use super::vrrp::spanned;

/// Checkers that send packets.
const NETWORK: &[&str] =
    &[TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, HOST, DNS_CHECK, UDP_CHECK, PING_CHECK];
/// Those of them that have ports.
const PORTS: &[&str] = &[TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, HOST, DNS_CHECK, UDP_CHECK];
/// Checkers that try something again and again.
const PROBES: &[&str] =
    &[TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, HOST, DNS_CHECK, UDP_CHECK, PING_CHECK, MISC_CHECK];
/// Checkers that begin up or down as they are told.
const BEGINNING: &[&str] = &[
    TCP_CHECK, HTTP_GET, SSL_GET, SMTP_CHECK, HOST, DNS_CHECK, UDP_CHECK, PING_CHECK, MISC_CHECK,
    BFD_CHECK,
];

const NO_PORTS: &str = "an ICMP echo has no ports";

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("TCP_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ }")
        .doc("The server is up when a TCP connection opens.")
        .parse(Rule::blocks(Fill::RealServer(tcp_check), TCP_CHECK)),
    keyword("PING_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ }")
        .doc("The server is up when it answers an ICMP echo.")
        .parse(Rule::blocks(Fill::RealServer(ping_check), PING_CHECK)),
    keyword("connect_ip", NETWORK).syntax("ADDRESS").example("10.0.0.9").default("the real server's")
        .doc("Address the check connects to.")
        .parse(Rule::value(Fill::Checker(connect_ip))),
    keyword("connect_port", PORTS).syntax("PORT").example("8080").default("the real server's")
        .doc("Port the check connects to.")
        .parse(Rule::value(Fill::Checker(connect_port))),
    keyword("connect_port", &[PING_CHECK]).syntax("PORT").example("8080")
        .doc("Port the check connects to.")
        .no_effect(NO_PORTS, Rule::value(Fill::Checker(connect_port))),
    keyword("bindto", NETWORK).syntax("ADDRESS").example("10.0.0.8").default("chosen by the system")
        .doc("Address the check connects from.")
        .parse(Rule::value(Fill::Checker(bind_to))),
    keyword("bind_port", PORTS).syntax("PORT").example("40000").default("chosen by the system")
        .doc("Port the check connects from.")
        .parse(Rule::value(Fill::Checker(bind_port))),
    keyword("bind_port", &[PING_CHECK]).syntax("PORT").example("40000")
        .doc("Port the check connects from.")
        .no_effect(NO_PORTS, Rule::value(Fill::Checker(bind_port))),
    keyword("bind_if", NETWORK).syntax("INTERFACE").example("eth0").default("chosen by the system")
        .doc("Interface the check connects through; link-local addresses need it.")
        .parse(Rule::value(Fill::Checker(bind_if))),
    keyword("fwmark", NETWORK).syntax("0..4294967295").example("7").default("0")
        .doc("Firewall mark of the check's packets.")
        .parse(Rule::value(Fill::Checker(fwmark))),
    keyword("alpha", BEGINNING).syntax("[BOOL]").example("").default("the real server's")
        .doc("The check has failed until it succeeds first.")
        .parse(Rule::value(Fill::Checker(alpha))),
    keyword("log_all_failures", PROBES).syntax("[BOOL]").example("").default("false")
        .doc("Every failure is logged, not only the one that takes the server down.")
        .parse(Rule::value(Fill::Checker(log_all_failures))),
    keyword("checker_log_all_failures", &[GLOBAL]).syntax("[BOOL]").example("").default("false")
        .doc("Every failure of every checker is logged, whatever the checker says.")
        .parse(Rule::value(Fill::Global(log_everything))),
];

fn log_everything(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Global) {
    to.log_all_failures = reader.boolean(statement).unwrap_or(false);
}

/// Reads a checker's block: what all take, and by `own` the rest.
fn read<'r, 's, 'a>(
    reader: &mut Reader<'r>,
    statement: &'s Statement<'a>,
    mut own: impl FnMut(&mut Reader<'r>, &'s Statement<'a>, Fill),
) -> Common {
    reader.no_more(statement, 0);
    let mut common = Common::new(statement.header());
    let block = reader.block(statement);
    common.written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::Checker(parse) => parse(reader, statement, &mut common),
        Fill::Timers(parse) => parse(reader, statement, &mut common.timers),
        other => own(reader, statement, other),
    });
    common
}

fn tcp_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let common = read(reader, statement, |_, _, _| {});
    to.check(Checker { common, kind: CheckerKind::Tcp });
}

fn ping_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut common = read(reader, statement, |_, _, _| {});
    (common.connect_port, common.bind_port) = (None, None);
    to.check(Checker { common, kind: CheckerKind::Ping });
}

fn connect_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    let Some(word) = reader.argument(statement, "an IP address") else { return };
    to.connect_ip = spanned(reader.ip(word), word.span);
}

fn connect_port(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    to.connect_port = reader.port(statement);
}

fn bind_to(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    let Some(word) = reader.argument(statement, "an IP address") else { return };
    to.bind_address = spanned(reader.ip(word), word.span);
}

fn bind_port(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    to.bind_port = reader.port(statement);
}

fn bind_if(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    let Some(word) = reader.argument(statement, "an interface") else { return };
    to.interface = reader.interface(word);
}

fn fwmark(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    to.mark = reader.number(statement, "a firewall mark", 0..=u32::MAX).unwrap_or(0);
}

fn alpha(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    to.alpha = reader.boolean(statement);
}

fn log_all_failures(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Common) {
    to.log_all_failures = reader.boolean(statement);
}
