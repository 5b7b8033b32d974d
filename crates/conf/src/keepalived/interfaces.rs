//! What is said of interfaces themselves: `garp_group` and `interface_up_down_delays`.

use alloc::format;
use core::time::Duration;

use model::vrrp::LinkDelay;

use super::ast::{Configuration, GarpGroup};
use super::keyword::section::{GARP_GROUP, INTERFACES, LINK_DELAYS, TOP};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::lexer::Word;
use super::reader::Reader;
use super::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("garp_group", &[TOP]).syntax("{ ... }").example("{ garp_interval 0.001\n interface lo }")
        .doc("Interfaces that share a limit on gratuitous ARP and neighbour advertisements.")
        .parse(Rule::blocks(Fill::Top(garp_group), GARP_GROUP)),
    keyword("garp_interval", &[GARP_GROUP]).syntax("SECONDS").example("0.001")
        .doc("Least time between two gratuitous ARP messages.")
        .parse(Rule::value(Fill::GarpGroup(garp_interval))),
    keyword("gna_interval", &[GARP_GROUP]).syntax("SECONDS").example("0.001")
        .doc("Least time between two unsolicited neighbour advertisements.")
        .parse(Rule::value(Fill::GarpGroup(gna_interval))),
    keyword("interface", &[GARP_GROUP]).syntax("INTERFACE").example("lo")
        .doc("The interface.")
        .parse(Rule { fill: Fill::GarpGroup(interface), opens: None, repeats: true }),
    keyword("interfaces", &[GARP_GROUP]).syntax("{ INTERFACE ... }").example("{ lo }")
        .doc("The interfaces that share it.")
        .parse(Rule::blocks(Fill::GarpGroup(interfaces), INTERFACES)),
    keyword("interface_up_down_delays", &[TOP])
        .syntax("{ INTERFACE DOWN_SECONDS [UP_SECONDS] ... }").example("{ lo 0.5 0.5 }")
        .doc("How long a change of an interface must last before it counts; no UP_SECONDS is 0.")
        .parse(Rule::blocks(Fill::Top(interface_up_down_delays), LINK_DELAYS)),
];

/// Longest delay of a link change (keepalived.conf(5)).
const DELAY_MAX: Duration = Duration::from_secs(255);
/// Longest pause between messages: what fits Keepalived's microseconds.
const INTERVAL_MAX: Duration = Duration::from_micros(i32::MAX as u64);

fn garp_group(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    reader.no_more(statement, 0);
    let mut group = GarpGroup { span: statement.header(), ..GarpGroup::default() };
    reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::GarpGroup(parse) = fill {
            parse(reader, statement, &mut group);
        }
    });
    to.garp_groups.push(group);
}

fn garp_interval(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut GarpGroup) {
    to.garp_interval = reader.seconds(statement, Duration::ZERO, INTERVAL_MAX);
}

fn gna_interval(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut GarpGroup) {
    to.na_interval = reader.seconds(statement, Duration::ZERO, INTERVAL_MAX);
}

fn interface(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut GarpGroup) {
    let Some(word) = reader.argument(statement, "the name of an interface") else { return };
    add(reader, word, to);
}

fn interfaces(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut GarpGroup) {
    reader.no_more(statement, 0);
    for word in reader.block(statement).iter().flat_map(|line| line.words()) {
        add(reader, word, to);
    }
}

fn add(reader: &mut Reader<'_>, word: &Word<'_>, to: &mut GarpGroup) {
    if let Some(value) = reader.interface(word) {
        to.interfaces.push(Spanned { value, span: word.span });
    }
}

fn interface_up_down_delays(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut Configuration,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        let words = line.words();
        let interface = reader.interface(&words[0]);
        let Some(down) = words.get(1) else {
            let message = format!("{} has no delay", words[0].text);
            reader.error(line.header(), message, "write seconds after it: eth0 0.5 0.5");
            continue;
        };
        reader.no_more(line, 2);
        let down = reader.seconds_of(down, Duration::ZERO, DELAY_MAX);
        let up = match words.get(2) {
            Some(up) => reader.seconds_of(up, Duration::ZERO, DELAY_MAX),
            // Keepalived's manual says: the same as down; its versions 2.2 to 2.4 do this.
            None => Some(Duration::ZERO),
        };
        let (Some(interface), Some(down), Some(up)) = (interface, down, up) else { continue };
        if to.link_delays.iter().any(|delay| delay.value.interface == interface) {
            let message = format!("{interface} has delays already; the last ones count");
            reader.warning(line.header(), message, "keep one of the lines");
            to.link_delays.retain(|delay| delay.value.interface != interface);
        }
        let value = LinkDelay { interface, down, up };
        to.link_delays.push(Spanned { value, span: line.header() });
    }
}
