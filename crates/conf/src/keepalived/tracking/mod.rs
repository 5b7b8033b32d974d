//! What instances and groups depend on: the lists of trackers, and in the files beside this one
//! what the lists name.

pub(crate) mod files;
pub(crate) mod processes;
pub(crate) mod scripts;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::vrrp::Tracked;

use super::ast::{TrackLine, Weight};
use super::keyword::section::{INSTANCE, SYNC_GROUP, TRACKERS};
use super::keyword::{Fill, KeywordRow, Parse, Rule, keyword};
use super::lexer::Word;
use super::reader::Reader;
use super::structure::Statement;
use crate::source::Spanned;
use crate::suggest;

const BOTH: &[&str] = &[INSTANCE, SYNC_GROUP];

const fn list(
    name: &'static str,
    syntax: &'static str,
    example: &'static str,
    doc: &'static str,
    parse: Parse<Vec<TrackLine>>,
) -> KeywordRow {
    keyword(name, BOTH)
        .syntax(syntax)
        .example(example)
        .doc(doc)
        .parse(Rule::blocks(Fill::Tracks(parse), TRACKERS))
}

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    list("track_interface", "{ INTERFACE [weight -253..253 [reverse]] ... }",
        "{ lo weight 5 }",
        "Interfaces: down is a fault, or changes the priority by the weight.", track_interface),
    list("track_script", "{ SCRIPT [weight -253..253 [reverse|noreverse]] ... }",
        "{ S weight 5 }",
        "Scripts (vrrp_script): failing is a fault, or changes the priority by the weight.", track_script),
    list("track_file", "{ FILE [weight -254..254 [reverse|noreverse]] ... }",
        "{ F weight 5 }",
        "Files (track_file): their number times the weight changes the priority; with weight 0 any number but 0 is a fault.", track_file),
    list("track_process", "{ PROCESS [weight -254..254 [reverse|noreverse]] ... }",
        "{ P weight 5 }",
        "Processes (vrrp_track_process): missing is a fault, or changes the priority by the weight.", track_process),
    list("track_bfd", "{ SESSION [weight -253..253 [reverse|noreverse]] ... }",
        "{ B weight 5 }",
        "BFD sessions (bfd_instance): down is a fault, or changes the priority by the weight.", track_bfd),
];

/// Greatest weight of interfaces, scripts and BFD sessions.
pub(crate) const WEIGHT_MAX: i16 = 253;
/// Greatest weight of files and processes.
pub(crate) const WEIGHT_MAX_COUNTED: i16 = 254;

fn track_interface(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Vec<TrackLine>) {
    lines(
        reader,
        statement,
        WEIGHT_MAX,
        |reader, word| reader.interface(word).map(Tracked::Interface),
        to,
    );
}

fn track_script(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Vec<TrackLine>) {
    lines(reader, statement, WEIGHT_MAX, |_, word| Some(Tracked::Script(text(word))), to);
}

fn track_file(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Vec<TrackLine>) {
    lines(reader, statement, WEIGHT_MAX_COUNTED, |_, word| Some(Tracked::File(text(word))), to);
}

fn track_process(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Vec<TrackLine>) {
    lines(reader, statement, WEIGHT_MAX_COUNTED, |_, word| Some(Tracked::Process(text(word))), to);
}

fn track_bfd(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Vec<TrackLine>) {
    lines(reader, statement, WEIGHT_MAX, |_, word| Some(Tracked::Bfd(text(word))), to);
}

fn text(word: &Word<'_>) -> String {
    word.text.to_string()
}

fn lines(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    most: i16,
    tracked: fn(&mut Reader<'_>, &Word<'_>) -> Option<Tracked>,
    to: &mut Vec<TrackLine>,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        let [first, options @ ..] = line.words() else { continue };
        let Some(value) = tracked(reader, first) else { continue };
        if let Some(earlier) = to.iter().find(|line| line.what.value == value) {
            let message = format!("{} is tracked already; the first line counts", first.text);
            let diagnostic = crate::Diagnostic::warning(line.header(), message);
            let diagnostic = diagnostic.related(earlier.what.span, "tracked here first");
            reader.diagnostics.push(diagnostic.help("remove one of the two lines"));
            continue;
        }
        let what = Spanned { value, span: first.span };
        let (weight, reverse) = options_of(reader, options, most);
        to.push(TrackLine { what, weight, reverse });
    }
}

/// `[weight NUMBER [reverse|noreverse]]`
fn options_of(
    reader: &mut Reader<'_>,
    options: &[Word<'_>],
    most: i16,
) -> (Option<i16>, Option<bool>) {
    let Some((option, rest)) = options.split_first() else { return (None, None) };
    if option.text != "weight" {
        let help = suggest::did_you_mean(&option.text, ["weight"])
            .unwrap_or_else(|| "write one tracker per line, with weight NUMBER after it".into());
        let message = format!("unknown option \"{}\" of a tracker", option.text);
        reader.error(option.span, message, &help);
        return (None, None);
    }
    let Some((number, rest)) = rest.split_first() else {
        let help = format!("write a number from -{most} to {most} after it");
        reader.error(option.span, "weight needs a number".to_string(), &help);
        return (None, None);
    };
    let weight = weight_of(reader, number, most);
    let Some((sign, rest)) = rest.split_first() else { return (weight, None) };
    if let Some(extra) = rest.first() {
        let message = format!("unexpected \"{}\" after {}", extra.text, sign.text);
        reader.error(extra.span, message, "remove it, or begin a new line");
    }
    let reverse = match sign.text.as_ref() {
        "reverse" => Some(true),
        "noreverse" | "no_reverse" => Some(false),
        other => {
            let help = suggest::did_you_mean(other, ["reverse", "noreverse"])
                .unwrap_or_else(|| "use reverse or noreverse".into());
            reader.error(sign.span, format!("unknown option \"{other}\" of a weight"), &help);
            None
        }
    };
    (weight, reverse)
}

fn weight_of(reader: &mut Reader<'_>, word: &Word<'_>, most: i16) -> Option<i16> {
    // Old versions took 254 everywhere; Keepalived makes it 253.
    let range = -i64::from(WEIGHT_MAX_COUNTED)..=i64::from(WEIGHT_MAX_COUNTED);
    let weight = i16::try_from(reader.integer_of(word, "a weight", range)?).ok()?;
    if weight.abs() > most {
        let clamped = weight.clamp(-most, most);
        let message = format!("a weight of {weight} is too much here: it is {clamped}");
        reader.warning(word.span, message, &format!("write {clamped}"));
        return Some(clamped);
    }
    Some(weight)
}

/// `weight NUMBER [reverse]` of a tracker's own block.
pub(crate) fn own_weight(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    most: i16,
) -> Option<Weight> {
    let word = reader.first_argument(statement, "a weight")?;
    reader.no_more(statement, 2);
    let range = -i64::from(most)..=i64::from(most);
    let weight = reader.integer_of(word, "a weight", range);
    let reverse = match statement.arguments().get(1) {
        None => false,
        Some(word) if word.text == "reverse" => true,
        Some(word) => {
            let message = format!("unknown option \"{}\" of a weight", word.text);
            reader.error(word.span, message, "use reverse, or nothing");
            false
        }
    };
    Some(Weight { weight: i16::try_from(weight?).ok()?, reverse })
}
