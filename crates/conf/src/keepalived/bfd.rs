//! `bfd_instance`

use alloc::format;
use core::time::Duration;

use super::ast::{Bfd, Configuration};
use super::keyword::section::{BFD, TOP};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::{Reader, parse_seconds};
use super::structure::Statement;
use super::tracking::{WEIGHT_MAX, own_weight};
use super::vrrp::{name, spanned};

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("bfd_instance", &[TOP]).syntax("NAME { ... }").example("B { neighbor_ip 192.0.2.9 }")
        .doc("A session of bidirectional forwarding detection (RFC 5880) that instances track.")
        .parse(Rule::blocks(Fill::Top(bfd_instance), BFD)),
    keyword("neighbor_ip", &[BFD]).alias(&["neighbour_ip"]).syntax("ADDRESS").example("192.0.2.9")
        .doc("The other end.")
        .parse(Rule::value(Fill::Bfd(neighbor_ip))),
    keyword("source_ip", &[BFD]).syntax("ADDRESS").example("192.0.2.8")
        .doc("This end.")
        .parse(Rule::value(Fill::Bfd(source_ip))),
    keyword("min_rx", &[BFD]).syntax("MILLISECONDS").example("20").default("10")
        .doc("Least time between packets that can be received; fractions are allowed.")
        .parse(Rule::value(Fill::Bfd(min_rx))),
    keyword("min_tx", &[BFD]).syntax("MILLISECONDS").example("20").default("10")
        .doc("Least time between packets that are sent.")
        .parse(Rule::value(Fill::Bfd(min_tx))),
    keyword("idle_tx", &[BFD]).syntax("MILLISECONDS").example("2000").default("1000")
        .doc("The same while the session is not up, at least 1000.")
        .parse(Rule::value(Fill::Bfd(idle_tx))),
    keyword("multiplier", &[BFD]).syntax("1..255").example("3").default("5")
        .doc("Packets missed before the session is down.")
        .parse(Rule::value(Fill::Bfd(multiplier))),
    keyword("passive", &[BFD])
        .doc("Waits for the other end to begin.")
        .parse(Rule::value(Fill::Bfd(passive))),
    keyword("ttl", &[BFD]).alias(&["hoplimit"]).syntax("1..255").example("64")
        .default("255; 64 for IPv6")
        .doc("TTL or hop limit of packets sent.")
        .parse(Rule::value(Fill::Bfd(ttl))),
    keyword("max_hops", &[BFD]).syntax("-1..255").example("2").default("0")
        .doc("Hops that packets received may have made; 255 or -1 for any number.")
        .parse(Rule::value(Fill::Bfd(max_hops))),
    keyword("weight", &[BFD]).syntax("-253..253 [reverse]").example("5").default("0")
        .doc("Change of the priority of those who track it and give no weight; 0 for a fault.")
        .parse(Rule::value(Fill::Bfd(weight))),
    keyword("vrrp", &[BFD])
        .doc("Only VRRP follows it, and checkers if checker is written too.")
        .parse(Rule::value(Fill::Bfd(vrrp))),
    keyword("checker", &[BFD])
        .doc("Only checkers follow it, and VRRP if vrrp is written too.")
        .parse(Rule::value(Fill::Bfd(checker))),
];

/// Longest name (Keepalived's BFD_INAME_MAX - 1).
const NAME_MAX: usize = 31;
/// Greatest interval, in microseconds (RFC 5880 4.1: 32 bits).
const MOST: Duration = Duration::from_micros(4_294_967_000);

fn bfd_instance(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    if name.value.len() > NAME_MAX {
        let message = format!("the name {} is longer than {NAME_MAX} bytes", name.value);
        reader.error(name.span, message, "give the session a shorter name");
    }
    let mut bfd = Bfd { name, ..Bfd::default() };
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::Bfd(parse) = fill {
            parse(reader, statement, &mut bfd);
        }
    });
    if !written.has("neighbor_ip") {
        let message = format!("bfd_instance {} has no neighbor_ip", bfd.name.value);
        reader.error(statement.header(), message, "write neighbor_ip ADDRESS in it");
    }
    to.bfd.push(bfd);
}

fn neighbor_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    let Some(word) = reader.argument(statement, "an IP address") else { return };
    to.neighbour = spanned(reader.ip(word), word.span);
}

fn source_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    let Some(word) = reader.argument(statement, "an IP address") else { return };
    to.source = spanned(reader.ip(word), word.span);
}

/// Milliseconds with an optional fraction, exact to the microsecond.
fn milliseconds(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    least: Duration,
) -> Option<Duration> {
    let word = reader.argument(statement, "a number of milliseconds")?;
    let value = parse_seconds(&word.text).and_then(|value| {
        // What was read as seconds are milliseconds: a thousandth of it.
        let micros = value.as_micros() / 1_000;
        u64::try_from(micros).ok().map(Duration::from_micros)
    });
    let Some(value) = value else {
        let message = format!("\"{}\" is not a number of milliseconds", word.text);
        reader.error(word.span, message, "write milliseconds, with a fraction if need be: 3.5");
        return None;
    };
    if value < least || value > MOST {
        let (least, most) = (least.as_millis(), MOST.as_millis());
        let message = format!("{} is not between {least} and {most} milliseconds", word.text);
        reader.error(word.span, message, &format!("write at least {least}"));
        return None;
    }
    Some(value)
}

fn min_rx(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    to.min_rx = milliseconds(reader, statement, Duration::from_millis(1));
}

fn min_tx(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    to.min_tx = milliseconds(reader, statement, Duration::from_millis(1));
}

fn idle_tx(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    to.idle_tx = milliseconds(reader, statement, Duration::from_secs(1));
}

fn multiplier(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    let count = reader.number(statement, "a count", 1..=255);
    to.multiplier = count.and_then(|count| u8::try_from(count).ok());
}

fn passive(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    reader.flag(statement);
    to.passive = true;
}

fn ttl(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    let ttl = reader.number(statement, "a TTL", 1..=255).and_then(|ttl| u8::try_from(ttl).ok());
    to.ttl = spanned(ttl, statement.header());
}

fn max_hops(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    let Some(word) = reader.argument(statement, "a number of hops") else { return };
    // Keepalived keeps -1 in a byte: 255, any number.
    let hops = reader.integer_of(word, "a number of hops", -1..=255);
    let hops = hops.map(|hops| u8::try_from(hops).unwrap_or(u8::MAX));
    to.max_hops = spanned(hops, statement.header());
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    to.weight = own_weight(reader, statement, WEIGHT_MAX);
}

fn vrrp(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    reader.flag(statement);
    to.vrrp = true;
}

fn checker(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Bfd) {
    reader.flag(statement);
    to.checker = true;
}
