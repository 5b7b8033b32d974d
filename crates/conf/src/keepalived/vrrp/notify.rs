//! Whom to tell of changes of state: scripts, pipes, mail. Instances and groups have the same.

use crate::keepalived::ast::Notify;
use crate::keepalived::keyword::section::{INSTANCE, SYNC_GROUP};
use crate::keepalived::keyword::{Fill, KeywordRow, Parse, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::structure::Statement;

const BOTH: &[&str] = &[INSTANCE, SYNC_GROUP];
const SYNTAX: &str = "SCRIPT|\"SCRIPT ARGUMENT ...\" [USER [GROUP]]";

const fn script(name: &'static str, doc: &'static str, parse: Parse<Notify>) -> KeywordRow {
    keyword(name, BOTH)
        .syntax(SYNTAX)
        .example("\"/bin/true one\" root")
        .doc(doc)
        .parse(scripts::repeated(Fill::Notify(parse)))
}

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    script("notify_master", "Script run when it becomes master.", notify_master),
    script("notify_backup", "Script run when it becomes backup.", notify_backup),
    script("notify_fault", "Script run when it cannot take part.", notify_fault),
    script("notify_stop", "Script run when VRRP stops.", notify_stop),
    script("notify", "Script run on every change with four more arguments: INSTANCE or GROUP, name, state, priority.", notify),
    keyword("notify_deleted", &[INSTANCE])
        .syntax("[SCRIPT|\"SCRIPT ARGUMENT ...\" [USER [GROUP]]]").example("\"/bin/true one\" root")
        .doc("A reload that removes the instance says DELETED, not FAULT, and runs this script.")
        .parse(scripts::repeated(Fill::Notify(notify_deleted))),
    keyword("notify_master_rx_lower_pri", &[INSTANCE])
        .syntax(SYNTAX).example("\"/bin/true one\" root")
        .doc("Script run when a master hears a weaker one.")
        .parse(scripts::repeated(Fill::Notify(notify_master_rx_lower_pri))),
    keyword("notify_priority_changes", BOTH).syntax("[BOOL]").example("true")
        .default("vrrp_notify_priority_changes")
        .doc("Changes of priority are written to the pipes.")
        .parse(Rule::value(Fill::Notify(notify_priority_changes))),
    keyword("smtp_alert", BOTH).syntax("[BOOL]").example("true")
        .default("smtp_alert_vrrp, else smtp_alert")
        .doc("Mail on every change of state.")
        .parse(Rule::value(Fill::Notify(smtp_alert))),
];

fn notify_master(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.master);
}

fn notify_backup(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.backup);
}

fn notify_fault(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.fault);
}

fn notify_stop(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.stop);
}

fn notify(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.any);
}

fn notify_deleted(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    to.scripts.says_deleted = true;
    if !statement.arguments().is_empty() {
        scripts::first_counts(reader, statement, &mut to.scripts.deleted);
    }
}

fn notify_master_rx_lower_pri(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    scripts::first_counts(reader, statement, &mut to.scripts.lower_priority);
}

fn notify_priority_changes(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    to.priority_changes = reader.boolean(statement);
}

fn smtp_alert(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Notify) {
    to.smtp_alert = reader.boolean(statement);
}
