//! `vrrp_sync_group` and `vrrp_instance`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use model::units::{Priority, VirtualRouterId};
use model::vrrp::InitialState;

use super::addresses;
use super::ast::{Authentication, Configuration, Garp, Instance, SyncGroup, Written};
use super::keyword::section::{
    ADDRESSES, AUTHENTICATION, EXCLUDED, GLOBAL, GROUP, INSTANCE, SYNC_GROUP, TOP,
};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::structure::Statement;
use crate::source::Spanned;

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("vrrp_sync_group", &[TOP])
        .syntax("NAME { ... }")
        .doc("Instances that change state together.")
        .parse(Rule::blocks(Fill::Top(vrrp_sync_group), SYNC_GROUP)),
    keyword("group", &[SYNC_GROUP])
        .syntax("{ INSTANCE ... }")
        .doc("Names of the members, one per line.")
        .parse(Rule::block(Fill::SyncGroup(group), GROUP)),
    keyword("vrrp_instance", &[TOP])
        .syntax("NAME { ... }")
        .doc("One virtual router on one interface.")
        .parse(Rule::blocks(Fill::Top(vrrp_instance), INSTANCE)),
    keyword("state", &[INSTANCE])
        .syntax("MASTER|BACKUP")
        .default("BACKUP")
        .doc("The state wished for at start; the priority decides.")
        .parse(Rule::value(Fill::Instance(state))),
    keyword("interface", &[INSTANCE])
        .syntax("INTERFACE")
        .doc("Interface that adverts travel on, and where addresses go that name no other.")
        .parse(Rule::value(Fill::Instance(interface))),
    keyword("virtual_router_id", &[INSTANCE])
        .syntax("1..255")
        .doc("Identity of the virtual router on its network, the same on all directors.")
        .parse(Rule::value(Fill::Instance(virtual_router_id))),
    keyword("priority", &[INSTANCE])
        .syntax("1..255")
        .default("100")
        .doc("The highest priority becomes master; 255 owns the addresses.")
        .parse(Rule::value(Fill::Instance(priority))),
    keyword("advert_int", &[INSTANCE])
        .syntax("SECONDS")
        .default("1")
        .doc("Time between adverts; whole seconds in VRRP version 2.")
        .parse(Rule::value(Fill::Instance(advert_int))),
    keyword("authentication", &[INSTANCE])
        .syntax("{ auth_type PASS; auth_pass PASSWORD }")
        .doc("How adverts are authenticated.")
        .parse(Rule::block(Fill::Instance(authentication), AUTHENTICATION)),
    keyword("auth_type", &[AUTHENTICATION])
        .syntax("PASS")
        .doc("Kind of authentication: a clear-text password.")
        .parse(Rule::value(Fill::Authentication(auth_type))),
    keyword("auth_pass", &[AUTHENTICATION])
        .syntax("PASSWORD")
        .doc("The password; its first 8 characters count.")
        .parse(Rule::value(Fill::Authentication(auth_pass))),
    keyword("virtual_ipaddress", &[INSTANCE])
        .syntax(
            "{ ADDRESS[/LENGTH] [dev INTERFACE] [brd ADDRESS] [label LABEL] [scope SCOPE] ... }",
        )
        .doc("Addresses that the master holds and lists in its adverts, one per line.")
        .parse(Rule::block(Fill::Instance(virtual_ipaddress), ADDRESSES)),
    keyword("virtual_ipaddress_excluded", &[INSTANCE])
        .syntax(
            "{ ADDRESS[/LENGTH] [dev INTERFACE] [brd ADDRESS] [label LABEL] [scope SCOPE] ... }",
        )
        .doc("Addresses that the master holds and does not list in its adverts, one per line.")
        .parse(Rule::block(Fill::Instance(virtual_ipaddress_excluded), EXCLUDED)),
    keyword("nopreempt", &[INSTANCE])
        .doc("Do not take over from a master of lower priority.")
        .parse(Rule::value(Fill::Instance(nopreempt))),
    keyword("preempt", &[INSTANCE])
        .doc("Take over from a master of lower priority, the default.")
        .parse(Rule::value(Fill::Instance(preempt))),
    keyword("preempt_delay", &[INSTANCE])
        .syntax("0..1000 SECONDS")
        .default("0")
        .doc("Wait this long after start before taking over from a lower priority.")
        .parse(Rule::value(Fill::Instance(preempt_delay))),
    keyword("mcast_src_ip", &[INSTANCE])
        .syntax("ADDRESS")
        .default("the interface's first address")
        .doc("Source address of adverts.")
        .parse(Rule::value(Fill::Instance(mcast_src_ip))),
    keyword("garp_master_delay", &[INSTANCE])
        .syntax("SECONDS")
        .default("5")
        .doc("Time from becoming master to the second burst of gratuitous ARP; 0 for none.")
        .parse(Rule::value(Fill::Garp(garp_delay))),
    keyword("garp_master_repeat", &[INSTANCE])
        .syntax("1..255")
        .default("5")
        .doc("Gratuitous ARP messages per address in a burst.")
        .parse(Rule::value(Fill::Garp(garp_repeat))),
    keyword("garp_master_refresh", &[INSTANCE])
        .syntax("SECONDS")
        .default("0")
        .doc("Time between refreshing bursts of gratuitous ARP; 0 for none.")
        .parse(Rule::value(Fill::Garp(garp_refresh))),
    keyword("garp_master_refresh_repeat", &[INSTANCE])
        .syntax("1..255")
        .default("1")
        .doc("Gratuitous ARP messages per address in a refreshing burst.")
        .parse(Rule::value(Fill::Garp(garp_refresh_repeat))),
    keyword("vrrp_garp_master_delay", &[GLOBAL])
        .syntax("SECONDS")
        .default("5")
        .doc("garp_master_delay of instances that give none.")
        .parse(Rule::value(Fill::Garp(garp_delay))),
    keyword("vrrp_garp_master_repeat", &[GLOBAL])
        .syntax("1..255")
        .default("5")
        .doc("garp_master_repeat of instances that give none.")
        .parse(Rule::value(Fill::Garp(garp_repeat))),
    keyword("vrrp_garp_master_refresh", &[GLOBAL])
        .syntax("SECONDS")
        .default("0")
        .doc("garp_master_refresh of instances that give none.")
        .parse(Rule::value(Fill::Garp(garp_refresh))),
    keyword("vrrp_garp_master_refresh_repeat", &[GLOBAL])
        .syntax("1..255")
        .default("1")
        .doc("garp_master_refresh_repeat of instances that give none.")
        .parse(Rule::value(Fill::Garp(garp_refresh_repeat))),
];

