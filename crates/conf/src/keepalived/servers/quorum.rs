//! `quorum`, the scripts that are told of it, and the sorry server.

use alloc::string::ToString;

use crate::keepalived::ast::{Location, VirtualServer};
use crate::keepalived::keyword::section::VIRTUAL_SERVER;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::servers::method;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

/// Arguments of a keyword that names a program.
pub(super) const SCRIPT: &str = "SCRIPT|\"SCRIPT ARGUMENT ...\" [USER [GROUP]]";

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("quorum", &[VIRTUAL_SERVER]).syntax("1..4294967295").default("1").example("2")
        .doc("Total weight of living real servers that the virtual server needs; more than there is \
              becomes all there is.")
        .parse(Rule::value(Fill::VirtualServer(quorum))),
    keyword("hysteresis", &[VIRTUAL_SERVER]).syntax("0..4294967295").default("0").example("1")
        .doc("The quorum is gained at quorum + hysteresis and lost below quorum - hysteresis; at \
              least the quorum becomes one less than it.")
        .parse(Rule::value(Fill::VirtualServer(hysteresis))),
    keyword("quorum_up", &[VIRTUAL_SERVER]).syntax(SCRIPT).example("\"/bin/true one\" root")
        .doc("Script run when the quorum is gained.")
        .parse(scripts::repeated(Fill::VirtualServer(quorum_up))),
    keyword("quorum_down", &[VIRTUAL_SERVER]).syntax(SCRIPT).example("\"/bin/true one\" root")
        .doc("Script run when the quorum is lost.")
        .parse(scripts::repeated(Fill::VirtualServer(quorum_down))),
    keyword("sorry_server", &[VIRTUAL_SERVER]).syntax("ADDRESS [PORT]").example("10.0.0.9 80")
        .doc("Takes the place of all real servers while the quorum is lost; without a port it gets \
              the port the client used.")
        .parse(Rule::value(Fill::VirtualServer(sorry_server))),
    keyword("sorry_server_inhibit", &[VIRTUAL_SERVER])
        .doc("While it is not needed the sorry server stays, with weight 0.")
        .parse(Rule::value(Fill::VirtualServer(sorry_server_inhibit))),
    keyword("sorry_server_lvs_method", &[VIRTUAL_SERVER]).syntax(method::SYNTAX).example("TUN type gre")
        .default("the virtual server's")
        .doc("How packets reach the sorry server.")
        .parse(Rule::value(Fill::VirtualServer(sorry_server_lvs_method))),
];

fn quorum(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    let weight = reader.number(statement, "a total weight", 0..=u32::MAX);
    if weight == Some(0) {
        let message = "quorum 0 says nothing: it is 1".to_string();
        reader.warning(statement.header(), message, "write quorum 1, or remove it");
    }
    to.quorum.weight = weight
        .filter(|&weight| weight > 0)
        .map(|value| Spanned { value, span: statement.header() });
}

fn hysteresis(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    let weight = reader.number(statement, "a weight", 0..=u32::MAX);
    to.quorum.hysteresis = weight.map(|value| Spanned { value, span: statement.header() });
}

fn quorum_up(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    scripts::first_counts(reader, statement, &mut to.quorum.up);
}

fn quorum_down(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    scripts::first_counts(reader, statement, &mut to.quorum.down);
}

fn sorry_server(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    let Some(location) = reader.location(statement) else { return };
    // Port 0 is no port, as for real servers.
    let Location { address, port } = location.value;
    let port = port.filter(|&port| port != 0);
    to.quorum.sorry = Some(Spanned { value: Location { address, port }, span: location.span });
}

fn sorry_server_inhibit(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut VirtualServer,
) {
    to.quorum.sorry_inhibit = Some(reader.flag(statement));
}

fn sorry_server_lvs_method(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut VirtualServer,
) {
    let forwarding = method::method(reader, statement);
    to.quorum.sorry_forwarding =
        forwarding.map(|value| Spanned { value, span: statement.header() });
}
