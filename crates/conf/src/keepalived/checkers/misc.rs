//! MISC_CHECK.

use alloc::string::ToString;
use core::time::Duration;

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, Misc, RealServer};
use crate::keepalived::keyword::section::{MISC_CHECK, REAL_SERVER};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("MISC_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ misc_path /bin/true; user root }")
        .doc("The server is up when a program exits with status 0.")
        .parse(Rule::blocks(Fill::RealServer(misc_check), MISC_CHECK)),
    keyword("misc_path", &[MISC_CHECK]).syntax("PROGRAM|\"PROGRAM ARGUMENTS\"").example("\"/bin/false 1\"")
        .doc("What runs.")
        .parse(Rule::value(Fill::Misc(misc_path))),
    keyword("misc_timeout", &[MISC_CHECK]).syntax("SECONDS").example("9")
        .default("delay_loop of the virtual server")
        .doc("The program is ended after this time and has failed; 0 for the default.")
        .parse(Rule::value(Fill::Misc(misc_timeout))),
    keyword("misc_dynamic", &[MISC_CHECK])
        .doc("Statuses from 2 on are successes too, and set the weight: the server's becomes the status less 2.")
        .parse(Rule::value(Fill::Misc(misc_dynamic))),
    keyword("user", &[MISC_CHECK]).syntax("USER [GROUP]").example("root").default("script_user")
        .doc("Whom it runs as.")
        .parse(Rule::value(Fill::Misc(user))),
];

/// Longest time that fits Keepalived's microseconds.
const SECONDS_MAX: u32 = 4_294;

fn misc_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut misc = Misc::default();
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Misc(parse) = fill {
            parse(reader, statement, &mut misc);
        }
    });
    if !common.written.has("misc_path") {
        let message = "MISC_CHECK without misc_path runs nothing".to_string();
        reader.error(statement.header(), message, "write misc_path \"PROGRAM ARGUMENTS\" in it");
    }
    to.check(Checker { common, kind: CheckerKind::Misc(misc) });
}

fn misc_path(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Misc) {
    to.words = scripts::program(reader, statement).unwrap_or_default();
}

fn misc_timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Misc) {
    let seconds = reader.number(statement, "a number of seconds", 0..=SECONDS_MAX);
    to.timeout = seconds.filter(|&n| n > 0).map(|seconds| Duration::from_secs(seconds.into()));
}

fn misc_dynamic(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Misc) {
    reader.flag(statement);
    to.dynamic = true;
}

fn user(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Misc) {
    to.user = scripts::user_of(reader, statement);
}
