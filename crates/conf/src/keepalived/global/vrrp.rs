//! What instances inherit, and what holds for all of them.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use core::time::Duration;

use model::vrrp::{ExtraGarp, V3Checksum, Version};

use crate::keepalived::ast::{Garp, Global};
use crate::keepalived::keyword::section::GLOBAL;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("vrrp_version", &[GLOBAL]).syntax("2|3").default("2, 3 for IPv6").example("3")
        .doc("version of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_version))),
    keyword("vrrp_strict", &[GLOBAL])
        .doc("strict_mode of instances that give none: the RFC to the letter.")
        .parse(Rule::value(Fill::Global(vrrp_strict))),
    keyword("vrrp_skip_check_adv_addr", &[GLOBAL])
        .doc("skip_check_adv_addr of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_skip_check_adv_addr))),
    keyword("vrrp_check_unicast_src", &[GLOBAL])
        .doc("check_unicast_src of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_check_unicast_src))),
    keyword("vrrp_mcast_group4", &[GLOBAL]).syntax("ADDRESS").default("224.0.0.18").example("224.0.0.19")
        .doc("Multicast group of IPv4 adverts.")
        .parse(Rule::value(Fill::Global(vrrp_mcast_group4))),
    keyword("vrrp_mcast_group6", &[GLOBAL]).syntax("ADDRESS").default("ff02::12").example("ff02::13")
        .doc("Multicast group of IPv6 adverts.")
        .parse(Rule::value(Fill::Global(vrrp_mcast_group6))),
    keyword("default_interface", &[GLOBAL]).syntax("INTERFACE").default("eth0").example("eth1")
        .doc("Interface of static addresses and of unicast instances that name none.")
        .parse(Rule::value(Fill::Global(default_interface))),
    keyword("vrrp_garp_lower_prio_delay", &[GLOBAL]).syntax("SECONDS")
        .default("vrrp_garp_master_delay").example("10")
        .doc("garp_lower_prio_delay of instances that give none.")
        .parse(Rule::value(Fill::Garp(lower_prio_delay))),
    keyword("vrrp_garp_lower_prio_repeat", &[GLOBAL]).syntax("0..255")
        .default("vrrp_garp_master_repeat").example("1")
        .doc("garp_lower_prio_repeat of instances that give none.")
        .parse(Rule::value(Fill::Garp(lower_prio_repeat))),
    keyword("vrrp_garp_interval", &[GLOBAL]).syntax("SECONDS").default("0").example("0.001")
        .doc("Least time between two gratuitous ARP messages on an interface.")
        .parse(Rule::value(Fill::Global(vrrp_garp_interval))),
    keyword("vrrp_gna_interval", &[GLOBAL]).syntax("SECONDS").default("0").example("0.000001")
        .doc("Least time between two unsolicited neighbour advertisements on an interface.")
        .parse(Rule::value(Fill::Global(vrrp_gna_interval))),
    keyword("vrrp_min_garp", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("One gratuitous ARP message on becoming master, where nothing else is said.")
        .parse(Rule::value(Fill::Global(vrrp_min_garp))),
    keyword("vrrp_garp_extra_if", &[GLOBAL]).alias(&["vrrp_vmac_garp_intvl"])
        .syntax("[all] 1..86400 SECONDS").example("all 100")
        .doc("garp_extra_if of instances that give none: refreshing messages on the other \
              interfaces of the addresses, those with a virtual MAC address or all.")
        .parse(Rule::value(Fill::Garp(extra_if))),
    keyword("vrrp_lower_prio_no_advert", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("lower_prio_no_advert of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_lower_prio_no_advert))),
    keyword("vrrp_higher_prio_send_advert", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("higher_prio_send_advert of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_higher_prio_send_advert))),
    keyword("vrrp_owner_ignore_adverts", &[GLOBAL]).syntax("[BOOL]").example("true").since("2.3.3")
        .doc("owner_ignore_adverts of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_owner_ignore_adverts))),
    keyword("v3_checksum_as_v2", &[GLOBAL]).syntax("[BOOL]").example("true").since("2.2.8")
        .doc("v3_checksum_as_v2 of instances that give none.")
        .parse(Rule::value(Fill::Global(v3_checksum_as_v2))),
    keyword("vrrp_down_timer_adverts", &[GLOBAL]).syntax("1..100").default("3").example("4")
        .doc("down_timer_adverts of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_down_timer_adverts))),
    keyword("vrrp_notify_priority_changes", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("notify_priority_changes of instances that give none.")
        .parse(Rule::value(Fill::Global(vrrp_notify_priority_changes))),
    keyword("vmac_prefix", &[GLOBAL]).syntax("NAME").default("vrrp").example("vmac")
        .doc("How generated names of virtual MAC interfaces begin.")
        .parse(Rule::value(Fill::Global(vmac_prefix))),
    keyword("vmac_addr_prefix", &[GLOBAL]).syntax("NAME").default("vmac_prefix").example("vaddr")
        .doc("The same for addresses on other interfaces than the instance's.")
        .parse(Rule::value(Fill::Global(vmac_addr_prefix))),
    keyword("vrrp_startup_delay", &[GLOBAL]).syntax("SECONDS").default("0").example("5.5")
        .doc("Wait between the start and the begin of VRRP.")
        .parse(Rule::value(Fill::Global(vrrp_startup_delay))),
    keyword("log_unknown_vrids", &[GLOBAL])
        .doc("Logs adverts of virtual routers that are not configured.")
        .parse(Rule::value(Fill::Global(log_unknown_vrids))),
    keyword("nftables", &[GLOBAL]).syntax("[TABLE]").default("keepalived").example("director")
        .doc("Table of the rules of no_accept and virtual MAC interfaces.")
        .parse(Rule::value(Fill::Global(nftables))),
    keyword("nftables_priority", &[GLOBAL]).syntax("PRIORITY").default("-1").example("-5")
        .doc("Priority of that table's chains.")
        .parse(Rule::value(Fill::Global(nftables_priority))),
    keyword("nftables_counters", &[GLOBAL])
        .doc("The rules of that table count what they match.")
        .parse(Rule::value(Fill::Global(nftables_counters))),
    keyword("nftables_ifindex", &[GLOBAL])
        .doc("Rules name interfaces by number.")
        .no_effect("the rules have the form that fits the kernel", Rule::value(Fill::Check(flag))),
    keyword("disable_local_igmp", &[GLOBAL])
        .doc("The kernel reports no membership of link-local multicast groups.")
        .parse(Rule::value(Fill::Global(disable_local_igmp))),
    keyword("smtp_alert_vrrp", &[GLOBAL]).syntax("[BOOL]").default("smtp_alert").example("true")
        .doc("smtp_alert of instances and sync groups that give none.")
        .parse(Rule::value(Fill::Global(smtp_alert_vrrp))),
];

/// The longest time that fits Keepalived's 32 bits of microseconds.
const MOST: Duration = Duration::from_micros(u32::MAX as u64);
/// Longest name of a table the kernel takes (NFT_TABLE_MAXNAMELEN - 1 of Keepalived's nft).
const TABLE_NAME_MAX: usize = 255;

fn flag(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}

fn vrrp_version(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let version = reader.choice(statement, &[("2", Version::V2), ("3", Version::V3)], &[]);
    global.vrrp.version = version.map(|value| Spanned { value, span: statement.header() });
}

fn vrrp_strict(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.strict = Some(reader.flag(statement));
}

fn vrrp_skip_check_adv_addr(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    reader.flag(statement);
    global.vrrp.skip_check_addresses = Some(true);
}

fn vrrp_check_unicast_src(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.vrrp.check_unicast_source = Some(true);
}

fn vrrp_mcast_group4(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(word) = reader.argument(statement, "an IPv4 multicast address") else { return };
    let group = Ipv4Addr::from_str(&word.text).ok().filter(Ipv4Addr::is_multicast);
    if group.is_none() {
        let message = format!("\"{}\" is not an IPv4 multicast address", word.text);
        reader.error(word.span, message, "write an address like 224.0.0.18");
    }
    global.vrrp.group4 = group;
}

fn vrrp_mcast_group6(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(word) = reader.argument(statement, "an IPv6 multicast address") else { return };
    // ff02::/16, RFC 4291 2.7: other scopes leave the link.
    let link_local = |group: &Ipv6Addr| group.segments()[0] & 0xff0f == 0xff02;
    let group = Ipv6Addr::from_str(&word.text).ok().filter(link_local);
    if group.is_none() {
        let message = format!("\"{}\" is not a link-local IPv6 multicast address", word.text);
        reader.error(word.span, message, "write an address like ff02::12");
    }
    global.vrrp.group6 = group;
}

fn default_interface(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(word) = reader.argument(statement, "the name of an interface") else { return };
    let name = reader.interface(word);
    global.vrrp.default_interface = name.map(|value| Spanned { value, span: statement.header() });
}

fn lower_prio_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.lower_prio_delay = reader.seconds(statement, Duration::ZERO, MOST);
}

fn lower_prio_repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    let count = reader.number(statement, "a count", 0..=255);
    garp.lower_prio_repeat = count.and_then(|n| u8::try_from(n).ok());
}

fn extra_if(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    reader.no_more(statement, 2);
    let words = statement.arguments();
    let all = words.first().is_some_and(|word| word.text == "all");
    let Some(word) = words.get(usize::from(all)) else {
        let message = format!("{} needs a number of seconds", statement.keyword().text);
        reader.error(statement.header(), message, "write seconds, as in 100 or all 100");
        return;
    };
    let seconds = reader.number_of(word, "a number of seconds", 1..=86_400);
    garp.extra =
        seconds.map(|seconds| ExtraGarp { all, interval: Duration::from_secs(seconds.into()) });
}

fn vrrp_garp_interval(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.garp_interval = interval(reader, statement);
}

fn vrrp_gna_interval(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.gna_interval = interval(reader, statement);
}

/// A pause between messages. The keepalived.conf that Keepalived itself installs says 0: Keepalived
/// complains, and sends without a pause.
fn interval(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let value = reader.seconds(statement, Duration::ZERO, MOST)?;
    if value.is_zero() {
        let message =
            format!("{} 0 says nothing: no pause is the default", statement.keyword().text);
        reader.warning(statement.header(), message, "remove it, or write a time like 0.001");
        return None;
    }
    Some(value)
}

fn vrrp_min_garp(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.min_garp = reader.boolean(statement);
}

fn vrrp_lower_prio_no_advert(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    global.vrrp.lower_prio_no_advert = reader.boolean(statement);
}

fn vrrp_higher_prio_send_advert(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    global.vrrp.higher_prio_send_advert = reader.boolean(statement);
}

fn vrrp_owner_ignore_adverts(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    global.vrrp.owner_ignore_adverts = reader.boolean(statement);
}

fn v3_checksum_as_v2(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.v3_checksum = reader.boolean(statement).map(|as_version_2| {
        if as_version_2 { V3Checksum::AsVersion2 } else { V3Checksum::WithPseudoHeader }
    });
}

fn vrrp_down_timer_adverts(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    let count = reader.number(statement, "a count", 1..=100);
    global.vrrp.down_timer_adverts = count.and_then(|n| u8::try_from(n).ok());
}

fn vrrp_notify_priority_changes(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    global.vrrp.notify_priority_changes = reader.boolean(statement);
}

fn vmac_prefix(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.vmac_prefix = prefix(reader, statement);
}

fn vmac_addr_prefix(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.vmac_addr_prefix = prefix(reader, statement);
}

fn prefix(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Spanned<String>> {
    let word = reader.argument(statement, "how the names of interfaces begin")?;
    let value = reader.interface(word)?;
    Some(Spanned { value, span: word.span })
}

fn vrrp_startup_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let delay = reader.seconds(statement, Duration::from_millis(1), MOST);
    global.vrrp.settings.startup_delay = delay.unwrap_or_default();
}

fn log_unknown_vrids(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.vrrp.settings.log_unknown_routers = true;
}

fn nftables(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.no_more(statement, 1);
    let Some(word) = statement.arguments().first() else { return };
    let good = !word.text.is_empty()
        && word.text.len() <= TABLE_NAME_MAX
        && word.text.bytes().all(|byte| byte.is_ascii_graphic());
    if good {
        global.vrrp.settings.firewall.table = word.text.to_string();
    } else {
        let message = format!("\"{}\" cannot be the name of a table", word.text);
        reader.error(word.span, message, "names have 1 to 255 characters, without blanks");
    }
}

fn nftables_priority(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(word) = reader.argument(statement, "a priority") else { return };
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let priority = reader.integer_of(word, "a priority", range);
    if let Some(priority) = priority.and_then(|priority| i32::try_from(priority).ok()) {
        global.vrrp.settings.firewall.priority = priority;
    }
}

fn nftables_counters(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.vrrp.settings.firewall.counters = true;
}

fn disable_local_igmp(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.vrrp.settings.disable_local_igmp = true;
}

fn smtp_alert_vrrp(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.smtp_alert_vrrp = reader.boolean(statement);
}
