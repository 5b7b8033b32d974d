//! `acl`: a criterion, flags and patterns (manual, 7.1 and 7.3.6).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::proxy::{AclTest, Matching, Sample};

use super::lexer::{Line, Word};
use super::proxy::{Context, Keyword, Proxy, Sense, plain};
use super::section::is_name_character;
use super::table::{NAMED, Table, refusal, row};
use super::{criteria_refused, value};
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::Span;

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[row("acl", NAMED)
    .syntax("<name> <criterion> [-i] [-m str|beg|end|sub|dir] [--] <pattern> ...")
    .doc("Names a test of a request; several lines of one name add up.")
    .parse(plain(read))];

/// What a criterion looks at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Path,
    Url,
    Method,
    Header,
    Source,
    Always(bool),
}

/// A criterion: what it looks at and how it compares unless `-m` says otherwise.
pub(super) type Criterion = (Look, Matching);

/// Every criterion.
pub(super) static CRITERIA: Table<Criterion> =
    Table { parts: &[CRITERION_ROWS, criteria_refused::ROWS], what: "criterion" };

const ACL: &[&str] = &["acl"];

const fn criterion(
    name: &'static str,
    doc: &'static str,
    look: Look,
    matching: Matching,
) -> Row<Criterion> {
    row(name, ACL).doc(doc).parse((look, matching))
}

static CRITERION_ROWS: &[Row<Criterion>] = &[
    criterion("path", "The path is one of these.", Look::Path, Matching::Exact),
    criterion("path_beg", "The path begins with one of these.", Look::Path, Matching::Begins),
    criterion("path_end", "The path ends with one of these.", Look::Path, Matching::Ends),
    criterion("path_sub", "The path contains one of these.", Look::Path, Matching::Contains),
    criterion(
        "path_dir",
        "A part of the path between slashes is one of these.",
        Look::Path,
        Matching::Directory,
    ),
    criterion("url", "The URL is one of these.", Look::Url, Matching::Exact),
    criterion("url_beg", "The URL begins with one of these.", Look::Url, Matching::Begins),
    criterion("url_end", "The URL ends with one of these.", Look::Url, Matching::Ends),
    criterion("url_sub", "The URL contains one of these.", Look::Url, Matching::Contains),
    criterion(
        "url_dir",
        "A part of the URL between slashes is one of these.",
        Look::Url,
        Matching::Directory,
    ),
    criterion("method", "The method is one of these.", Look::Method, Matching::Exact),
    criterion(
        "src",
        "The client's address is in one of these networks.",
        Look::Source,
        Matching::Network,
    ),
    header("hdr", "A value of the header is one of these.", Matching::Exact),
    header("hdr_beg", "A value of the header begins with one of these.", Matching::Begins),
    header("hdr_end", "A value of the header ends with one of these.", Matching::Ends),
    header("hdr_sub", "A value of the header contains one of these.", Matching::Contains),
    header(
        "hdr_dir",
        "A value of the header has one of these between slashes.",
        Matching::Directory,
    ),
    criterion("always_true", "Always matches.", Look::Always(true), Matching::Exact),
    criterion("always_false", "Never matches.", Look::Always(false), Matching::Exact),
];

const fn header(name: &'static str, doc: &'static str, matching: Matching) -> Row<Criterion> {
    row(name, ACL).syntax("(<header>)").doc(doc).parse((Look::Header, matching))
}

/// One parsed `acl` line, or one anonymous ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Known without looking.
    Always(bool),
    /// To be looked at. `span` covers the criterion.
    Look {
        /// The test.
        test: AclTest,
        /// It needs a parsed HTTP request, so `mode http`.
        needs_http: bool,
        /// The criterion's place.
        span: Span,
    },
}

