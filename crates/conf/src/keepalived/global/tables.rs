//! The layer-4 tables: at start and end, and how long connections last in them.

use alloc::format;
use core::ops::RangeInclusive;

use model::layer4::Timeouts;
use model::units::Seconds;

use crate::keepalived::ast::Global;
use crate::keepalived::keyword::section::GLOBAL;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

/// IPVS takes 31 days at most.
const TIMEOUTS: RangeInclusive<u32> = 0..=86_400 * 31;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("lvs_flush", &[GLOBAL])
        .doc("Empties the IPVS tables at start.")
        .no_effect("the tables are Evenkeel's alone, and at start become what the files say",
            Rule::value(Fill::Check(lvs_flush))),
    keyword("lvs_timeouts", &[GLOBAL]).syntax("[tcp SECONDS] [tcpfin SECONDS] [udp SECONDS]")
        .default("tcp 900 tcpfin 120 udp 300").example("tcp 3600 udp 60")
        .doc("How long connections last without a packet: TCP, TCP after a FIN, UDP. 0 is the \
              default.")
        .parse(Rule::value(Fill::Global(lvs_timeouts))),
    keyword("lvs_flush_on_stop", &[GLOBAL]).alias(&["lvs_flush_onstop"]).syntax("[VS]").example("VS")
        .doc("Empties the IPVS tables at once at the end.")
        .no_effect("the tables always go at once at the end",
            Rule::value(Fill::Check(lvs_flush_on_stop))),
];

fn lvs_flush(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}

fn lvs_flush_on_stop(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    if !statement.arguments().is_empty() {
        reader.choice(statement, &[("VS", ())], &[]);
    }
}

fn lvs_timeouts(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Global) {
    let usual = Timeouts::default();
    let mut words = statement.arguments().iter();
    if words.len() == 0 {
        let help = "write tcp, tcpfin or udp, and seconds after it";
        reader.error(statement.header(), "lvs_timeouts needs a time-out".into(), help);
    }
    while let Some(word) = words.next() {
        let (timeout, usual) = match word.text.as_ref() {
            "tcp" => (&mut to.timeouts.tcp, usual.tcp),
            "tcpfin" => (&mut to.timeouts.tcp_fin, usual.tcp_fin),
            "udp" => (&mut to.timeouts.udp, usual.udp),
            unknown => {
                let message = format!("unknown time-out \"{unknown}\"");
                return reader.error(word.span, message, "use tcp, tcpfin or udp");
            }
        };
        let Some(value) = words.next() else {
            let message = format!("{} needs a number of seconds", word.text);
            return reader.error(word.span, message, "write the number after it");
        };
        if let Some(seconds) = reader.number_of(value, "a number of seconds", TIMEOUTS) {
            *timeout = if seconds == 0 { usual } else { Seconds(seconds) };
        }
    }
}
