//! IPVS's tables at start and end.

use crate::keepalived::keyword::section::GLOBAL;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("lvs_flush", &[GLOBAL])
        .doc("Empties the IPVS tables at start.")
        .no_effect("the tables are Evenkeel's alone, and at start become what the files say",
            Rule::value(Fill::Check(lvs_flush))),
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
