//! How a virtual server chooses: `lb_algo` and its flags.

use alloc::format;

use model::layer4::{HashFlags, Scheduler};

use crate::keepalived::ast::VirtualServer;
use crate::keepalived::keyword::section::VIRTUAL_SERVER;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("lb_algo", &[VIRTUAL_SERVER]).alias(&["lvs_sched"]).example("wrr")
        .syntax("rr|wrr|lc|wlc|lblc|sh|mh|dh|fo|ovf|lblcr|sed|nq|twos").default("wlc")
        .doc("How a real server is chosen for a new connection.")
        .parse(Rule::value(Fill::VirtualServer(lb_algo))),
    keyword("sh-port", &[VIRTUAL_SERVER])
        .doc("lb_algo sh, written before it, hashes the client's port too.")
        .parse(Rule::value(Fill::VirtualServer(sh_port))),
    keyword("sh-fallback", &[VIRTUAL_SERVER])
        .doc("lb_algo sh, written before it, gives clients of a server that takes none another one.")
        .parse(Rule::value(Fill::VirtualServer(sh_fallback))),
    keyword("mh-port", &[VIRTUAL_SERVER])
        .doc("lb_algo mh, written before it, hashes the client's port too.")
        .parse(Rule::value(Fill::VirtualServer(mh_port))),
    keyword("mh-fallback", &[VIRTUAL_SERVER])
        .doc("lb_algo mh, written before it, gives clients of a server that takes none another one.")
        .parse(Rule::value(Fill::VirtualServer(mh_fallback))),
    keyword("flag-1", &[VIRTUAL_SERVER])
        .doc("First flag of the scheduler: sh-fallback or mh-fallback.")
        .parse(Rule::value(Fill::VirtualServer(first_flag))),
    keyword("flag-2", &[VIRTUAL_SERVER])
        .doc("Second flag of the scheduler: sh-port or mh-port.")
        .parse(Rule::value(Fill::VirtualServer(second_flag))),
    keyword("flag-3", &[VIRTUAL_SERVER])
        .doc("Third flag of the scheduler.")
        .no_effect("no scheduler has three", Rule::value(Fill::Check(no_flag))),
    keyword("hashed", &[VIRTUAL_SERVER])
        .doc("A flag that IPVS keeps for itself.")
        .no_effect("Keepalived reads it and does nothing", Rule::value(Fill::Check(no_flag))),
];

fn lb_algo(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let choices = Scheduler::ALL.map(|scheduler| (scheduler.name(), scheduler));
    server.scheduler = reader.choice(statement, &choices, &[]);
}

/// Keepalived takes these flags only after the `lb_algo` that has them.
fn named(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    server: &VirtualServer,
    of: Scheduler,
) -> bool {
    let span = reader.flag(statement);
    let fits = server.scheduler.is_some_and(|scheduler| scheduler.is_same_kind(of));
    if !fits {
        let (flag, name) = (&statement.keyword().text, of.name());
        let message = format!("{flag} says nothing without lb_algo {name} before it");
        let help = format!("write it after lb_algo {name}, or remove it");
        reader.warning(span, message, &help);
    }
    fits
}

fn sh_port(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let of = Scheduler::SourceHashing(HashFlags::default());
    server.hash_flags.port |= named(reader, statement, server, of);
}

fn sh_fallback(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let of = Scheduler::SourceHashing(HashFlags::default());
    server.hash_flags.fallback |= named(reader, statement, server, of);
}

fn mh_port(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let of = Scheduler::MaglevHashing(HashFlags::default());
    server.hash_flags.port |= named(reader, statement, server, of);
}

fn mh_fallback(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    let of = Scheduler::MaglevHashing(HashFlags::default());
    server.hash_flags.fallback |= named(reader, statement, server, of);
}

/// By number a flag may stand anywhere in the block.
fn first_flag(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    server.numbered_flags.push(reader.flag(statement));
    server.hash_flags.fallback = true;
}

fn second_flag(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut VirtualServer) {
    server.numbered_flags.push(reader.flag(statement));
    server.hash_flags.port = true;
}

fn no_flag(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}
