//! Gratuitous ARP and unsolicited neighbour advertisements, of an instance and of all of them.

use alloc::format;
use core::time::Duration;

use model::vrrp::ExtraGarp;

use crate::keepalived::ast::Garp;
use crate::keepalived::keyword::section::{GLOBAL, INSTANCE};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("garp_master_delay", &[INSTANCE]).syntax("SECONDS").example("10")
        .default("vrrp_garp_master_delay")
        .doc("Time from becoming master to the second burst of gratuitous ARP; 0 for none.")
        .parse(Rule::value(Fill::Garp(delay))),
    keyword("garp_master_repeat", &[INSTANCE]).syntax("1..255").example("2")
        .default("vrrp_garp_master_repeat")
        .doc("Gratuitous ARP messages per address in a burst.")
        .parse(Rule::value(Fill::Garp(repeat))),
    keyword("garp_master_refresh", &[INSTANCE]).syntax("SECONDS").example("60")
        .default("vrrp_garp_master_refresh")
        .doc("Time between refreshing bursts of gratuitous ARP; 0 for none.")
        .parse(Rule::value(Fill::Garp(refresh))),
    keyword("garp_master_refresh_repeat", &[INSTANCE]).syntax("1..255").example("2")
        .default("vrrp_garp_master_refresh_repeat")
        .doc("Gratuitous ARP messages per address in a refreshing burst.")
        .parse(Rule::value(Fill::Garp(refresh_repeat))),
    keyword("garp_lower_prio_delay", &[INSTANCE]).syntax("SECONDS").example("10")
        .default("vrrp_garp_lower_prio_delay")
        .doc("Time from a weaker master's advert to the second burst; 0 for none.")
        .parse(Rule::value(Fill::Garp(lower_prio_delay))),
    keyword("garp_lower_prio_repeat", &[INSTANCE]).syntax("0..255").example("2")
        .default("vrrp_garp_lower_prio_repeat")
        .doc("Gratuitous ARP messages per address after a weaker master's advert.")
        .parse(Rule::value(Fill::Garp(lower_prio_repeat))),
    keyword("garp_extra_if", &[INSTANCE]).alias(&["vmac_garp_intvl"])
        .syntax("[all] SECONDS").example("all 30").default("vrrp_garp_extra_if")
        .doc("Gratuitous ARP on virtual MAC interfaces of addresses, or on all interfaces but the instance's own, this often; 0 for never.")
        .parse(Rule::value(Fill::Garp(extra))),
    keyword("vrrp_garp_master_delay", &[GLOBAL]).syntax("SECONDS").example("10").default("5")
        .doc("garp_master_delay of instances that give none.")
        .parse(Rule::value(Fill::Garp(delay))),
    keyword("vrrp_garp_master_repeat", &[GLOBAL]).syntax("1..255").example("2").default("5")
        .doc("garp_master_repeat of instances that give none.")
        .parse(Rule::value(Fill::Garp(repeat))),
    keyword("vrrp_garp_master_refresh", &[GLOBAL]).syntax("SECONDS").example("60").default("0")
        .doc("garp_master_refresh of instances that give none.")
        .parse(Rule::value(Fill::Garp(refresh))),
    keyword("vrrp_garp_master_refresh_repeat", &[GLOBAL]).syntax("1..255").example("2")
        .default("1")
        .doc("garp_master_refresh_repeat of instances that give none.")
        .parse(Rule::value(Fill::Garp(refresh_repeat))),
];

/// Longest time between bursts: what fits Keepalived's microseconds, 4294 s, and more.
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn delay(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.delay = reader.seconds(statement, Duration::ZERO, DAY);
}

pub(crate) fn repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.repeat = at_least_one(reader, statement);
}

pub(crate) fn refresh(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.refresh = reader.seconds(statement, Duration::ZERO, DAY);
}

pub(crate) fn refresh_repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.refresh_repeat = at_least_one(reader, statement);
}

pub(crate) fn lower_prio_delay(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    garp: &mut Garp,
) {
    garp.lower_prio_delay = reader.seconds(statement, Duration::ZERO, DAY);
}

pub(crate) fn lower_prio_repeat(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    garp: &mut Garp,
) {
    let count = reader.number(statement, "a count", 0..=255);
    garp.lower_prio_repeat = count.and_then(|n| u8::try_from(n).ok());
}

/// Old files say 0 and mean one.
fn at_least_one(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<u8> {
    let count = reader.number(statement, "a count", 0..=255)?;
    if count == 0 {
        let message = format!("{} cannot be 0: it is 1", statement.keyword().text);
        reader.warning(statement.header(), message, "write 1");
    }
    u8::try_from(count.max(1)).ok()
}

pub(crate) fn extra(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    let mut extra = ExtraGarp { all: false, interval: Duration::ZERO };
    let mut given = false;
    for word in statement.arguments() {
        if word.text == "all" {
            extra.all = true;
            continue;
        }
        let Some(seconds) = reader.number_of(word, "a number of seconds", 0..=86_400) else {
            return;
        };
        extra.interval = Duration::from_secs(seconds.into());
        given = true;
    }
    if given {
        garp.extra = Some(extra);
        return;
    }
    let message = format!("{} needs a number of seconds", statement.keyword().text);
    reader.error(statement.header(), message, "write one, with all before it if wanted");
}
