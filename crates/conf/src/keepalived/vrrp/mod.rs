//! `vrrp_sync_group` and `vrrp_instance`, one file per family of keywords.

pub(crate) mod adverts;
pub(crate) mod authentication;
pub(crate) mod destination;
pub(crate) mod garp;
pub(crate) mod instance;
pub(crate) mod links;
pub(crate) mod notify;

use alloc::format;
use alloc::string::{String, ToString};

use super::ast::{Configuration, Instance, SyncGroup};
use super::keyword::section::{GROUP, INSTANCE, SYNC_GROUP, TOP};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::structure::Statement;
use crate::source::{Span, Spanned};

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("vrrp_sync_group", &[TOP])
        .syntax("NAME { ... }")
        .example("G { group { A B } }")
        .doc("Instances that change state together.")
        .parse(Rule::blocks(Fill::Top(vrrp_sync_group), SYNC_GROUP)),
    keyword("group", &[SYNC_GROUP])
        .syntax("{ INSTANCE ... }")
        .example("{ A B }")
        .doc("Names of the members, one per line.")
        .parse(Rule::block(Fill::SyncGroup(group), GROUP)),
    keyword("sync_group_tracking_weight", &[SYNC_GROUP])
        .doc("Members keep the weights of their own trackers; without it these become 0.")
        .parse(Rule::value(Fill::SyncGroup(keep_weights))),
    keyword("global_tracking", &[SYNC_GROUP])
        .doc("Old name of sync_group_tracking_weight.")
        .parse(Rule::value(Fill::SyncGroup(global_tracking))),
    keyword("vrrp_instance", &[TOP])
        .syntax("NAME { ... }")
        .example("B { interface eth0\n virtual_router_id 8\n virtual_ipaddress { 192.0.2.101 } }")
        .doc("One virtual router on one interface.")
        .parse(Rule::blocks(Fill::Top(vrrp_instance), INSTANCE)),
];

/// A value and where it was written.
pub(crate) fn spanned<T>(value: Option<T>, span: Span) -> Option<Spanned<T>> {
    value.map(|value| Spanned { value, span })
}

/// The name after a block's keyword.
pub(crate) fn name(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Spanned<String>> {
    let word = reader.argument(statement, "a name")?;
    Some(Spanned { value: word.text.to_string(), span: word.span })
}

fn vrrp_sync_group(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    let mut group = SyncGroup { name, ..SyncGroup::default() };
    let block = reader.block(statement);
    let written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::SyncGroup(parse) => parse(reader, statement, &mut group),
        Fill::Tracks(parse) => parse(reader, statement, &mut group.tracks),
        Fill::Notify(parse) => parse(reader, statement, &mut group.notify),
        _ => {}
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

fn keep_weights(reader: &mut Reader<'_>, statement: &Statement<'_>, group: &mut SyncGroup) {
    reader.flag(statement);
    group.members_keep_weights = true;
}

fn global_tracking(reader: &mut Reader<'_>, statement: &Statement<'_>, group: &mut SyncGroup) {
    let span = reader.flag(statement);
    group.members_keep_weights = true;
    let message = "global_tracking is an old name".to_string();
    let help = "write trackers into the group, or sync_group_tracking_weight";
    reader.warning(span, message, help);
}

fn vrrp_instance(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    let mut instance = Instance { name, ..Instance::default() };
    let block = reader.block(statement);
    instance.written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::Instance(parse) => parse(reader, statement, &mut instance),
        Fill::Garp(parse) => parse(reader, statement, &mut instance.garp),
        Fill::Tracks(parse) => parse(reader, statement, &mut instance.tracks),
        Fill::Notify(parse) => parse(reader, statement, &mut instance.notify),
        _ => {}
    });
    to.instances.push(instance);
}
