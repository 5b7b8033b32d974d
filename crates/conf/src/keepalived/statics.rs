//! `static_ipaddress`, `static_routes`, `static_rules`, `track_group`: what stays whatever the
//! state of the instances.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::vrrp::TrackGroup;

use super::addresses::{self, Place};
use super::ast::Configuration;
use super::keyword::section::{ADDRESSES, GROUP, ROUTES, RULES, TOP, TRACK_GROUP};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::reader::Reader;
use super::structure::Statement;
use super::{routes, rules};
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("static_ipaddress", &[TOP]).syntax(addresses::SYNTAX)
        .example("{ 192.0.2.60/24 dev eth0 }")
        .doc("Addresses that are there from start to end, one per line.")
        .parse(Rule::blocks(Fill::Top(static_ipaddress), ADDRESSES)),
    keyword("static_routes", &[TOP]).syntax("{ [TYPE] NETWORK [via ADDRESS] [dev INTERFACE] [track_group GROUP] ... }")
        .example("{ 198.51.100.0/24 via 192.0.2.1 dev eth0 }")
        .doc("Routes that are there from start to end, one per line.")
        .parse(Rule::blocks(Fill::Top(static_routes), ROUTES)),
    keyword("static_rules", &[TOP]).syntax("{ [not] [from NETWORK] [to NETWORK] [ACTION] [track_group GROUP] ... }")
        .example("{ from 198.51.100.0/24 table 100 preference 100 }")
        .doc("Routing rules that are there from start to end, one per line.")
        .parse(Rule::blocks(Fill::Top(static_rules), RULES)),
    keyword("track_group", &[TOP]).syntax("NAME { group { INSTANCE ... } }")
        .example("G { group { A } }")
        .doc("Instances that go to fault when a static address, route or rule that names the \
              group is lost.")
        .parse(Rule::blocks(Fill::Top(track_group), TRACK_GROUP)),
    keyword("group", &[TRACK_GROUP]).syntax("{ INSTANCE ... }").example("{ A }")
        .doc("Names of the instances.")
        .parse(Rule::block(Fill::TrackGroup(group), GROUP)),
];

fn static_ipaddress(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    addresses::read(reader, statement, Place::Static, &mut to.statics.addresses);
}

fn static_routes(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    routes::read(reader, statement, Place::Static, &mut to.statics.routes);
}

fn static_rules(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    rules::read(reader, statement, Place::Static, &mut to.statics.rules);
}

fn track_group(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    let mut track = TrackGroup { name: word.text.to_string(), members: Vec::new() };
    reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::TrackGroup(parse) = fill {
            parse(reader, statement, &mut track);
        }
    });
    if track.members.is_empty() {
        let message = format!("track_group {} has no members", track.name);
        reader.warning(statement.header(), message, "list its instances: group { VI_1 ... }");
    }
    to.statics.track_groups.push(Spanned { value: track, span: word.span });
}

fn group(reader: &mut Reader<'_>, statement: &Statement<'_>, group: &mut TrackGroup) {
    reader.no_more(statement, 0);
    for word in reader.block(statement).iter().flat_map(|line| line.words()) {
        group.members.push(word.text.to_string());
    }
}
