//! `authentication` and `auth_hmac`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use model::vrrp::{HmacKey, HmacMode};

use super::spanned;
use crate::keepalived::ast::{Authentication, AuthenticationKind, Hmac, Instance, Written};
use crate::keepalived::keyword::section::{AUTHENTICATION, HMAC, INSTANCE};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("authentication", &[INSTANCE])
        .syntax("{ ... }").example("{ auth_type PASS\n auth_pass secret }")
        .doc("How adverts of version 2 are authenticated; no RFC has it since 2004.")
        .parse(Rule::block(Fill::Instance(authentication), AUTHENTICATION)),
    keyword("auth_type", &[AUTHENTICATION]).syntax("PASS|AH").example("PASS")
        .doc("PASS: a password in clear text. AH: an IPsec authentication header, IPv4 only.")
        .parse(Rule::value(Fill::Authentication(auth_type))),
    keyword("auth_pass", &[AUTHENTICATION]).syntax("PASSWORD").example("secret")
        .doc("The password or key, at most 8 characters.")
        .parse(Rule::value(Fill::Authentication(auth_pass))),
    keyword("auth_hmac", &[INSTANCE]).since("2.4.0")
        .syntax("{ ... }").example("{ key 1 0123456789abcdef0123456789abcdef\n active_key 1 }")
        .doc("Signs adverts of every version and family with an HMAC-SHA256.")
        .parse(Rule::block(Fill::Instance(auth_hmac), HMAC)),
    keyword("key", &[HMAC]).since("2.4.0")
        .syntax("1..255 TEXT|hex:DIGITS|file:PATH").example("1 0123456789abcdef0123456789abcdef")
        .doc("A key of 32 to 64 bytes and its number; several for a change of keys.")
        .parse(Rule { fill: Fill::Hmac(key), opens: None, repeats: true }),
    keyword("active_key", &[HMAC]).since("2.4.0").syntax("1..255").example("1")
        .doc("Number of the key that signs.")
        .parse(Rule::value(Fill::Hmac(active_key))),
    keyword("anti_replay", &[HMAC]).since("2.4.0").syntax("time|monotonic").example("monotonic")
        .default("time")
        .doc("Sequence numbers only grow, or are near the clock as well.")
        .parse(Rule::value(Fill::Hmac(anti_replay))),
    keyword("time_window", &[HMAC]).since("2.4.0").syntax("1..300 SECONDS").example("10")
        .default("3 advert intervals, at least 5")
        .doc("How far from the own clock an advert may be.")
        .parse(Rule::value(Fill::Hmac(time_window))),
    keyword("mode", &[HMAC]).since("2.4.0").syntax("enforce|permissive|receive-only")
        .example("permissive").default("enforce")
        .doc("Whether unsigned adverts are taken too, and whether own ones are signed.")
        .parse(Rule::value(Fill::Hmac(mode))),
];

/// Bytes of a key of `auth_hmac`.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 32..=64;

fn authentication(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.no_more(statement, 0);
    let mut authentication = Authentication {
        span: statement.header(),
        kind: None,
        password: None,
        written: Written::default(),
    };
    let block = reader.block(statement);
    authentication.written = reader.fields(block, |reader, statement, fill| {
        if let Fill::Authentication(parse) = fill {
            parse(reader, statement, &mut authentication);
        }
    });
    instance.authentication = Some(authentication);
}

fn auth_type(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Authentication) {
    let choices = [("PASS", AuthenticationKind::Pass), ("AH", AuthenticationKind::Ah)];
    to.kind = reader.choice(statement, &choices, &[]);
}

fn auth_pass(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Authentication) {
    let Some(word) = reader.argument(statement, "a password") else { return };
    to.password = Some(Spanned { value: word.text.to_string(), span: word.span });
}

fn auth_hmac(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.no_more(statement, 0);
    let mut hmac = Hmac {
        span: statement.header(),
        keys: Vec::new(),
        active: None,
        monotonic: false,
        window: None,
        mode: None,
        written: Written::default(),
    };
    let block = reader.block(statement);
    hmac.written = reader.fields(block, |reader, statement, fill| {
        if let Fill::Hmac(parse) = fill {
            parse(reader, statement, &mut hmac);
        }
    });
    instance.hmac = Some(hmac);
}

fn key(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Hmac) {
    let Some(number) = reader.first_argument(statement, "a number and a key") else { return };
    let Some(word) = statement.arguments().get(1) else {
        let message = "key needs a number and a key".to_string();
        reader.error(statement.header(), message, "write both: key 1 hex:0011...");
        return;
    };
    reader.no_more(statement, 2);
    let id = reader.number_of(number, "the number of a key", 1..=255);
    let Some(secret) = secret(reader, word) else { return };
    if !KEY_BYTES.contains(&secret.len()) {
        let message = format!("this key has {} bytes, not 32 to 64", secret.len());
        let help = "make one with: openssl rand -hex 32, and write hex: before it";
        reader.error(word.span, message, help);
        return;
    }
    let Some(id) = id.and_then(|id| u8::try_from(id).ok()) else { return };
    if to.keys.iter().any(|key| key.value.id == id) {
        let message = format!("key {id} is there already");
        reader.error(number.span, message, "give every key a number of its own");
        return;
    }
    to.keys.push(Spanned { value: HmacKey { id, secret }, span: statement.header() });
}

/// The bytes of `TEXT`, `hex:DIGITS` or `file:PATH`.
fn secret(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<Vec<u8>> {
    let Some(path) = word.text.strip_prefix("file:") else {
        return bytes(reader, word, &word.text);
    };
    match reader.surroundings.source.read(path) {
        Ok(text) => bytes(reader, word, text.trim_end_matches(['\n', '\r'])),
        Err(problem) => {
            reader.error(word.span, problem, "write the key into that file, mode 0600");
            None
        }
    }
}

fn bytes(reader: &mut Reader<'_>, word: &Word<'_>, text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("hex:") else { return Some(text.as_bytes().to_vec()) };
    let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| {
            let good = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
            let pair = core::str::from_utf8(pair).ok().filter(|_| good)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect();
    if bytes.is_none() {
        let message = "what follows hex: is no even number of hexadecimal digits".to_string();
        reader.error(word.span, message, "write two digits, 0 to 9 and a to f, for each byte");
    }
    bytes
}

fn active_key(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Hmac) {
    let number = reader.number(statement, "the number of a key", 1..=255);
    to.active = spanned(number.and_then(|n| u8::try_from(n).ok()), statement.header());
}

fn anti_replay(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Hmac) {
    let choices = [("time", false), ("monotonic", true)];
    to.monotonic = reader.choice(statement, &choices, &[]).unwrap_or_default();
}

fn time_window(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Hmac) {
    let seconds = reader.number(statement, "a number of seconds", 1..=300);
    to.window = seconds.map(|seconds| Duration::from_secs(seconds.into()));
}

fn mode(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Hmac) {
    let choices = [
        ("enforce", HmacMode::Enforce),
        ("permissive", HmacMode::Permissive),
        ("receive-only", HmacMode::ReceiveOnly),
    ];
    to.mode = spanned(reader.choice(statement, &choices, &[]), statement.header());
}