fn read(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let Some(name) = line.word(1) else {
        return Err(Diagnostic::error(line.span(), "`acl` needs a name and a criterion")
            .help("acl url_static path_beg /static"));
    };
    if let Some(wrong) = name.text.chars().find(|c| !is_name_character(*c)) {
        return Err(Diagnostic::error(
            name.span,
            format!("`{wrong}` is not allowed in the name of an ACL"),
        )
        .help("names consist of letters, digits, `-`, `_`, `.` and `:`"));
    }
    // The name is known from here on, whatever its test is worth: one mistake, one finding.
    let acl = proxy.acls.entry(name.text.clone()).or_default();
    if matches!(name.text.as_str(), "or" | "if" | "unless" | "") {
        return Err(Diagnostic::error(
            name.span,
            format!("`{}` cannot be an ACL's name", name.text),
        ));
    }
    let Some((criterion, rest)) = line.rest(2).split_first() else {
        return Err(Diagnostic::error(
            line.span(),
            format!("the ACL `{}` tests nothing", name.text),
        )
        .help(format!("write a criterion behind it: acl {} path_beg /static", name.text)));
    };
    acl.tests.push(test(criterion, rest, context)?);
    Ok(())
}

/// Reads a criterion with its flags and patterns.
pub(super) fn test(
    criterion: &Word,
    rest: &[Word],
    context: &mut Context<'_>,
) -> Result<Test, Diagnostic> {
    let (name, argument) = split_criterion(criterion)?;
    let ((look, mut matching), _) = CRITERIA.supported(name, criterion.span)?;
    let sample = match look {
        Look::Always(value) => return Ok(Test::Always(value)),
        Look::Path => Sample::Path,
        Look::Url => Sample::Url,
        Look::Method => Sample::Method,
        Look::Source => Sample::Source,
        Look::Header => match argument {
            Some(header) if !header.is_empty() => Sample::Header(header.to_owned()),
            _ => {
                let message = format!("`{name}` needs the name of a header");
                return Err(
                    Diagnostic::error(criterion.span, message).help(format!("write {name}(host)"))
                );
            }
        },
    };
    if argument.is_some() && !matches!(look, Look::Header) {
        let message = format!("`{name}` takes no argument in parentheses");
        return Err(Diagnostic::error(criterion.span, message));
    }
    let flags = flags(rest, &mut matching, &sample)?;
    let patterns = patterns(&flags, matching)?;
    if patterns.is_empty() && !flags.ended {
        context.diagnostics.push(
            Diagnostic::warning(
                criterion.span,
                "this never matches, there is nothing to compare with",
            )
            .help("write what to compare with behind it, or `--` if this is what you want"),
        );
    }
    let needs_http = !matches!(look, Look::Source);
    let test = AclTest { sample, matching, ignore_case: flags.ignore_case, patterns };
    Ok(Test::Look { test, needs_http, span: criterion.span })
}

/// `hdr(host)` into its parts; converters and occurrences are refused.
fn split_criterion(word: &Word) -> Result<(&str, Option<&str>), Diagnostic> {
    let text = word.text.strip_prefix("req.").filter(|text| text.starts_with("hdr"));
    let text = text.unwrap_or(&word.text);
    let Some((name, rest)) = text.split_once('(') else {
        return match text.split_once(',') {
            Some((name, converters)) => Err(converter(word, name, converters)),
            None => Ok((text, None)),
        };
    };
    let Some((argument, after)) = rest.split_once(')') else {
        return Err(Diagnostic::error(word.span, format!("`{}` lacks its `)`", word.text)));
    };
    if let Some(converters) = after.strip_prefix(',') {
        return Err(converter(word, name, converters));
    }
    if !after.is_empty() {
        return Err(Diagnostic::error(word.span, format!("`{after}` behind the parenthesis")));
    }
    let supported = CRITERIA.find(name).is_some_and(|row| row.parse.is_some());
    if supported && argument.contains(',') {
        let hint = "leave the occurrence away: every value of the header is compared";
        return Err(refusal(word.span, "hdr(<name>,<occurrence>)", hint));
    }
    Ok((name, Some(argument)))
}

