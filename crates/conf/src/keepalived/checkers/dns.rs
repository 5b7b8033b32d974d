//! DNS_CHECK.

use alloc::format;
use alloc::string::ToString;

use model::check::DnsCheck;

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, RealServer};
use crate::keepalived::keyword::section::{DNS_CHECK, REAL_SERVER};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::suggest;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("DNS_CHECK", &[REAL_SERVER]).syntax("{ ... }").example("{ type A; name example.com }")
        .doc("The server is up when it answers a question over UDP without an error.")
        .parse(Rule::blocks(Fill::RealServer(dns_check), DNS_CHECK)),
    keyword("type", &[DNS_CHECK]).syntax("A|NS|CNAME|SOA|MX|TXT|AAAA|RRSIG|DNSKEY").example("A")
        .default("SOA")
        .doc("What kind of record is asked for.")
        .parse(Rule::value(Fill::Dns(record_type))),
    keyword("name", &[DNS_CHECK]).syntax("NAME").example("www.example.com").default(".")
        .doc("Whose record is asked for; a dot for the root.")
        .parse(Rule::value(Fill::Dns(name))),
];

/// Numbers of the types (RFC 1035 3.2.2, RFC 3596 2.1, RFC 4034 2 and 3).
const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("RRSIG", 46),
    ("DNSKEY", 48),
];
const SOA: u16 = 6;

/// Longest name in presentation form, without the final dot (RFC 1035 2.3.4).
const NAME_MAX: usize = 253;
/// Longest label (RFC 1035 2.3.4).
const LABEL_MAX: usize = 63;

fn dns_check(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    let mut dns = DnsCheck { record_type: SOA, name: ".".to_string() };
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Dns(parse) = fill {
            parse(reader, statement, &mut dns);
        }
    });
    to.check(Checker { common, kind: CheckerKind::Dns(dns) });
}

fn record_type(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut DnsCheck) {
    let Some(word) = reader.argument(statement, "a record type") else { return };
    let found = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word.text));
    let Some((_, number)) = found else {
        let names = TYPES.iter().map(|(name, _)| *name);
        let help = suggest::did_you_mean(&word.text, names)
            .unwrap_or_else(|| "use A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG or DNSKEY".into());
        reader.error(word.span, format!("unknown record type \"{}\"", word.text), &help);
        return;
    };
    to.record_type = *number;
}

fn name(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut DnsCheck) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    match mistake(&word.text) {
        None => to.name = word.text.to_string(),
        Some(mistake) => {
            let message = format!("\"{}\" {mistake}", word.text.escape_debug());
            reader.error(
                word.span,
                message,
                "write a name like www.example.org, or . for the root",
            );
        }
    }
}

/// What is wrong with a name for the domain name system.
fn mistake(name: &str) -> Option<&'static str> {
    if name == "." {
        return None;
    }
    let relative = name.strip_suffix('.').unwrap_or(name);
    if relative.split('.').any(str::is_empty) {
        return Some("has an empty label");
    }
    if relative.len() > NAME_MAX || relative.split('.').any(|label| label.len() > LABEL_MAX) {
        return Some("is too long: 63 bytes for a label and 253 in all");
    }
    let odd = |c: char| !c.is_ascii_graphic() || c == '\\';
    relative.contains(odd).then_some("has characters that no name has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_labels_of_the_length_that_packets_have_room_for() {
        for good in [".", "example.com", "example.com.", "_sip._tcp.example.com"] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for bad in ["..", ".a", "a..b", "a b", "a\\.b", "bücher.example"] {
            assert!(mistake(bad).is_some(), "{bad}");
        }
        assert_eq!(mistake(&"a".repeat(63)), None);
        assert!(mistake(&"a".repeat(64)).is_some());
        assert!(mistake(&"a.".repeat(127)).is_none());
        assert!(mistake(&"a.".repeat(128)).is_some());
    }
}
