//! UDP_CHECK.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::check::{UdpCheck, UdpReply};

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, RealServer};
use crate::keepalived::keyword::section::{REAL_SERVER, UDP_CHECK};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("UDP_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ require_reply }")
        .doc("The server is up when a packet is not refused, or with require_reply when it is answered.")
        .parse(Rule::blocks(Fill::RealServer(udp_check), UDP_CHECK)),
    keyword("payload", &[UDP_CHECK]).syntax("HEX ...").example("01 02 a3f").default("random bytes")
        .doc("What is sent: pairs of hexadecimal digits, blanks between them as one likes; a digit alone is a byte.")
        .parse(Rule::value(Fill::Udp(payload))),
    keyword("require_reply", &[UDP_CHECK]).syntax("[HEX ...]").example("01 XX 3x")
        .doc("An answer must come and begin with this, as far as both reach; X stands for any digit.")
        .parse(Rule::value(Fill::Udp(require_reply))),
    keyword("min_reply_length", &[UDP_CHECK]).syntax("0..65535").example("4").default("0")
        .doc("Least length of the answer that require_reply asks for.")
        .parse(Rule::value(Fill::Udp(min_reply_length))),
    keyword("max_reply_length", &[UDP_CHECK]).syntax("0..65535").example("512").default("255")
        .doc("Greatest length of the answer that require_reply asks for.")
        .parse(Rule::value(Fill::Udp(max_reply_length))),
];

/// Keepalived's greatest length of an answer.
const REPLY_LENGTH: u16 = 255;
/// Most bytes in one packet of IPv4 (65,535 less two headers).
const PAYLOAD_MAX: usize = 65_507;

/// `UDP_CHECK` while it is read: the lengths may stand before `require_reply`.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    payload: Option<Vec<u8>>,
    reply: Option<Vec<(u8, u8)>>,
    min_length: Option<u16>,
    max_length: Option<u16>,
}

fn udp_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut udp = Udp::default();
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Udp(parse) = fill {
            parse(reader, statement, &mut udp);
        }
    });
    let min_length = udp.min_length.unwrap_or(0);
    let max_length = udp.max_length.unwrap_or(REPLY_LENGTH);
    if min_length > max_length {
        let message = format!("no answer is {min_length} to {max_length} bytes long");
        reader.error(
            statement.header(),
            message,
            "write a max_reply_length above min_reply_length",
        );
    }
    if udp.reply.is_none() && (udp.min_length.is_some() || udp.max_length.is_some()) {
        let message = "no answer is asked for: its length does not matter".to_string();
        reader.warning(statement.header(), message, "write require_reply, or remove the lengths");
    }
    let reply = udp.reply.map(|bytes| UdpReply { bytes, min_length, max_length });
    let kind = CheckerKind::Udp(UdpCheck { payload: udp.payload, reply });
    to.check(Checker { common, kind });
}

fn payload(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Udp) {
    if reader.first_argument(statement, "hexadecimal digits").is_none() {
        return;
    }
    let Some(bytes) = hex(reader, statement, Digits::Exact) else { return };
    to.payload = Some(bytes.into_iter().map(|(byte, _)| byte).collect());
}

fn require_reply(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Udp) {
    to.reply = hex(reader, statement, Digits::Masked);
}

fn min_reply_length(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Udp) {
    to.min_length = length(reader, statement);
}

fn max_reply_length(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Udp) {
    to.max_length = length(reader, statement);
}

fn length(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<u16> {
    let length = reader.number(statement, "a length", 0..=u32::from(u16::MAX))?;
    u16::try_from(length).ok()
}

/// Whether `X` stands for any digit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Digits {
    Exact,
    Masked,
}

/// Bytes and the bits of them that count.
fn hex(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    digits: Digits,
) -> Option<Vec<(u8, u8)>> {
    let mut bytes = Vec::new();
    for word in statement.arguments() {
        if let Err(odd) = add_word(word, digits, &mut bytes) {
            let message = format!("\"{odd}\" is not a hexadecimal digit");
            let help = match digits {
                Digits::Exact => "use 0 to 9 and a to f",
                Digits::Masked => "use 0 to 9 and a to f, and X for any digit",
            };
            reader.error(word.span, message, help);
            return None;
        }
    }
    if bytes.len() > PAYLOAD_MAX {
        let message = format!("{} bytes are more than a packet has: {PAYLOAD_MAX}", bytes.len());
        reader.error(statement.header(), message, "write fewer");
        return None;
    }
    Some(bytes)
}

/// A word's digits in pairs; the last one alone is the low half of a byte, and the high half is 0.
/// What is wrong is returned.
fn add_word(word: &Word<'_>, digits: Digits, bytes: &mut Vec<(u8, u8)>) -> Result<(), char> {
    // Keepalived reads its arguments as one text: blanks in quotes part bytes as well.
    for part in word.text.split_ascii_whitespace() {
        let mut characters = part.chars();
        while let Some(first) = characters.next() {
            let (high, high_mask) = digit(first, digits)?;
            bytes.push(match characters.next() {
                None => (high, 0xf0 | high_mask),
                Some(second) => {
                    let (low, low_mask) = digit(second, digits)?;
                    (high << 4 | low, high_mask << 4 | low_mask)
                }
            });
        }
    }
    Ok(())
}

/// A digit's value and its bits that count.
fn digit(c: char, digits: Digits) -> Result<(u8, u8), char> {
    if digits == Digits::Masked && c.eq_ignore_ascii_case(&'x') {
        return Ok((0, 0));
    }
    let value = c.to_digit(16).and_then(|value| u8::try_from(value).ok());
    value.map(|value| (value, 0xf)).ok_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileId, Span};

    fn bytes(text: &str, digits: Digits) -> Result<Vec<(u8, u8)>, char> {
        let span = Span { file: FileId::EXPANSION, start: 0, end: 0 };
        let mut bytes = Vec::new();
        add_word(&Word { text: text.into(), span }, digits, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn digits_are_bytes_as_the_manual_reads_them() {
        let read = bytes("Ab12f 3 456 546443123", Digits::Exact).unwrap();
        let values: Vec<u8> = read.iter().map(|(value, _)| *value).collect();
        assert_eq!(values, [0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03]);
        assert!(read.iter().all(|(_, mask)| *mask == 0xff));
    }

    #[test]
    fn an_x_stands_for_any_digit_of_an_answer_only() {
        assert_eq!(bytes("X1xx3X", Digits::Masked), Ok(vec![(1, 0x0f), (0, 0), (0x30, 0xf0)]));
        // The half that is not written is 0 and counts.
        assert_eq!(bytes("x", Digits::Masked), Ok(vec![(0, 0xf0)]));
        assert_eq!(bytes("1x", Digits::Exact), Err('x'));
        assert_eq!(bytes("0g", Digits::Masked), Err('g'));
    }
}
