//! The checkers' timers: a virtual server, a real server and a checker may each give them.

use core::time::Duration;

use super::ast::Timers;
use super::keyword::section::{
    DNS_CHECK, HOST, HTTP_GET, MISC_CHECK, PING_CHECK, REAL_SERVER, SMTP_CHECK, SSL_GET, TCP_CHECK,
    UDP_CHECK, VIRTUAL_SERVER,
};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::structure::Statement;

/// Everywhere a checker's timer may stand; the innermost wins.
const PLACES: &[&str] = &[
    VIRTUAL_SERVER,
    REAL_SERVER,
    TCP_CHECK,
    HTTP_GET,
    SSL_GET,
    SMTP_CHECK,
    HOST,
    DNS_CHECK,
    UDP_CHECK,
    PING_CHECK,
    MISC_CHECK,
];
/// The same without the last one: MISC_CHECK connects to nothing.
const CONNECTING: &[&str] = PLACES.split_at(PLACES.len() - 1).0;

/// Longest timer.
const MOST: Duration = Duration::from_secs(86_400);

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("delay_loop", PLACES)
        .example("7")
        .syntax("SECONDS")
        .default("60")
        .doc("Time between two checks; fractions are allowed.")
        .parse(Rule::value(Fill::Timers(delay_loop))),
    keyword("connect_timeout", CONNECTING)
        .example("3")
        .syntax("SECONDS")
        .default("5")
        .doc("Bound on a check's connect, and again on the exchange that follows.")
        .parse(Rule::value(Fill::Timers(connect_timeout))),
    keyword("retry", PLACES)
        .example("4")
        .alias(&["nb_get_retry"])
        .syntax("COUNT")
        .default("1; 3 for DNS_CHECK, 0 for MISC_CHECK")
        .doc("Tries after a failed check before the server is down.")
        .parse(Rule::value(Fill::Timers(retry))),
    keyword("delay_before_retry", PLACES)
        .example("2")
        .syntax("SECONDS")
        .default("1; 3 for HTTP_GET and SSL_GET, delay_loop for DNS_CHECK")
        .doc("Wait before the next try after a failed check.")
        .parse(Rule::value(Fill::Timers(delay_before_retry))),
    keyword("warmup", PLACES)
        .example("2")
        .syntax("SECONDS")
        .default("delay_loop")
        .doc("Bound of the random wait before the first check; 0 for none.")
        .parse(Rule::value(Fill::Timers(warmup))),
];

fn delay_loop(reader: &mut Reader<'_>, statement: &Statement<'_>, timers: &mut Timers) {
    timers.delay_loop = reader.seconds(statement, Duration::from_millis(1), MOST);
}

fn connect_timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, timers: &mut Timers) {
    timers.connect_timeout = reader.seconds(statement, Duration::from_millis(1), MOST);
}

fn retry(reader: &mut Reader<'_>, statement: &Statement<'_>, timers: &mut Timers) {
    timers.retry = reader.number(statement, "a count", 0..=1_000_000);
}

fn delay_before_retry(reader: &mut Reader<'_>, statement: &Statement<'_>, timers: &mut Timers) {
    timers.delay_before_retry = reader.seconds(statement, Duration::ZERO, MOST);
}

fn warmup(reader: &mut Reader<'_>, statement: &Statement<'_>, timers: &mut Timers) {
    timers.warmup = reader.seconds(statement, Duration::ZERO, MOST);
}
