//! What a virtual router is: where it is, its number, priority, addresses, routes and rules.

use alloc::format;
use alloc::string::ToString;

use model::units::{Priority, VirtualRouterId};
use model::vrrp::{InitialState, Version};

use super::spanned;
use crate::keepalived::addresses::{self, Place};
use crate::keepalived::ast::Instance;
use crate::keepalived::keyword::section::{ADDRESSES, EXCLUDED, INSTANCE, ROUTES, RULES};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::{routes, rules};
use crate::suggest;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("state", &[INSTANCE]).syntax("MASTER|BACKUP").example("MASTER")
        .default("BACKUP; MASTER with priority 255")
        .doc("The state wished for at start; the priority decides.")
        .parse(Rule::value(Fill::Instance(state))),
    keyword("interface", &[INSTANCE]).syntax("INTERFACE").example("eth1")
        .default("the route's, for unicast")
        .doc("Interface that adverts travel on, and where addresses go that name no other.")
        .parse(Rule::value(Fill::Instance(interface))),
    keyword("vrf", &[INSTANCE]).syntax("INTERFACE").example("blue")
        .doc("Routing domain of a unicast instance without interface.")
        .parse(Rule::value(Fill::Instance(vrf))),
    keyword("virtual_router_id", &[INSTANCE]).syntax("1..255").example("51")
        .doc("Number of the virtual router on its network; the same on all its directors.")
        .parse(Rule::value(Fill::Instance(virtual_router_id))),
    keyword("priority", &[INSTANCE]).syntax("1..255").example("150")
        .default("100; 255 with state MASTER")
        .doc("The highest becomes master; 255 owns the addresses.")
        .parse(Rule::value(Fill::Instance(priority))),
    keyword("version", &[INSTANCE]).syntax("2|3").example("3").default("vrrp_version; 3 for IPv6")
        .doc("Version of VRRP.")
        .parse(Rule::value(Fill::Instance(version))),
    keyword("native_ipv6", &[INSTANCE])
        .doc("Adverts over IPv6, which IPv6 addresses imply already.")
        .parse(Rule::value(Fill::Instance(native_ipv6))),
    keyword("strict_mode", &[INSTANCE]).syntax("[BOOL]").example("true").default("vrrp_strict")
        .doc("To the letter of the RFC: no unicast, no authentication, no extensions.")
        .parse(Rule::value(Fill::Instance(strict_mode))),
    keyword("virtual_ipaddress", &[INSTANCE])
        .syntax(addresses::SYNTAX).example("{ 192.0.2.1/24 }")
        .doc("Addresses that the master holds and lists in its adverts, one per line.")
        .parse(Rule::blocks(Fill::Instance(virtual_ipaddress), ADDRESSES)),
    keyword("virtual_ipaddress_excluded", &[INSTANCE])
        .syntax(addresses::SYNTAX).example("{ 192.0.2.2/24 }")
        .doc("Addresses, of any family, that the master holds and does not list in its adverts.")
        .parse(Rule::blocks(Fill::Instance(virtual_ipaddress_excluded), EXCLUDED)),
    keyword("no_virtual_ipaddress", &[INSTANCE]).since("2.2.8")
        .doc("No address on purpose: something else, such as a cloud's own interface, moves it.")
        .parse(Rule::value(Fill::Instance(no_virtual_ipaddress))),
    keyword("promote_secondaries", &[INSTANCE])
        .doc("Removing an address of a network leaves the others of it.")
        .parse(Rule::value(Fill::Instance(promote_secondaries))),
    keyword("virtual_routes", &[INSTANCE])
        .syntax("{ ROUTE ... }, as after ip route add").example("{ 192.0.2.128/25 dev lo }")
        .doc("Routes that the master holds, one per line.")
        .parse(Rule::blocks(Fill::Instance(virtual_routes), ROUTES)),
    keyword("virtual_rules", &[INSTANCE])
        .syntax("{ RULE ... }, as after ip rule add")
        .example("{ from 192.0.2.0/24 table 100 preference 100 }")
        .doc("Routing rules that the master holds, one per line.")
        .parse(Rule::blocks(Fill::Instance(virtual_rules), RULES)),
];

fn state(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "MASTER or BACKUP") else { return };
    let state = match word.text.as_ref() {
        "MASTER" => InitialState::Master,
        "BACKUP" => InitialState::Backup,
        other => {
            // Keepalived goes on with BACKUP; SLAVE is written often.
            let help = suggest::did_you_mean(other, ["MASTER", "BACKUP"]);
            let message = format!("unknown state \"{other}\": it is taken as BACKUP");
            reader.warning(word.span, message, &help.unwrap_or("write BACKUP".to_string()));
            InitialState::Backup
        }
    };
    instance.state = spanned(Some(state), statement.header());
}

fn interface(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "the name of an interface") else { return };
    if word.text == "lo" {
        let message = "VRRP cannot run on the loopback interface".to_string();
        reader.error(word.span, message, "name the interface that leads to the other directors");
        return;
    }
    instance.interface = spanned(reader.interface(word), statement.header());
}

fn vrf(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "the name of an interface") else { return };
    instance.vrf = spanned(reader.interface(word), statement.header());
}

fn virtual_router_id(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let number = reader.number(statement, "a virtual router id", 1..=255);
    let value = number.and_then(|n| u8::try_from(n).ok());
    let value = value.and_then(|n| VirtualRouterId::try_from(n).ok());
    instance.virtual_router_id = spanned(value, statement.header());
}

fn priority(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let number = reader.number(statement, "a priority", 1..=255);
    let value = number.and_then(|n| u8::try_from(n).ok());
    let value = value.and_then(|n| Priority::try_from(n).ok());
    instance.priority = spanned(value, statement.header());
}

fn version(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let value = reader.choice(statement, &[("2", Version::V2), ("3", Version::V3)], &[]);
    instance.version = spanned(value, statement.header());
}

fn native_ipv6(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.native_ipv6 = Some(reader.flag(statement));
}

fn strict_mode(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.strict = spanned(reader.boolean(statement), statement.header());
}

fn virtual_ipaddress(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    addresses::read(reader, statement, Place::Virtual, &mut instance.addresses);
}

fn virtual_ipaddress_excluded(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    addresses::read(reader, statement, Place::Virtual, &mut instance.excluded_addresses);
}

fn no_virtual_ipaddress(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    reader.flag(statement);
    instance.no_addresses = true;
}

fn promote_secondaries(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    instance.promote_secondaries = Some(reader.flag(statement));
}

fn virtual_routes(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    routes::read(reader, statement, Place::Virtual, &mut instance.routes);
}

fn virtual_rules(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    rules::read(reader, statement, Place::Virtual, &mut instance.rules);
}
