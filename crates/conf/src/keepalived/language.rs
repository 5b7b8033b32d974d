//! Keywords that the expansion ([`super::expand`]) obeys before any block is read.

use super::keyword::section::{ANYWHERE, GLOBAL};
use super::keyword::{Fill, KeywordRow, Rule, keyword};

const BEFORE: Rule = Rule { fill: Fill::Language, opens: None, repeats: true };

/// Their rows.
pub(super) static ROWS: &[KeywordRow] = &[
    keyword("include", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here; names are relative to this file. A missing one is a warning.")
        .parse(BEFORE),
    keyword("includer", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here, which must be regular and readable.")
        .parse(BEFORE),
    keyword("includem", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here; a plain name must exist.")
        .parse(BEFORE),
    keyword("includew", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here; a pattern must match at least one.")
        .parse(BEFORE),
    keyword("includeb", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here; every name of a {a,b} must exist.")
        .parse(BEFORE),
    keyword("includea", &[ANYWHERE])
        .syntax("PATTERN")
        .example("/etc/keepalived/*.conf")
        .doc("Reads other files here, with all of these checks.")
        .parse(BEFORE),
    keyword("include_check", &[GLOBAL])
        .example("+match")
        .syntax("[[+|-]read|match|wildcard_match|brace_match...]")
        .doc("Makes every include below, to the end of the file, as strict. Alone: all checks.")
        .parse(BEFORE),
    keyword("random_seed", &[GLOBAL])
        .syntax("NUMBER")
        .example("7")
        .doc("Where the numbers of ${_RANDOM} begin; otherwise they differ at each start.")
        .parse(BEFORE),
];