const DAY: Duration = Duration::from_secs(86_400);

fn vrrp_sync_group(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    let name = Spanned { value: word.text.to_string(), span: word.span };
    let mut group = SyncGroup { name, members: Vec::new() };
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::SyncGroup(parse) = fill {
            parse(reader, statement, &mut group);
        }
    });
    if !written.has("group") || group.members.is_empty() {
        let message = format!("sync group {} has no members", group.name.value);
        reader.error(statement.header(), message, "list its instances: group { VI_1 ... }");
    }
    to.groups.push(group);
}

fn group(reader: &mut Reader<'_>, statement: &Statement<'_>, group: &mut SyncGroup) {
    reader.no_more(statement, 0);
    for word in reader.block(statement).iter().flat_map(|line| line.words()) {
        group.members.push(Spanned { value: word.text.to_string(), span: word.span });
    }
}

fn vrrp_instance(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    let mut instance = Instance {
        name: Spanned { value: word.text.to_string(), span: word.span },
        state: None,
        interface: None,
        virtual_router_id: None,
        priority: None,
        advert_interval: None,
        authentication: None,
        addresses: Vec::new(),
        excluded_addresses: Vec::new(),
        nopreempt: None,
        preempt_delay: None,
        garp: Garp::default(),
        source: None,
        written: Written::default(),
    };
    let block = reader.block(statement);
    instance.written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::Instance(parse) => parse(reader, statement, &mut instance),
        Fill::Garp(parse) => parse(reader, statement, &mut instance.garp),
        _ => {}
    });
    to.instances.push(instance);
}