fn converter(word: &Word, name: &str, converters: &str) -> Diagnostic {
    let message = format!("converters (`{converters}`) are not supported by this version");
    let diagnostic = Diagnostic::error(word.span, message);
    if converters.starts_with("lower") || converters.starts_with("upper") {
        return diagnostic.help(format!("write {name} -i to compare without regard to case"));
    }
    diagnostic.help(format!("compare {name} as it is"))
}

struct Flags<'a> {
    ignore_case: bool,
    ended: bool,
    patterns: &'a [Word],
}

fn flags<'a>(
    mut words: &'a [Word],
    matching: &mut Matching,
    sample: &Sample,
) -> Result<Flags<'a>, Diagnostic> {
    let mut flags = Flags { ignore_case: false, ended: false, patterns: words };
    while let [word, rest @ ..] = words {
        match word.text.as_str() {
            "-i" => flags.ignore_case = true,
            // No names are resolved in patterns anyhow.
            "-n" => {}
            "--" => {
                flags.ended = true;
                flags.patterns = rest;
                return Ok(flags);
            }
            "-m" => {
                let Some((method, rest)) = rest.split_first() else {
                    return Err(Diagnostic::error(word.span, "`-m` needs a matching method"));
                };
                *matching = method_of(method, sample)?;
                words = rest;
                flags.patterns = rest;
                continue;
            }
            "-f" | "-M" => {
                let hint = "write the patterns on the line; several lines of one name add up";
                return Err(refusal(word.span, &format!("acl {}", word.text), hint));
            }
            "-u" => return Err(refusal(word.span, "acl -u", "leave the flag and its number away")),
            flag if flag.starts_with('-') && flag.len() == 2 => {
                return Err(Diagnostic::error(word.span, format!("unknown flag `{flag}`"))
                    .help("write `--` before it if it is a pattern"));
            }
            _ => break,
        }
        words = rest;
        flags.patterns = rest;
    }
    Ok(flags)
}

/// Matching methods, for `-m`.
pub(super) static METHODS: Table<Matching> = Table { parts: &[METHOD_ROWS], what: "method" };

const METHOD: &[&str] = &["acl -m"];
const USE_STRINGS: &str = "use str, beg, end, sub or dir";

static METHOD_ROWS: &[Row<Matching>] = &[
    row("str", METHOD).doc("Equal.").parse(Matching::Exact),
    row("beg", METHOD).doc("Begins with.").parse(Matching::Begins),
    row("end", METHOD).doc("Ends with.").parse(Matching::Ends),
    row("sub", METHOD).doc("Contains.").parse(Matching::Contains),
    row("dir", METHOD).doc("Equals a part between slashes.").parse(Matching::Directory),
    row("ip", METHOD).doc("Address in network; for `src`.").parse(Matching::Network),
    super::table::refused("found", METHOD, USE_STRINGS),
    super::table::refused("bool", METHOD, USE_STRINGS),
    super::table::refused("int", METHOD, USE_STRINGS),
    super::table::refused("bin", METHOD, USE_STRINGS),
    super::table::refused("len", METHOD, USE_STRINGS),
    super::table::refused("dom", METHOD, USE_STRINGS),
    super::table::refused("reg", METHOD, USE_STRINGS),
];

fn method_of(word: &Word, sample: &Sample) -> Result<Matching, Diagnostic> {
    let (matching, _) = METHODS.supported(&word.text, word.span)?;
    let is_address = matches!(sample, Sample::Source);
    if is_address != (matching == Matching::Network) {
        return Err(Diagnostic::error(
            word.span,
            format!("this criterion cannot be compared with `-m {}`", word.text),
        )
        .help("`-m ip` belongs to `src`, all others to text"));
    }
    Ok(matching)
}

fn patterns(flags: &Flags<'_>, matching: Matching) -> Result<Vec<String>, Diagnostic> {
    let mut patterns = Vec::with_capacity(flags.patterns.len());
    for word in flags.patterns {
        if matching == Matching::Network {
            let (address, length) = value::network(&word.text, word.span)?;
            patterns.push(format!("{address}/{length}"));
        } else {
            patterns.push(word.text.clone());
        }
    }
    Ok(patterns)
}
