//! How virtual and real servers come up, fail and end, and whom that is told.

use super::quorum::SCRIPT;
use crate::keepalived::ast::{RealServer, VirtualServer};
use crate::keepalived::keyword::section::{REAL_SERVER, VIRTUAL_SERVER};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("alpha", &[VIRTUAL_SERVER])
        .doc("Real servers count as down until a check succeeds.")
        .parse(Rule::value(Fill::VirtualServer(alpha))),
    keyword("alpha", &[REAL_SERVER]).syntax("[BOOL]").example("true").default("the virtual server's")
        .doc("The real server counts as down until a check succeeds.")
        .parse(Rule::value(Fill::RealServer(server_alpha))),
    keyword("omega", &[VIRTUAL_SERVER])
        .doc("At the end notify_down and quorum_down are run, pipes told and mail sent.")
        .parse(Rule::value(Fill::VirtualServer(omega))),
    keyword("ha_suspend", &[VIRTUAL_SERVER])
        .doc("No checks while none of its addresses is on this machine.")
        .parse(Rule::value(Fill::VirtualServer(ha_suspend))),
    keyword("inhibit_on_failure", &[VIRTUAL_SERVER])
        .doc("A failed real server stays in the tables with weight 0: its clients stay with it.")
        .parse(Rule::value(Fill::VirtualServer(inhibit_on_failure))),
    keyword("inhibit_on_failure", &[REAL_SERVER]).syntax("[BOOL]").example("true")
        .default("the virtual server's")
        .doc("When it fails, this real server stays in the tables with weight 0.")
        .parse(Rule::value(Fill::RealServer(server_inhibit_on_failure))),
    keyword("notify_up", &[REAL_SERVER]).syntax(SCRIPT).example("\"/bin/true one\" root")
        .doc("Script run when the real server comes up.")
        .parse(scripts::repeated(Fill::RealServer(notify_up))),
    keyword("notify_down", &[REAL_SERVER]).syntax(SCRIPT).example("\"/bin/true one\" root")
        .doc("Script run when the real server goes down.")
        .parse(scripts::repeated(Fill::RealServer(notify_down))),
    keyword("uthreshold", &[REAL_SERVER]).syntax("0..4294967295").example("1000").default("0: no bound")
        .doc("Connections from which on the real server takes no new ones.")
        .parse(Rule::value(Fill::RealServer(uthreshold))),
    keyword("lthreshold", &[REAL_SERVER]).syntax("0..4294967295").example("5")
        .default("three quarters of uthreshold")
        .doc("Connections below which it takes new ones again.")
        .parse(Rule::value(Fill::RealServer(lthreshold))),
    keyword("smtp_alert", &[VIRTUAL_SERVER]).syntax("[BOOL]").example("true")
        .default("smtp_alert_checker, else smtp_alert, else false")
        .doc("Mail when the quorum is gained or lost.")
        .parse(Rule::value(Fill::VirtualServer(smtp_alert))),
    keyword("smtp_alert", &[REAL_SERVER]).syntax("[BOOL]").example("false")
        .default("smtp_alert_checker, else smtp_alert, else true")
        .doc("Mail when the real server comes up or goes down.")
        .parse(Rule::value(Fill::RealServer(server_smtp_alert))),
    keyword("snmp_name", &[VIRTUAL_SERVER, REAL_SERVER]).syntax("NAME").example("web")
        .doc("Name in SNMP data.")
        .no_effect("there is no SNMP agent; `evenkeel status --json` knows servers by their addresses",
            Rule::value(Fill::Check(snmp_name))),
];

fn alpha(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    reader.flag(statement);
    to.alpha = true;
}

fn server_alpha(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    to.alpha = reader.boolean(statement);
}

fn omega(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    reader.flag(statement);
    to.omega = true;
}

fn ha_suspend(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    to.ha_suspend = Some(reader.flag(statement));
}

fn inhibit_on_failure(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    reader.flag(statement);
    to.inhibit_on_failure = true;
}

fn server_inhibit_on_failure(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut RealServer,
) {
    to.inhibit_on_failure = reader.boolean(statement);
}

fn notify_up(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    scripts::first_counts(reader, statement, &mut to.notify_up);
}

fn notify_down(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    scripts::first_counts(reader, statement, &mut to.notify_down);
}

fn uthreshold(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    to.upper_threshold = threshold(reader, statement);
}

fn lthreshold(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    to.lower_threshold = threshold(reader, statement);
}

fn threshold(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Spanned<u32>> {
    let value = reader.number(statement, "a number of connections", 0..=u32::MAX)?;
    Some(Spanned { value, span: statement.header() })
}

fn smtp_alert(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut VirtualServer) {
    to.smtp_alert = reader.boolean(statement);
}

fn server_smtp_alert(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    to.smtp_alert = reader.boolean(statement);
}

fn snmp_name(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.argument(statement, "a name");
}
