//! How a virtual server treats its connections: `ops`, and IPVS's switches for one service. Only
//! `ops` is Keepalived's; lines that begin with `@evenkeel` it leaves alone.

use alloc::format;
use alloc::string::ToString;

use model::layer4::{Conduct, State};

use crate::keepalived::ast::VirtualServer;
use crate::keepalived::keyword::section::VIRTUAL_SERVER;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("ops", &[VIRTUAL_SERVER])
        .doc("Every UDP packet is scheduled by itself, and no connection is kept.")
        .parse(Rule::value(Fill::VirtualServer(ops))),
    keyword("conn_reuse_mode", &[VIRTUAL_SERVER]).syntax("0..3").example("2").default("1")
        .doc("Not 0: a new connection from the port of one that has ended is scheduled anew. 2: also \
              while that one is in FIN_WAIT, with direct routing and tunnels. Evenkeel's own, after \
              @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(conn_reuse_mode))),
    keyword("expire_nodest_conn", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true").default("false")
        .doc("Connections to a real server that left end at once. Evenkeel's own, after @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(expire_nodest_conn))),
    keyword("reset_nodest_conn", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true").default("false")
        .doc("Client and real server of a TCP connection get an RST when they send something after \
              the real server left. Evenkeel's own, after @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(reset_nodest_conn))),
    keyword("expire_quiescent_template", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true")
        .default("false")
        .doc("Persistence does not keep clients on a real server with weight 0. Evenkeel's own, after \
              @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(expire_quiescent_template))),
    keyword("sloppy_tcp", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true").default("false")
        .doc("TCP connections may begin with any segment but RST. Evenkeel's own, after @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(sloppy_tcp))),
    keyword("sloppy_sctp", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true").default("false")
        .doc("SCTP associations may begin with any chunk. Evenkeel's own, after @evenkeel.")
        .parse(Rule::value(Fill::VirtualServer(sloppy_sctp))),
    keyword("state_timeout", &[VIRTUAL_SERVER]).syntax("STATE SECONDS").example("ESTABLISHED 3600")
        .default("lvs_timeouts, else IPVS's")
        .doc("Seconds without a packet after which a connection in this state ends; states as in \
              ipvsadm -Lnc. May stand once for each. Evenkeel's own, after @evenkeel.")
        .parse(Rule::values(Fill::VirtualServer(state_timeout))),
];

fn ops(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    to.one_packet = Some(reader.flag(statement));
}

fn conn_reuse_mode(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    let most = u32::from(Conduct::REUSE_MODE_MAX);
    if let Some(mode) = reader.number(statement, "a mode", 0..=most) {
        to.conduct.conn_reuse_mode = mode as u8;
    }
}

fn switch(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut bool) {
    if let Some(on) = reader.boolean(statement) {
        *to = on;
    }
}

fn expire_nodest_conn(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    switch(reader, statement, &mut to.conduct.expire_nodest_conn);
}

fn reset_nodest_conn(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    switch(reader, statement, &mut to.conduct.reset_nodest_conn);
}

fn expire_quiescent_template(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut VirtualServer,
) {
    switch(reader, statement, &mut to.conduct.expire_quiescent_template);
}

fn sloppy_tcp(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    switch(reader, statement, &mut to.conduct.sloppy_tcp);
}

fn sloppy_sctp(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    switch(reader, statement, &mut to.conduct.sloppy_sctp);
}

fn state_timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    reader.no_more(statement, 2);
    let [name, seconds, ..] = statement.arguments() else {
        let message = "state_timeout needs a state and seconds".to_string();
        reader.error(statement.header(), message, "write state_timeout ESTABLISHED 3600");
        return;
    };
    if !State::ALL.iter().any(|state| state.name.eq_ignore_ascii_case(&name.text)) {
        let message = format!("\"{}\" is no state of connections", name.text);
        let help = "write one that ipvsadm -Lnc shows: ESTABLISHED, FIN_WAIT, UDP";
        reader.error(name.span, message, help);
        return;
    }
    let Some(seconds) = reader.number_of(seconds, "a number of seconds", 1..=State::SECONDS_MAX)
    else {
        return;
    };
    let value = (name.text.to_string(), seconds);
    to.state_timeouts.push(Spanned { value, span: name.span });
}
