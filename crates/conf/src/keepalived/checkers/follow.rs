//! Checkers that try nothing themselves: BFD_CHECK and FILE_CHECK follow what others see.

use alloc::format;
use alloc::string::{String, ToString};

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, FileTrack, RealServer};
use crate::keepalived::keyword::section::{BFD_CHECK, FILE_CHECK, REAL_SERVER};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::vrrp::spanned;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("BFD_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ name B }")
        .doc("The server is up while a BFD session is.")
        .parse(Rule::blocks(Fill::RealServer(bfd_check), BFD_CHECK)),
    keyword("name", &[BFD_CHECK]).syntax("NAME").example("C")
        .doc("The session: a bfd_instance that checkers may follow.")
        .parse(Rule::value(Fill::Follow(name))),
    keyword("FILE_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ track_file F }")
        .doc("A number in a file changes the weight of the server, or takes it down.")
        .parse(Rule::blocks(Fill::RealServer(file_check), FILE_CHECK)),
    keyword("track_file", &[FILE_CHECK]).syntax("NAME").example("G")
        .doc("The file: a track_file block at the top level.")
        .parse(Rule::value(Fill::Follow(name))),
    keyword("weight", &[FILE_CHECK]).syntax("-65535..65535 [reverse]").example("5")
        .default("the track_file's")
        .doc("The number times this is added to the server's weight; 0: any number but 0 takes the server down.")
        .parse(Rule::value(Fill::Follow(weight))),
    keyword("dynamic", &[FILE_CHECK])
        .doc("The number is added to the weight of the server.")
        .no_effect("a weight other than 0 does this already", Rule::value(Fill::Check(dynamic))),
];

/// Greatest weight of IPVS.
const WEIGHT_MAX: i64 = 65_535;

/// Either block while it is read.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    name: Option<Spanned<String>>,
    weight: Option<(i32, bool)>,
}

fn bfd_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut follow = Follow::default();
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Follow(parse) = fill {
            parse(reader, statement, &mut follow);
        }
    });
    if !common.written.has("name") {
        let message = "BFD_CHECK follows no session".to_string();
        reader.error(statement.header(), message, "write name NAME in it, of a bfd_instance");
    }
    let Some(name) = follow.name else { return };
    to.check(Checker { common, kind: CheckerKind::Bfd(name) });
}

fn file_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut follow = Follow::default();
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Follow(parse) = fill {
            parse(reader, statement, &mut follow);
        }
    });
    if !common.written.has("track_file") {
        let message = "FILE_CHECK follows no file".to_string();
        reader.error(statement.header(), message, "write track_file NAME in it");
    }
    let Some(name) = follow.name else { return };
    let file = FileTrack { name, weight: follow.weight };
    to.check(Checker { common, kind: CheckerKind::File(file) });
}

fn name(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Follow) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    to.name = spanned(Some(word.text.to_string()), word.span);
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Follow) {
    let Some(word) = reader.first_argument(statement, "a weight") else { return };
    reader.no_more(statement, 2);
    let weight = reader.integer_of(word, "a weight", -WEIGHT_MAX..=WEIGHT_MAX);
    let reverse = match statement.arguments().get(1) {
        None => false,
        Some(word) => match word.text.as_ref() {
            "reverse" => true,
            "noreverse" => false,
            other => {
                let message = format!("unknown option \"{other}\" of a weight");
                reader.error(word.span, message, "use reverse, or nothing");
                return;
            }
        },
    };
    let weight = weight.and_then(|weight| i32::try_from(weight).ok());
    to.weight = weight.map(|weight| (weight, reverse));
}

fn dynamic(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}
