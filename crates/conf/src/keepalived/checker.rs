//! TCP_CHECK and HTTP_GET.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use model::check::UrlCheck;

use super::ast::{Checker, RealServer, Timers, Written};
use super::keyword::section::{HTTP_GET, REAL_SERVER, TCP_CHECK, URL};
use super::keyword::{Fill, KeywordRow, Rule, keyword};
use super::lexer::Word;
use super::reader::Reader;
use super::structure::Statement;

/// Both checkers.
const CHECKERS: &[&str] = &[TCP_CHECK, HTTP_GET];

pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("TCP_CHECK", &[REAL_SERVER])
        .example("{ }")
        .syntax("{ ... }")
        .doc("The server is up when a TCP connection opens.")
        .parse(Rule::blocks(Fill::RealServer(tcp_check), TCP_CHECK)),
    keyword("HTTP_GET", &[REAL_SERVER])
        .example("{ url { path /; status_code 200 } }")
        .syntax("{ ... }")
        .doc("The server is up when every page answers as it should.")
        .parse(Rule::blocks(Fill::RealServer(http_get), HTTP_GET)),
    keyword("connect_port", CHECKERS)
        .example("8080")
        .syntax("PORT")
        .default("the real server's")
        .doc("Port the check connects to.")
        .parse(Rule::value(Fill::Checker(connect_port))),
    keyword("connect_ip", CHECKERS)
        .example("10.0.0.9")
        .syntax("ADDRESS")
        .default("the real server's")
        .doc("Address the check connects to.")
        .parse(Rule::value(Fill::Checker(connect_ip))),
    keyword("bindto", CHECKERS)
        .example("10.0.0.8")
        .syntax("ADDRESS")
        .default("chosen by the system")
        .doc("Address the check connects from.")
        .parse(Rule::value(Fill::Checker(bind_to))),
    keyword("bind_port", CHECKERS)
        .example("40000")
        .syntax("PORT")
        .default("chosen by the system")
        .doc("Port the check connects from.")
        .parse(Rule::value(Fill::Checker(bind_port))),
    keyword("url", &[HTTP_GET])
        .example("{ path /status; status_code 200 }")
        .syntax("{ ... }")
        .doc("One page that is fetched.")
        .parse(Rule::blocks(Fill::Checker(url), URL)),
    keyword("path", &[URL])
        .example("/status")
        .syntax("PATH")
        .default("/")
        .doc("Path of the page, query included.")
        .parse(Rule::value(Fill::Url(path))),
    keyword("digest", &[URL])
        .example("640205b7b0fc66c1ea91c463fac6334d")
        .syntax("MD5")
        .doc("MD5 of the page's body in hexadecimal, as genhash prints it.")
        .parse(Rule::value(Fill::Url(digest))),
    keyword("status_code", &[URL])
        .example("204")
        .syntax("CODE|FIRST-LAST")
        .default("200-299")
        .doc("HTTP status codes that are accepted.")
        .parse(Rule::value(Fill::Url(status_code))),
];

/// One `url` block.
#[derive(Debug, Default)]
pub(crate) struct Url {
    path: Option<String>,
    digest: Option<[u8; 16]>,
    status: Option<(u16, u16)>,
    pub(crate) virtual_host: Option<String>,
}

fn tcp_check(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut RealServer) {
    checker(reader, statement, server, None);
}

fn http_get(reader: &mut Reader<'_>, statement: &Statement<'_>, server: &mut RealServer) {
    let has_url = checker(reader, statement, server, Some(Vec::new()));
    if !has_url {
        let help = "write url { path / } in it, or use TCP_CHECK";
        reader.error(statement.header(), "HTTP_GET without a url tests nothing".to_string(), help);
    }
}

fn checker(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    server: &mut RealServer,
    urls: Option<Vec<UrlCheck>>,
) -> bool {
    reader.no_more(statement, 0);
    let mut checker = Checker {
        span: statement.header(),
        urls,
        connect_ip: None,
        connect_port: None,
        bind_address: None,
        bind_port: None,
        virtual_host: None,
        timers: Timers::default(),
        written: Written::default(),
    };
    let block = reader.block(statement);
    checker.written = reader.fields(block, |reader, statement, fill| match fill {
        Fill::Checker(parse) => parse(reader, statement, &mut checker),
        Fill::Timers(parse) => parse(reader, statement, &mut checker.timers),
        _ => {}
    });
    let has_url = checker.urls.as_ref().is_some_and(|urls| !urls.is_empty());
    server.checkers.push(checker);
    has_url
}

fn connect_port(reader: &mut Reader<'_>, statement: &Statement<'_>, checker: &mut Checker) {
    checker.connect_port = reader.port(statement);
}

fn connect_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, checker: &mut Checker) {
    checker.connect_ip = reader.host_address(statement).map(IpAddr::V4);
}

fn bind_to(reader: &mut Reader<'_>, statement: &Statement<'_>, checker: &mut Checker) {
    checker.bind_address = reader.host_address(statement).map(IpAddr::V4);
}

fn bind_port(reader: &mut Reader<'_>, statement: &Statement<'_>, checker: &mut Checker) {
    checker.bind_port = reader.port(statement);
}

fn url(reader: &mut Reader<'_>, statement: &Statement<'_>, checker: &mut Checker) {
    reader.no_more(statement, 0);
    let mut url = Url::default();
    let block = reader.block(statement);
    reader.fields(block, |reader, statement, fill| {
        if let Fill::Url(parse) = fill {
            parse(reader, statement, &mut url);
        }
    });
    let urls = checker.urls.get_or_insert_with(Vec::new);
    urls.push(UrlCheck {
        path: url.path.unwrap_or_else(|| "/".to_string()),
        virtual_host: url.virtual_host,
        digest: url.digest,
        status: url.status.into_iter().collect(),
        pattern: None,
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
    let Some(word) = reader.first_argument(statement, "a status code") else { return };
    if statement.arguments().len() > 1 {
        let message = "several status codes are not supported by this version".to_string();
        let help = "write one code or one range, such as 200-299";
        reader.error(statement.header(), message, help);
        return;
    }
    let (first, last) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    let first = status(reader, word, first);
    let last = status(reader, word, last);
    let (Some(first), Some(last)) = (first, last) else { return };
    if first > last {
        let help = format!("did you mean \"{last}-{first}\"?");
        reader.error(word.span, format!("the range {first}-{last} is empty"), &help);
        return;
    }
    url.status = Some((first, last));
}

fn status(reader: &mut Reader<'_>, word: &Word<'_>, text: &str) -> Option<u16> {
    let part = Word { text: text.into(), span: word.span };
    reader.number_of(&part, "a status code", 100..=999).and_then(|code| u16::try_from(code).ok())
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
