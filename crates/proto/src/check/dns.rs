//! DNS_CHECK: a name server answers a question over UDP (RFC 1035 4.1).

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use model::check::DnsCheck;

use super::probe::Step;
use super::random::Random;
use super::words::{Text, no_answer, seconds};

/// Bytes of the header.
const HEADER: usize = 12;
/// Longest label of a name, and longest name with all its length bytes (RFC 1035 2.3.4).
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 255;
/// Recursion is desired, as Keepalived asks.
const FLAGS: [u8; 2] = [0x01, 0x00];
const CLASS_INTERNET: [u8; 2] = [0, 1];

#[derive(Debug)]
pub(super) struct DnsProbe {
    /// The query as it is sent; none when the name cannot be one.
    query: Option<Vec<u8>>,
    /// Why the last datagram was no answer to it.
    stray: Option<Stray>,
}

/// Why a datagram is no answer to our question. It is passed over: anybody may have sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stray {
    Short,
    Identifier,
    Query,
    Question,
}

impl DnsProbe {
    pub(super) fn new(dns: &DnsCheck, random: &mut Random) -> DnsProbe {
        DnsProbe { query: query(dns, random.bytes()), stray: None }
    }

    pub(super) fn handle_open(&self) -> Step {
        match &self.query {
            Some(query) => Step::Send(query.clone()),
            None => Step::Fail("no name that can be asked for".into()),
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Step {
        let Some(query) = &self.query else {
            return Step::Wait;
        };
        match read_answer(query, bytes) {
            Err(stray) => {
                self.stray = Some(stray);
                Step::Wait
            }
            // As Keepalived: a truncated answer is one, and one without records as well.
            Ok(0) => Step::Pass("answered".into()),
            Ok(code) => Step::Fail(response_code(code)),
        }
    }

    pub(super) fn handle_late(&self, within: Duration) -> Step {
        let why = match self.stray {
            None => return Step::Fail(no_answer(within)),
            Some(Stray::Short) => "too short a packet",
            Some(Stray::Identifier) => "an answer with another identifier",
            Some(Stray::Query) => "a query",
            Some(Stray::Question) => "an answer to another question",
        };
        Step::Fail(format!("no answer within {}, only {why}", seconds(within)).into())
    }
}

/// The query: one question, class IN. None when the name has an empty or too long label, or is
/// itself too long.
fn query(dns: &DnsCheck, identifier: [u8; 2]) -> Option<Vec<u8>> {
    let mut query = Vec::with_capacity(HEADER + dns.name.len() + 6);
    query.extend(identifier);
    query.extend(FLAGS);
    query.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    let name = dns.name.strip_suffix('.').unwrap_or(&dns.name);
    if !name.is_empty() {
        for label in name.split('.') {
            let length = u8::try_from(label.len()).ok()?;
            if length == 0 || label.len() > LABEL_MAX {
                return None;
            }
            query.push(length);
            query.extend(label.as_bytes());
        }
    }
    query.push(0);
    if query.len() - HEADER > NAME_MAX {
        return None;
    }
    query.extend(dns.record_type.to_be_bytes());
    query.extend(CLASS_INTERNET);
    Some(query)
}

/// The response code of an answer to this query, or why it is none.
fn read_answer(query: &[u8], answer: &[u8]) -> Result<u8, Stray> {
    let (Some((header, rest)), Some((asked, question))) =
        (answer.split_first_chunk::<HEADER>(), query.split_first_chunk::<HEADER>())
    else {
        return Err(Stray::Short);
    };
    let [first, second, flags, codes, questions_high, questions_low, ..] = *header;
    if [first, second] != asked[..2] {
        return Err(Stray::Identifier);
    }
    // QR says that it is a response; the opcode is that of a standard query.
    if flags & 0x80 == 0 || flags & 0x78 != 0 {
        return Err(Stray::Query);
    }
    let code = codes & 0x0f;
    match u16::from_be_bytes([questions_high, questions_low]) {
        // A server that could not read the query, or refuses it, may leave it out.
        0 if code != 0 => Ok(code),
        1 => {
            let repeated = rest.get(..question.len()).ok_or(Stray::Short)?;
            // Names are compared without case, and a length byte is below every letter.
            let same = repeated.eq_ignore_ascii_case(question);
            if same { Ok(code) } else { Err(Stray::Question) }
        }
        _ => Err(Stray::Question),
    }
}

/// In words (IANA: DNS RCODEs).
fn response_code(code: u8) -> Text {
    match code {
        1 => "answered FORMERR".into(),
        2 => "answered SERVFAIL".into(),
        3 => "answered NXDOMAIN".into(),
        4 => "answered NOTIMP".into(),
        5 => "answered REFUSED".into(),
        other => format!("answered with response code {other}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: &str) -> DnsCheck {
        DnsCheck { record_type: 6, name: name.into() }
    }

    #[test]
    fn queries_are_those_of_rfc_1035() {
        let header = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
        let names: [(&str, &[u8]); 4] = [
            (".", b"\0"),
            ("", b"\0"),
            ("example.org", b"\x07example\x03org\0"),
            ("example.org.", b"\x07example\x03org\0"),
        ];
        for (name, wire) in names {
            let expected = [&header[..], wire, b"\x00\x06\x00\x01"].concat();
            assert_eq!(query(&asking(name), [0x12, 0x34]), Some(expected), "{name:?}");
        }
        let (long, longer) = ("a".repeat(63), "a".repeat(64));
        assert!(query(&asking(&long), [0, 0]).is_some());
        let whole = [long.as_str(); 4].join(".");
        for name in ["a..b", "..", ".a", &longer, &whole] {
            assert_eq!(query(&asking(name), [0, 0]), None, "{name}");
        }
    }

    #[test]
    fn only_an_answer_to_our_question_is_one() {
        let query = query(&asking("Example.org"), [7, 7]).unwrap();
        let answer = |change: fn(&mut Vec<u8>)| {
            let mut answer = query.clone();
            answer[2] |= 0x80;
            change(&mut answer);
            read_answer(&query, &answer)
        };
        assert_eq!(answer(|_| {}), Ok(0));
        assert_eq!(answer(|it| it.extend(b"records")), Ok(0));
        assert_eq!(answer(|it| it[2] |= 0x02), Ok(0), "truncated");
        assert_eq!(answer(|it| it.make_ascii_lowercase()), Ok(0));
        assert_eq!(answer(|it| it[3] = 0x83), Ok(3));
        assert_eq!(answer(|it| it.truncate(11)), Err(Stray::Short));
        assert_eq!(answer(|it| it.truncate(20)), Err(Stray::Short));
        assert_eq!(answer(|it| it[1] = 8), Err(Stray::Identifier));
        assert_eq!(answer(|it| it[2] &= 0x7f), Err(Stray::Query));
        assert_eq!(answer(|it| it[2] |= 0x28), Err(Stray::Query));
        assert_eq!(answer(|it| it[14] = b'f'), Err(Stray::Question));
        assert_eq!(answer(|it| it[5] = 0), Err(Stray::Question));
        assert_eq!(answer(|it| it[5] = 2), Err(Stray::Question));
        let without_question = |it: &mut Vec<u8>| {
            it[5] = 0;
            it[3] = 1;
            it.truncate(HEADER);
        };
        assert_eq!(answer(without_question), Ok(1));
    }
}
