//! Interfaces of the instance's own: `use_vmac`, `use_ipvlan` and what belongs to them.

use alloc::format;
use core::net::IpAddr;
use core::str::FromStr;

use crate::keepalived::ast::{Instance, Ipvlan, Mac, Vmac};
use crate::keepalived::keyword::section::INSTANCE;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("use_vmac", &[INSTANCE])
        .syntax("[NAME] [MAC ADDRESS of 5 or 6 octets]").example("vip51")
        .default("vrrp.ID with 00:00:5e:00:01:ID, for IPv6 00:00:5e:00:02:ID")
        .doc("Adverts are sent from, and addresses go to, a macvlan with the virtual MAC address.")
        .parse(Rule::value(Fill::Instance(use_vmac))),
    keyword("use_vmac_addr", &[INSTANCE])
        .doc("Addresses on other interfaces go to such macvlans there.")
        .parse(Rule::value(Fill::Instance(use_vmac_addr))),
    keyword("vmac_xmit_base", &[INSTANCE])
        .doc("Adverts are sent from the interface under the macvlan.")
        .parse(Rule::value(Fill::Instance(vmac_xmit_base))),
    keyword("use_ipvlan", &[INSTANCE])
        .syntax("[NAME] [ADDRESS[/LENGTH]] [bridge|private|vepa]").example("ipv51 192.0.2.9")
        .default("vrrp.ID, bridge")
        .doc("Adverts are sent from an ipvlan in layer-2 mode; its address is their source.")
        .parse(Rule::value(Fill::Instance(use_ipvlan))),
    keyword("dont_track_primary", &[INSTANCE])
        .doc("No fault while the instance's own interface is down.")
        .parse(Rule::value(Fill::Instance(dont_track_primary))),
];

/// The addresses of RFC 9568 7.3, which only the virtual router id completes.
const RFC_PREFIXES: [[u8; 5]; 2] = [[0, 0, 0x5e, 0, 1], [0, 0, 0x5e, 0, 2]];

fn use_vmac(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.no_more(statement, 2);
    let mut vmac = Vmac { span: statement.header(), name: None, mac: None };
    for word in statement.arguments().iter().take(2) {
        if word.text.contains(':') {
            let mac = mac(reader, word);
            once(reader, word, "MAC address", &mut vmac.mac, mac);
        } else {
            let name = reader.interface(word);
            once(reader, word, "name", &mut vmac.name, name);
        }
    }
    instance.vmac = Some(vmac);
}

/// Keeps the first of several values and reports the others.
fn once<T>(
    reader: &mut Reader<'_>,
    word: &Word<'_>,
    what: &str,
    to: &mut Option<Spanned<T>>,
    value: Option<T>,
) {
    let Some(value) = value else { return };
    if let Some(first) = to {
        let message = format!("{} is a second {what}", word.text);
        let diagnostic = crate::Diagnostic::error(word.span, message);
        let diagnostic = diagnostic.related(first.span, "the first one");
        reader.diagnostics.push(diagnostic.help("keep one of the two"));
        return;
    }
    *to = Some(Spanned { value, span: word.span });
}

fn mac(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<Mac> {
    let Some(mac) = parse_mac(&word.text) else {
        let message = format!("\"{}\" is not a MAC address", word.text);
        let help = "write five or six octets: 02:00:5e:00:01, 02:00:5e:00:01:33";
        reader.error(word.span, message, help);
        return None;
    };
    let five = match mac {
        Mac::Whole([a, b, c, d, e, _]) | Mac::Prefix([a, b, c, d, e]) => [a, b, c, d, e],
    };
    if five[0] & 1 == 1 {
        let message = format!("{} is a multicast address", word.text);
        reader.error(word.span, message, "clear the lowest bit of the first octet");
        return None;
    }
    if RFC_PREFIXES.contains(&five) {
        let message = format!("{} is of the addresses that VRRP chooses itself", word.text);
        reader.error(word.span, message, "leave it out, or write another one");
        return None;
    }
    Some(mac)
}

fn parse_mac(text: &str) -> Option<Mac> {
    // A colon at the end says that the virtual router id follows.
    let text = text.strip_suffix(':').filter(|text| text.split(':').count() == 5).unwrap_or(text);
    let mut octets = [0; 6];
    let mut count = 0;
    for part in text.split(':') {
        let good = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_hexdigit());
        let slot = octets.get_mut(count).filter(|_| good)?;
        *slot = u8::from_str_radix(part, 16).ok()?;
        count += 1;
    }
    let [a, b, c, d, e, _] = octets;
    match count {
        6 => Some(Mac::Whole(octets)),
        5 => Some(Mac::Prefix([a, b, c, d, e])),
        _ => None,
    }
}

fn use_vmac_addr(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.use_vmac_addr = Some(reader.flag(statement));
}

fn vmac_xmit_base(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.vmac_xmit_base = Some(reader.flag(statement));
}

fn use_ipvlan(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let mut ipvlan = Ipvlan { span: statement.header(), name: None, address: None, flags: 0 };
    let mut flags = None;
    for word in statement.arguments() {
        let flag = match word.text.as_ref() {
            "bridge" => Some(0),
            "private" => Some(1),
            "vepa" => Some(2),
            _ => None,
        };
        if flag.is_some() {
            once(reader, word, "mode", &mut flags, flag);
        } else if let Some(address) = prefix(&word.text) {
            once(reader, word, "address", &mut ipvlan.address, Some(address));
        } else {
            let name = reader.interface(word);
            once(reader, word, "name", &mut ipvlan.name, name);
        }
    }
    ipvlan.flags = flags.map_or(0, |flags| flags.value);
    instance.ipvlan = Some(ipvlan);
}

/// `ADDRESS[/LENGTH]`
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address = IpAddr::from_str(address).ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(length) => length.parse::<u8>().ok().filter(|n| *n <= most)?,
        None => most,
    };
    Some((address, length))
}

fn dont_track_primary(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.flag(statement);
    instance.dont_track_primary = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_has_five_or_six_octets() {
        assert_eq!(parse_mac("2:0:5e:0:1:33"), Some(Mac::Whole([2, 0, 0x5e, 0, 1, 0x33])));
        assert_eq!(parse_mac("02:00:5E:00:01"), Some(Mac::Prefix([2, 0, 0x5e, 0, 1])));
        assert_eq!(parse_mac("02:00:5E:00:01:"), Some(Mac::Prefix([2, 0, 0x5e, 0, 1])));
        for wrong in ["", "02:00", "02:00:5e:00:01:33:44", "02:00:5e:00:01:xx", "002:0:0:0:0:0"] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_has_all_bits_unless_it_says_otherwise() {
        assert_eq!(prefix("10.0.0.1"), Some((IpAddr::from([10, 0, 0, 1]), 32)));
        assert_eq!(prefix("10.0.0.1/24"), Some((IpAddr::from([10, 0, 0, 1]), 24)));
        assert_eq!(prefix("10.0.0.1/33"), None);
        assert_eq!(prefix("eth0"), None);
    }
}
