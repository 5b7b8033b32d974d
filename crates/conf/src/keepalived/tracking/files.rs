//! `track_file`

use alloc::format;
use alloc::string::ToString;

use model::vrrp::InitFile;

use super::{WEIGHT_MAX_COUNTED, own_weight};
use crate::keepalived::ast::{Configuration, File};
use crate::keepalived::keyword::section::{FILE, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::vrrp::name;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("track_file", &[TOP]).alias(&["vrrp_track_file"])
        .syntax("NAME { ... }").example("F { file /tmp/evenkeel-example }")
        .doc("A file with a number that instances track.")
        .parse(Rule::blocks(Fill::Top(track_file), FILE)),
    keyword("file", &[FILE]).syntax("PATH").example("/tmp/evenkeel-example")
        .doc("Its path; it is read whenever it changes.")
        .parse(Rule::value(Fill::File(file))),
    keyword("weight", &[FILE]).syntax("-254..254 [reverse]").example("5").default("1")
        .doc("The number is multiplied by it for those who track it and give no weight; 0 for a fault.")
        .parse(Rule::value(Fill::File(weight))),
    keyword("init_file", &[FILE]).syntax("[NUMBER] [overwrite]").example("0")
        .doc("Writes the number, 0 by default, at start; over what is there only with overwrite.")
        .parse(Rule::value(Fill::File(init_file))),
];

fn track_file(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    let mut file = File { name, ..File::default() };
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::File(parse) = fill {
            parse(reader, statement, &mut file);
        }
    });
    if !written.has("file") {
        let message = format!("track_file {} names no file", file.name.value);
        reader.error(statement.header(), message, "write file PATH in it");
    }
    to.files.push(file);
}

fn file(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut File) {
    let Some(word) = reader.argument(statement, "a path") else { return };
    to.path = word.text.to_string();
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut File) {
    to.weight = own_weight(reader, statement, WEIGHT_MAX_COUNTED);
}

fn init_file(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut File) {
    let mut init = InitFile { value: 0, overwrite: false };
    for word in statement.arguments() {
        if word.text == "overwrite" {
            init.overwrite = true;
            continue;
        }
        let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
        let Some(value) = reader.integer_of(word, "a number or overwrite", range) else { return };
        init.value = i32::try_from(value).unwrap_or_default();
        if !(-254..=254).contains(&value) {
            let message = format!("{value} is more than any priority can change by");
            reader.warning(word.span, message, "write a number from -254 to 254");
        }
    }
    to.init = Some(init);
}
