//! `virtual_server_group`: addresses, ranges, networks and firewall marks served alike.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use model::vrrp::Family;

use crate::keepalived::ast::{
    AddressRange, Configuration, GroupEntry, ServerGroup, bits, with_bits,
};
use crate::keepalived::keyword::section::{SERVER_GROUP, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::virtual_server::MARK;
use crate::keepalived::vrrp::name;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("virtual_server_group", &[TOP])
        .syntax("NAME { ADDRESS|FIRST-LAST|NETWORK/LENGTH [PORT] | fwmark MARK [inet|inet6] ... }")
        .example("web { 192.0.2.200 80 }")
        .doc("Addresses and firewall marks that virtual_server group NAME serves alike: with the \
              same real servers, checked once. FIRST-LAST is 192.0.2.1-10 or \
              192.0.2.1-192.0.3.10, of IPv6 2001:db8::1-ff (hexadecimal); a network means each of \
              its addresses.")
        .parse(Rule::blocks(Fill::Top(virtual_server_group), SERVER_GROUP)),
];

fn virtual_server_group(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut Configuration,
) {
    let Some(name) = name(reader, statement) else { return };
    let mut group = ServerGroup { name, entries: Vec::new(), has_mistakes: false };
    for line in reader.block(statement) {
        match entry(reader, line.words()) {
            Some(entry) => group.entries.push(entry),
            None => group.has_mistakes = true,
        }
    }
    if group.entries.is_empty() && !group.has_mistakes {
        let message = format!("virtual_server_group {} has no addresses", group.name.value);
        reader.error(statement.header(), message, "write ADDRESS PORT in it, one per line");
    }
    to.server_groups.push(group);
}

/// `ADDRESS|RANGE|NETWORK [PORT]`, or `fwmark MARK [inet|inet6]`
fn entry(reader: &mut Reader<'_>, words: &[Word<'_>]) -> Option<Spanned<GroupEntry>> {
    let (first, rest) = words.split_first()?;
    if first.text == "fwmark" {
        return marked(reader, first, rest);
    }
    if let [_, extra, ..] = rest {
        let message = format!("unexpected \"{}\" after the port", extra.text);
        reader.error(extra.span, message, "write one address or range per line");
    }
    let addresses = addresses(reader, first);
    let (port, end) = match rest.first() {
        None => (None, first.span),
        Some(word) => (Some(reader.port_of(word, 0)?).filter(|&port| port != 0), word.span),
    };
    let (first_address, last) = addresses?;
    let value = GroupEntry::Addresses(AddressRange { first: first_address, last, port });
    Some(Spanned { value, span: first.span.to(end) })
}

/// What stands after `fwmark`.
fn marked(
    reader: &mut Reader<'_>,
    keyword: &Word<'_>,
    words: &[Word<'_>],
) -> Option<Spanned<GroupEntry>> {
    let [mark, rest @ ..] = words else {
        let message = "fwmark needs a mark".to_string();
        reader.error(keyword.span, message, "write the number that the firewall sets");
        return None;
    };
    let family = match rest {
        [] => None,
        [word] if word.text == "inet" => Some(Family::Ipv4),
        [word] if word.text == "inet6" => Some(Family::Ipv6),
        [word, ..] => {
            let message = format!("unexpected \"{}\" after the mark", word.text);
            reader.error(word.span, message, "write inet, inet6 or nothing");
            return None;
        }
    };
    let value = GroupEntry::Mark(reader.number_of(mark, MARK, 1..=u32::MAX)?, family);
    Some(Spanned { value, span: keyword.span.to(rest.last().unwrap_or(mark).span) })
}

/// The first and the last address.
fn addresses(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<(IpAddr, IpAddr)> {
    if let Some((network, length)) = word.text.split_once('/') {
        let network = reader.ip(&part(word, network))?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let length = reader.number_of(&part(word, length), "a prefix length", 1..=most)?;
        return self::network(reader, word, network, length);
    }
    let Some((first, last)) = word.text.split_once('-') else {
        let address = reader.ip(word)?;
        return Some((address, address));
    };
    let first = reader.ip(&part(word, first))?;
    let last = if last.contains(['.', ':']) {
        reader.ip(&part(word, last))?
    } else {
        last_of(reader, first, &part(word, last))?
    };
    if last.is_ipv4() != first.is_ipv4() {
        let message = format!("{first} and {last} are not of the same family");
        reader.error(word.span, message, "write a range of IPv4 or of IPv6");
        return None;
    }
    if last < first {
        let message = format!("the range {} ends before it begins", word.text);
        reader.error(word.span, message, &format!("did you mean {last}-{first}?"));
        return None;
    }
    Some((first, last))
}

/// The address whose last byte, or last group of IPv6, is this one.
fn last_of(reader: &mut Reader<'_>, first: IpAddr, word: &Word<'_>) -> Option<IpAddr> {
    let last = match first {
        IpAddr::V4(_) => {
            let byte = reader.number_of(word, "the last byte of an address", 0..=255)?;
            bits(first) & !0xff | u128::from(byte)
        }
        IpAddr::V6(_) => {
            let Ok(group) = u16::from_str_radix(&word.text, 16) else {
                let message = format!("\"{}\" is not the last group of an address", word.text);
                reader.error(word.span, message, "write 1 to 4 hexadecimal digits after the -");
                return None;
            };
            bits(first) & !0xffff | u128::from(group)
        }
    };
    Some(with_bits(first, last))
}

/// Every address of a network, those of all zeros and all ones too, as Keepalived has it.
fn network(
    reader: &mut Reader<'_>,
    word: &Word<'_>,
    network: IpAddr,
    length: u32,
) -> Option<(IpAddr, IpAddr)> {
    let bits_of_family = if network.is_ipv4() { 32 } else { 128 };
    // The length is at least 1.
    let hosts = (1 << (bits_of_family - length)) - 1;
    if bits(network) & hosts != 0 {
        let base = with_bits(network, bits(network) & !hosts);
        let message = format!("{} is not the first address of its network", word.text);
        let help = format!("write {base}/{length} for the network, or {network} for the address");
        reader.error(word.span, message, &help);
        return None;
    }
    Some((network, with_bits(network, bits(network) | hosts)))
}

fn part<'a>(word: &Word<'_>, text: &str) -> Word<'a> {
    Word { text: String::from(text).into(), span: word.span }
}
