//! `vrrp_script`

use alloc::format;
use core::time::Duration;

use super::{WEIGHT_MAX, own_weight};
use crate::keepalived::ast::{Configuration, Script};
use crate::keepalived::keyword::section::{SCRIPT, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::structure::Statement;
use crate::keepalived::vrrp::name;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("vrrp_script", &[TOP]).syntax("NAME { ... }").example("S { script /bin/true }")
        .doc("A program that is run again and again, and whose result instances track.")
        .parse(Rule::blocks(Fill::Top(vrrp_script), SCRIPT)),
    keyword("script", &[SCRIPT]).syntax("SCRIPT|\"SCRIPT ARGUMENT ...\"").example("\"/bin/true one\"")
        .doc("What runs; exit code 0 is success.")
        .parse(Rule::value(Fill::Script(script))),
    keyword("interval", &[SCRIPT]).syntax("SECONDS").example("2").default("1")
        .doc("Time from one start to the next.")
        .parse(Rule::value(Fill::Script(interval))),
    keyword("timeout", &[SCRIPT]).syntax("SECONDS").example("2").default("interval")
        .doc("A run that takes longer has failed and is ended.")
        .parse(Rule::value(Fill::Script(timeout))),
    keyword("weight", &[SCRIPT]).syntax("-253..253 [reverse]").example("5").default("0")
        .doc("Change of the priority of those who track it and give no weight; 0 for a fault.")
        .parse(Rule::value(Fill::Script(weight))),
    keyword("rise", &[SCRIPT]).syntax("COUNT").example("2").default("1")
        .doc("Successes in a row that bring it up.")
        .parse(Rule::value(Fill::Script(rise))),
    keyword("fall", &[SCRIPT]).syntax("COUNT").example("2").default("1")
        .doc("Failures in a row that take it down.")
        .parse(Rule::value(Fill::Script(fall))),
    keyword("user", &[SCRIPT]).syntax("USER [GROUP]").example("root").default("script_user")
        .doc("Whom it runs as.")
        .parse(Rule::value(Fill::Script(user))),
    keyword("init_fail", &[SCRIPT])
        .doc("It begins as failed.")
        .parse(Rule::value(Fill::Script(init_fail))),
];

/// Longest time that fits Keepalived's microseconds.
const MOST: Duration = Duration::from_secs(4_294);

fn vrrp_script(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    let mut script = Script { name, ..Script::default() };
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::Script(parse) = fill {
            parse(reader, statement, &mut script);
        }
    });
    if !written.has("script") {
        let message = format!("vrrp_script {} runs nothing", script.name.value);
        reader.error(statement.header(), message, "write script \"PROGRAM ARGUMENTS\" in it");
    }
    to.scripts.push(script);
}

fn script(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.words = scripts::program(reader, statement).unwrap_or_default();
}

/// Old files say 0 and mean a second.
fn seconds(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let value = reader.seconds(statement, Duration::ZERO, MOST)?;
    if !value.is_zero() {
        return Some(value);
    }
    let message = format!("{} cannot be 0: it is 1", statement.keyword().text);
    reader.warning(statement.header(), message, "write 1");
    Some(Duration::from_secs(1))
}

fn interval(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.interval = seconds(reader, statement);
}

fn timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.timeout = seconds(reader, statement);
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.weight = own_weight(reader, statement, WEIGHT_MAX);
}

fn rise(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.rise = reader.number(statement, "a count", 1..=i32::MAX as u32);
}

fn fall(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.fall = reader.number(statement, "a count", 1..=i32::MAX as u32);
}

fn user(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    to.user = scripts::user_of(reader, statement);
}

fn init_fail(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Script) {
    reader.flag(statement);
    to.init_fail = true;
}