fn state(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let choices = [("MASTER", InitialState::Master), ("BACKUP", InitialState::Backup)];
    let value = reader.choice(statement, &choices, &[]);
    instance.state = value.map(|value| Spanned { value, span: statement.header() });
}

fn interface(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "the name of an interface") else { return };
    instance.interface =
        reader.interface(word).map(|value| Spanned { value, span: statement.header() });
}

fn virtual_router_id(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let number = reader.number(statement, "a virtual router id", 1..=255);
    let value = number.and_then(|n| u8::try_from(n).ok());
    instance.virtual_router_id = value
        .and_then(|n| VirtualRouterId::try_from(n).ok())
        .map(|value| Spanned { value, span: statement.header() });
}

fn priority(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let number = reader.number(statement, "a priority", 1..=255);
    let value = number.and_then(|n| u8::try_from(n).ok());
    instance.priority = value
        .and_then(|n| Priority::try_from(n).ok())
        .map(|value| Spanned { value, span: statement.header() });
}

fn advert_int(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let (least, most) = (Duration::from_millis(10), Duration::from_secs(255));
    instance.advert_interval = reader
        .seconds(statement, least, most)
        .map(|value| Spanned { value, span: statement.header() });
}

fn authentication(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.no_more(statement, 0);
    let mut authentication = Authentication {
        span: statement.header(),
        pass: false,
        password: None,
        written: Written::default(),
    };
    let block = reader.block(statement);
    authentication.written = reader.fields(block, |reader, statement, fill| {
        if let Fill::Authentication(parse) = fill {
            parse(reader, statement, &mut authentication);
        }
    });
    instance.authentication = Some(authentication);
}

fn auth_type(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Authentication) {
    let ah = [("AH", "use auth_type PASS")];
    to.pass = reader.choice(statement, &[("PASS", ())], &ah).is_some();
}

fn auth_pass(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Authentication) {
    let Some(word) = reader.argument(statement, "a password") else { return };
    to.password = Some(Spanned { value: word.text.to_string(), span: word.span });
}

fn virtual_ipaddress(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    addresses::read(reader, statement, &mut instance.addresses);
}

fn virtual_ipaddress_excluded(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    addresses::read(reader, statement, &mut instance.excluded_addresses);
}

fn nopreempt(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.nopreempt = Some(reader.flag(statement));
}

fn preempt(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let span = reader.flag(statement);
    if instance.nopreempt.take().is_some() {
        let message = "preempt cancels the nopreempt above".to_string();
        reader.warning(span, message, "keep one of the two");
    }
}

fn preempt_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.preempt_delay = reader
        .seconds(statement, Duration::ZERO, Duration::from_secs(1_000))
        .map(|value| Spanned { value, span: statement.header() });
}

fn mcast_src_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.source = reader.host_address(statement).filter(|a| *a != Ipv4Addr::UNSPECIFIED);
}

fn garp_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.delay = reader.seconds(statement, Duration::ZERO, DAY);
}

fn garp_repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    let count = reader.number(statement, "a count", 1..=255);
    garp.repeat = count.and_then(|n| u8::try_from(n).ok());
}

fn garp_refresh(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    garp.refresh = reader.seconds(statement, Duration::ZERO, DAY);
}

fn garp_refresh_repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, garp: &mut Garp) {
    let count = reader.number(statement, "a count", 1..=255);
    garp.refresh_repeat = count.and_then(|n| u8::try_from(n).ok());
}
