//! `url` of HTTP_GET and SSL_GET: one page, and what it must look like.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::check::UrlCheck;

use super::http::BOTH;
use super::pattern::{self, Parts};
use crate::keepalived::ast::Http;
use crate::keepalived::keyword::section::URL;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::virtual_server::host;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("url", BOTH).syntax("{ ... }").example("{ path /status; status_code 204 }")
        .doc("One page that is fetched; several are fetched in order.")
        .parse(Rule::blocks(Fill::Http(url), URL)),
    keyword("path", &[URL]).syntax("PATH").example("/status")
        .doc("Path of the page, query included.")
        .parse(Rule::value(Fill::Url(path))),
    keyword("digest", &[URL]).syntax("MD5").example("640205b7b0fc66c1ea91c463fac6334d")
        .doc("MD5 of the page's body in hexadecimal, as genhash prints it.")
        .parse(Rule::value(Fill::Url(digest))),
    keyword("status_code", &[URL]).syntax("CODE|FIRST-LAST ...").example("204 301-302")
        .default("200-299")
        .doc("HTTP status codes that are accepted, 100 to 599.")
        .parse(Rule::values(Fill::Url(status_code))),
    keyword("virtualhost", &[URL]).syntax("HOST").example("www.example.com").default("the check's")
        .doc("Host header for this page.")
        .parse(Rule::value(Fill::Url(virtual_host))),
    keyword("tls_compliant", &[URL]).syntax("[BOOL]").example("").default("the check's").since("2.2.8")
        .doc("As in SSL_GET, for this page; one page that asks for it has it for all of the check.")
        .parse(Rule::value(Fill::Url(tls_compliant))),
    keyword("regex", &[URL]).syntax("PATTERN").example("up")
        .doc("The page's body must match this pattern. Letters, digits and classes are those of Unicode.")
        .parse(Rule::value(Fill::Url(regex))),
    keyword("regex_no_match", &[URL]).example("")
        .doc("The body must not match.")
        .parse(Rule::value(Fill::Url(regex_no_match))),
    keyword("regex_options", &[URL]).syntax("OPTION ...").example("caseless multiline")
        .doc("Options of the pattern (pcre2api(3)): caseless, dollar_endonly, dotall, extended, multiline, ucp, ungreedy, utf; those that change no result are accepted.")
        .parse(Rule::values(Fill::Url(regex_options))),
    keyword("regex_stack", &[URL]).syntax("START MAX").example("32768 65536")
        .doc("Memory for matching.")
        .no_effect("matching is bounded in steps and needs no stack of its own", Rule::value(Fill::Check(regex_stack))),
    keyword("regex_min_offset", &[URL]).syntax("BYTES").example("1").default("0")
        .doc("No match begins before this byte of the body.")
        .parse(Rule::value(Fill::Url(regex_min_offset))),
    keyword("regex_max_offset", &[URL]).syntax("BYTES").example("99")
        .doc("No match begins after this byte of the body.")
        .parse(Rule::value(Fill::Url(regex_max_offset))),
];

/// One `url` block.
#[derive(Debug, Default)]
pub(crate) struct Url {
    path: Option<String>,
    digest: Option<[u8; 16]>,
    status: Vec<(u16, u16)>,
    virtual_host: Option<String>,
    tls_compliant: Option<bool>,
    pattern: Parts,
}

fn url(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    reader.no_more(statement, 0);
    let mut url = Url::default();
    let block = reader.block(statement);
    let written = reader.fields(block, |reader, statement, fill| {
        if let Fill::Url(parse) = fill {
            parse(reader, statement, &mut url);
        }
    });
    if !written.has("path") {
        let message = "this url has no path".to_string();
        reader.error(statement.header(), message, "write path / in it, or the path of a page");
    }
    match (&mut to.check.tls, url.tls_compliant) {
        (Some(tls), Some(compliant)) => tls.compliant |= compliant,
        (None, Some(_)) => {
            let message = "tls_compliant has no effect in HTTP_GET".to_string();
            reader.warning(statement.header(), message, "remove it, or use SSL_GET");
        }
        (_, None) => {}
    }
    to.check.urls.push(UrlCheck {
        path: url.path.unwrap_or_else(|| "/".to_string()),
        virtual_host: url.virtual_host,
        digest: url.digest,
        status: url.status,
        pattern: pattern::compile(reader, statement, url.pattern),
    });
}

fn path(reader: &mut Reader<'_>, statement: &Statement<'_>, url: &mut Url) {
    let Some(word) = reader.argument(statement, "a path") else { return };
    if !word.text.starts_with('/') {
        let help = format!("did you mean \"/{}\"?", word.text);
        reader.error(word.span, format!("the path \"{}\" does not begin with /", word.text), &help);
    } else if word.text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = "a path cannot contain blanks or control characters".to_string();
        reader.error(word.span, message, "write a blank as %20");
    } else {
        url.path = Some(word.text.to_string());
    }
}

fn digest(reader: &mut Reader<'_>, statement: &Statement<'_>, url: &mut Url) {
    let Some(word) = reader.argument(statement, "an MD5 sum") else { return };
    url.digest = parse_digest(&word.text);
    if url.digest.is_none() {
        let message = format!("\"{}\" is not an MD5 sum", word.text);
        reader.error(word.span, message, "write 32 hexadecimal digits, as genhash prints them");
    }
}

fn parse_digest(text: &str) -> Option<[u8; 16]> {
    let mut digest = [0; 16];
    if text.len() != 32 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(digest)
}

fn status_code(reader: &mut Reader<'_>, statement: &Statement<'_>, url: &mut Url) {
    if reader.first_argument(statement, "a status code").is_none() {
        return;
    }
    for word in statement.arguments() {
        let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
        let first = status(reader, word, first);
        let last = first.and_then(|_| status(reader, word, last));
        let (Some(first), Some(last)) = (first, last) else { continue };
        if first > last {
            let help = format!("did you mean \"{last}-{first}\"?");
            reader.error(word.span, format!("the range {first}-{last} is empty"), &help);
            continue;
        }
        url.status.push((first, last));
    }
}

fn status(reader: &mut Reader<'_>, word: &Word<'_>, text: &str) -> Option<u16> {
    let part = Word { text: text.into(), span: word.span };
    reader.number_of(&part, "a status code", 100..=599).and_then(|code| u16::try_from(code).ok())
}

fn virtual_host(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.virtual_host = host(reader, statement);
}

fn tls_compliant(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.tls_compliant = reader.boolean(statement);
}

fn regex(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.pattern.handle_expression(reader, statement);
}

fn regex_no_match(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    reader.flag(statement);
    to.pattern.handle_no_match();
}

fn regex_options(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.pattern.handle_options(reader, statement);
}

fn regex_stack(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.no_more(statement, 2);
    for word in statement.arguments() {
        reader.number_of(word, "a number of bytes", 0..=u32::MAX);
    }
}

fn regex_min_offset(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.pattern.handle_min_offset(reader, statement);
}

fn regex_max_offset(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Url) {
    to.pattern.handle_max_offset(reader, statement);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_thirty_two_hexadecimal_digits() {
        assert_eq!(parse_digest("640205b7b0fc66c1ea91c463fac6334d").unwrap()[..2], [0x64, 0x02]);
        assert_eq!(parse_digest("640205b7b0fc66c1ea91c463fac6334"), None);
        assert_eq!(parse_digest("640205b7b0fc66c1ea91c463fac6334g"), None);
        assert_eq!(parse_digest("é40205b7b0fc66c1ea91c463fac6334"), None);
    }
}
