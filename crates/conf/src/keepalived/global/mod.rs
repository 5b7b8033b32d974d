//! `global_defs`.

pub(crate) mod files;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod tables;
pub(crate) mod vrrp;

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use crate::keepalived::ast::{Configuration, Global};
use crate::keepalived::keyword::section::{EMAIL, GLOBAL, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("global_defs", &[TOP])
        .example("{ }")
        .syntax("{ ... }")
        .doc("Settings of the director itself.")
        .parse(Rule::blocks(Fill::Top(global_defs), GLOBAL)),
    keyword("notification_email", &[GLOBAL])
        .example("{ admin@example.com }")
        .syntax("{ ADDRESS ... }")
        .doc("Recipients of alerts, one per line.")
        .parse(Rule::block(Fill::Global(notification_email), EMAIL)),
    keyword("notification_email_from", &[GLOBAL])
        .example("director@example.com")
        .syntax("ADDRESS")
        .default("keepalived@HOST")
        .doc("Sender of alerts.")
        .parse(Rule::value(Fill::Global(notification_email_from))),
    keyword("smtp_server", &[GLOBAL])
        .example("127.0.0.1 25")
        .syntax("HOST [PORT]")
        .doc("Mail server that takes alerts.")
        .parse(Rule::value(Fill::Global(smtp_server))),
    keyword("smtp_connect_timeout", &[GLOBAL])
        .example("30")
        .syntax("SECONDS")
        .default("30")
        .doc("Bound on connecting to the mail server.")
        .parse(Rule::value(Fill::Global(smtp_connect_timeout))),
    keyword("smtp_helo_name", &[GLOBAL])
        .syntax("NAME")
        .default("the host's name")
        .example("director.example.com")
        .doc("Name in the HELO message to the mail server.")
        .parse(Rule::value(Fill::Global(smtp_helo_name))),
    keyword("smtp_alert", &[GLOBAL])
        .syntax("[BOOL]")
        .example("true")
        .doc("smtp_alert of everything that gives none: mail on changes of state.")
        .parse(Rule::value(Fill::Global(smtp_alert))),
    keyword("smtp_alert_checker", &[GLOBAL])
        .syntax("[BOOL]")
        .default("smtp_alert")
        .example("true")
        .doc("smtp_alert of virtual and real servers that give none.")
        .parse(Rule::value(Fill::Global(smtp_alert_checker))),
    keyword("no_email_faults", &[GLOBAL])
        .doc("No mail of fault states.")
        .parse(Rule::value(Fill::Global(no_email_faults))),
    keyword("no_checker_emails", &[GLOBAL])
        .syntax("[BOOL]")
        .example("true")
        .doc("Mail of real servers only when one comes or goes, not for each of its checkers.")
        .parse(Rule::value(Fill::Global(no_checker_emails))),
    keyword("rs_init_notifies", &[GLOBAL])
        .syntax("[BOOL]")
        .example("true")
        .doc("At the start, notify_up and the pipes are told of each real server that is up.")
        .parse(Rule::value(Fill::Global(rs_init_notifies))),
    keyword("router_id", &[GLOBAL])
        .example("director-1")
        .syntax("NAME")
        .default("the host's name")
        .doc("Name of this director in alerts.")
        .parse(Rule::value(Fill::Global(router_id))),
];

fn global_defs(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    reader.no_more(statement, 0);
    reader.fields(reader.block(statement), |reader, statement, fill| match fill {
        Fill::Global(parse) => parse(reader, statement, &mut to.global),
        Fill::Garp(parse) => parse(reader, statement, &mut to.global.vrrp.garp),
        _ => {}
    });
}

/// Web pages replace addresses by two words in brackets: they cannot be used, but the rest can.
fn is_obfuscated(words: &[crate::keepalived::lexer::Word<'_>]) -> bool {
    words.first().is_some_and(|word| word.text.starts_with('['))
        && words.last().is_some_and(|word| word.text.ends_with(']'))
}

fn notification_email(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        if is_obfuscated(line.words()) {
            let message = "this is no address: a web page has hidden it; nobody is added";
            reader.warning(line.header(), message.to_string(), "write the recipient's address");
            continue;
        }
        for word in line.words() {
            global.plan.alerts.to.push(word.text.to_string());
        }
    }
}

fn notification_email_from(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    let Some(word) = reader.first_argument(statement, "an e-mail address") else { return };
    let arguments = statement.arguments();
    if is_obfuscated(arguments) {
        let span = word.span.to(arguments[arguments.len() - 1].span);
        let message = "this is no address: a web page has hidden it; the default is used";
        reader.warning(span, message.to_string(), "write the sender's address");
        return;
    }
    reader.no_more(statement, 1);
    global.plan.alerts.from = Some(word.text.to_string());
}

fn smtp_server(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(host) = reader.first_argument(statement, "a host") else { return };
    reader.no_more(statement, 2);
    let server = match statement.arguments().get(1) {
        None => host.text.to_string(),
        Some(word) => match reader.port_of(word, 1) {
            Some(port) => format!("{} {port}", host.text),
            None => return,
        },
    };
    global.plan.alerts.server = Some(server);
}

fn smtp_connect_timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
    global.plan.alerts.connect_timeout = reader.seconds(statement, least, most);
}

fn router_id(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.router_id = reader.argument(statement, "a name").map(|word| word.text.to_string());
}

fn smtp_helo_name(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let name = reader.argument(statement, "a name");
    global.plan.alerts.helo_name = name.map(|word| word.text.to_string());
}

fn smtp_alert(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.vrrp.smtp_alert = reader.boolean(statement);
}

fn smtp_alert_checker(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.alerts.checkers = reader.boolean(statement);
}

fn no_email_faults(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.plan.alerts.no_faults = true;
}

fn no_checker_emails(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.alerts.no_checkers = reader.boolean(statement).unwrap_or(false);
}

fn rs_init_notifies(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.init_notifies = reader.boolean(statement).unwrap_or(false);
}
