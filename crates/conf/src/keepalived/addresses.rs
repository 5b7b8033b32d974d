//! The lines of `virtual_ipaddress`: the words of `ip address add`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::vrrp::{Broadcast, VirtualAddress};

use super::lexer::Word;
use super::reader::Reader;
use super::structure::Statement;
use crate::source::Spanned;
use crate::suggest;

/// Options that take a value and are understood.
const OPTIONS: &[&str] = &["dev", "brd", "broadcast", "label", "scope"];
/// Options of Keepalived that are not.
const REJECTED: &[&str] = &[
    "peer",
    "home",
    "-nodad",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "no_track",
    "preferred_lft",
    "use_vmac",
    "track_group",
];
/// Numbers of the scopes, as in /etc/iproute2/rt_scopes.
const SCOPES: &[(&str, u8)] =
    &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)];

/// Reads every line of the block.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    to: &mut Vec<Spanned<VirtualAddress>>,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        let [first, options @ ..] = line.words() else { continue };
        let address = network(reader, first);
        // The options are read even so: all mistakes at once.
        let value = address.map_or((Ipv4Addr::UNSPECIFIED, 32), |address| address);
        let mut value = VirtualAddress::new(IpAddr::V4(value.0), value.1);
        read_options(reader, options, &mut value);
        if address.is_some() {
            to.push(Spanned { value, span: first.span });
        }
    }
}

/// `ADDRESS[/LENGTH]`
fn network(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = match word.text.split_once('/') {
        None => (word.text.as_ref(), None),
        Some((address, length)) => (address, Some(length)),
    };
    let part = |text: &str| Word { text: String::from(text).into(), span: word.span };
    let address = reader.address(&part(address))?;
    let length = match length {
        None => 32,
        Some(length) => reader.number_of(&part(length), "a prefix length", 1..=32)?,
    };
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        let message = format!("{address} cannot be a virtual address");
        reader.error(word.span, message, "use the address of a host");
        return None;
    }
    Some((address, u8::try_from(length).ok()?))
}

fn read_options(reader: &mut Reader<'_>, options: &[Word<'_>], value: &mut VirtualAddress) {
    let mut rest = options;
    while let [option, after @ ..] = rest {
        rest = after;
        let name = option.text.as_ref();
        if REJECTED.contains(&name) {
            let message = format!("the option {name} is not supported by this version");
            reader.error(option.span, message, "remove it");
            // Its value, if it has one, is not a finding of its own.
            if matches!(name, "peer" | "preferred_lft" | "track_group") {
                rest = rest.get(1..).unwrap_or_default();
            }
            continue;
        }
        if !OPTIONS.contains(&name) {
            let help = suggest::did_you_mean(name, OPTIONS.iter().copied())
                .unwrap_or_else(|| String::from("write one address per line"));
            reader.error(option.span, format!("unknown option \"{name}\" of an address"), &help);
            // What follows belongs to it.
            return;
        }
        let Some((argument, after)) = rest.split_first() else {
            reader.error(option.span, format!("{name} needs a value"), "write it on this line");
            return;
        };
        rest = after;
        option_value(reader, name, argument, value);
    }
}

fn option_value(reader: &mut Reader<'_>, name: &str, word: &Word<'_>, value: &mut VirtualAddress) {
    match name {
        "dev" => value.interface = reader.interface(word),
        "brd" | "broadcast" => value.broadcast = reader.address(word).map(Broadcast::Address),
        "label" => value.label = reader.interface(word),
        _ => {
            let named = SCOPES.iter().find(|(name, _)| *name == word.text).map(|(_, n)| *n);
            match named.or_else(|| word.text.parse().ok()) {
                Some(scope) => value.scope = scope,
                None => {
                    let help = suggest::did_you_mean(&word.text, SCOPES.iter().map(|(n, _)| *n))
                        .unwrap_or_else(|| String::from("use global, site, link, host or nowhere"));
                    reader.error(word.span, format!("unknown scope \"{}\"", word.text), &help);
                }
            }
        }
    }
}
