//! SMTP_CHECK.

use alloc::format;
use alloc::string::ToString;

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, RealServer, Smtp};
use crate::keepalived::keyword::section::{HOST, REAL_SERVER, SMTP_CHECK};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("SMTP_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ helo_name lb1.example.com }")
        .doc("The server is up when it greets and takes a HELO.")
        .parse(Rule::blocks(Fill::RealServer(smtp_check), SMTP_CHECK)),
    keyword("helo_name", &[SMTP_CHECK]).syntax("NAME").example("lb1.example.com")
        .default("smtpchecker.keepalived.org")
        .doc("Our name in the HELO request.")
        .parse(Rule::value(Fill::Smtp(helo_name))),
    keyword("host", &[SMTP_CHECK]).syntax("{ ... }").example("{ connect_ip 10.0.0.9 }")
        .doc("One more host that must answer. The check's own address is tried only if the check itself says something about its connection. Timers but connect_timeout are the check's.")
        .parse(Rule::blocks(Fill::Smtp(host), HOST)),
];

fn smtp_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut smtp = Smtp::default();
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Smtp(parse) = fill {
            parse(reader, statement, &mut smtp);
        }
    });
    to.check(Checker { common, kind: CheckerKind::Smtp(smtp) });
}

fn helo_name(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Smtp) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    if word.text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("\"{}\" cannot be a host name", word.text.escape_debug());
        reader.error(word.span, message, "write a name like lb1.example.org");
        return;
    }
    to.helo_name = Some(word.text.to_string());
}

fn host(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Smtp) {
    to.hosts.push(read(reader, statement, |_, _, _| {}));
}
