//! The lines of `virtual_ipaddress` and of `static_ipaddress`: the words of `ip address add`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use model::vrrp::{Broadcast, Family, IpPrefix, PreferredLifetime, VirtualAddress};

use super::lexer::Word;
use super::options::{Options, prefix};
use super::reader::Reader;
use super::structure::Statement;
use super::surroundings::Name;
use crate::source::Spanned;
use crate::suggest;

pub(crate) use super::options::Place;

/// The syntax of the blocks.
pub(crate) const SYNTAX: &str = "{ ADDRESS[/LENGTH] [dev INTERFACE] [use_vmac] [brd ADDRESS|+|-] \
                                 [label LABEL] [scope SCOPE] [peer ADDRESS] [home] [-nodad] \
                                 [mngtmpaddr] [noprefixroute] [autojoin] [no_track] \
                                 [preferred_lft SECONDS|forever] ... }";

const OPTIONS: &[&str] = &[
    "dev",
    "brd",
    "broadcast",
    "label",
    "scope",
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

/// Reads every line of the block.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    place: Place,
    to: &mut Vec<Spanned<VirtualAddress>>,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        let [first, options @ ..] = line.words() else { continue };
        let network = own_address(reader, first);
        // The options are read even so: all mistakes at once.
        let IpPrefix { address, length } =
            network.unwrap_or(IpPrefix { address: IpAddr::from([0, 0, 0, 0]), length: 32 });
        let mut value = VirtualAddress::new(address, length);
        let mut options = Options::new(options);
        while let Some(option) = options.next() {
            if read_option(reader, &mut options, option, place, &mut value).is_none() {
                break;
            }
        }
        if network.is_some() {
            check(reader, first, &mut value);
            to.push(Spanned { value, span: first.span });
        }
    }
}

/// `ADDRESS[/LENGTH]`, the address of a host.
fn own_address(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<IpPrefix> {
    let network = prefix(reader, word)?;
    let address = network.address;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        let message = format!("{address} cannot be a virtual address");
        reader.error(word.span, message, "use the address of a host");
        return None;
    }
    Some(network)
}

/// Reads one option; nothing when what follows belongs to a mistake.
fn read_option(
    reader: &mut Reader<'_>,
    options: &mut Options<'_, '_>,
    option: &Word<'_>,
    place: Place,
    value: &mut VirtualAddress,
) -> Option<()> {
    match (option.text.as_ref(), place) {
        ("dev", _) => value.interface = options.interface(reader, option),
        ("brd" | "broadcast", _) => {
            let word = options.value(reader, option)?;
            value.broadcast = broadcast(reader, word, value.address);
        }
        ("label", _) => value.label = options.interface(reader, option),
        ("scope", _) => {
            value.scope = options.named_byte(reader, option, Name::Scope).unwrap_or_default();
        }
        ("peer", _) => {
            let word = options.value(reader, option)?;
            value.peer = peer(reader, word, value.address);
        }
        ("home", _) => value.flags.home = true,
        ("-nodad", _) => value.flags.no_dad = true,
        ("mngtmpaddr", _) => value.flags.manage_temporary = true,
        ("noprefixroute", _) => value.flags.no_prefix_route = true,
        ("autojoin", _) => value.flags.auto_join = true,
        ("no_track", _) => value.track = false,
        ("preferred_lft", _) => {
            let word = options.value(reader, option)?;
            value.preferred = lifetime(reader, word).unwrap_or_default();
        }
        ("use_vmac", Place::Virtual) => value.virtual_mac = true,
        ("track_group", Place::Static) => {
            value.track_group = options.value(reader, option).map(|word| word.text.to_string());
        }
        (name @ ("use_vmac" | "track_group"), _) => {
            let (message, help) = misplaced(name);
            reader.error(option.span, message, help);
            return None;
        }
        (name, _) => {
            let help = suggest::did_you_mean(name, OPTIONS.iter().copied())
                .unwrap_or_else(|| String::from("write one address per line"));
            reader.error(option.span, format!("unknown option \"{name}\" of an address"), &help);
            return None;
        }
    }
    Some(())
}

/// An option that belongs to the other kind of block.
pub(crate) fn misplaced(option: &str) -> (String, &'static str) {
    match option {
        "use_vmac" => {
            ("use_vmac is for virtual addresses only".into(), "move the address into an instance")
        }
        _ => (
            format!("{option} is for static_ipaddress, static_routes and static_rules only"),
            "remove it: the instance tracks what it holds, unless no_track is written",
        ),
    }
}

fn broadcast(reader: &mut Reader<'_>, word: &Word<'_>, own: IpAddr) -> Option<Broadcast> {
    if own.is_ipv6() {
        let message = "IPv6 has no broadcast".to_string();
        reader.error(word.span, message, "remove brd");
        return None;
    }
    match word.text.as_ref() {
        "+" => Some(Broadcast::HostBitsSet),
        "-" => Some(Broadcast::HostBitsClear),
        _ => match reader.ip(word)? {
            IpAddr::V4(address) => Some(Broadcast::Address(address)),
            IpAddr::V6(address) => {
                let message = format!("{address} is no broadcast address");
                reader.error(word.span, message, "write an IPv4 address, + or -");
                None
            }
        },
    }
}

fn peer(reader: &mut Reader<'_>, word: &Word<'_>, own: IpAddr) -> Option<IpPrefix> {
    let address = reader.ip(word)?;
    if Family::of(address) != Family::of(own) {
        let message = format!("{address} and {own} are not of the same family");
        reader.error(word.span, message, "write a peer of the address's own family");
        return None;
    }
    Some(IpPrefix { address, length: if own.is_ipv4() { 32 } else { 128 } })
}

fn lifetime(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<PreferredLifetime> {
    if word.text == "forever" {
        return Some(PreferredLifetime::Forever);
    }
    let seconds = reader.number_of(word, "a number of seconds", 0..=u32::MAX)?;
    Some(PreferredLifetime::Seconds(seconds))
}

/// What does not go together is left out as Keepalived leaves it out.
fn check(reader: &mut Reader<'_>, word: &Word<'_>, value: &mut VirtualAddress) {
    let mut leave_out = |message: String, help: &str| reader.warning(word.span, message, help);
    let address = value.address;
    if let Some(peer) = value.peer {
        if value.broadcast.take().is_some() {
            let message = format!("{address} has a peer: its broadcast address is left out");
            leave_out(message, "remove brd");
        }
        if value.prefix_len != peer.length {
            let message = format!("{address} has a peer: its prefix length is {}", peer.length);
            leave_out(message, "write the address without a slash");
            value.prefix_len = peer.length;
        }
    }
    let computed =
        matches!(value.broadcast, Some(Broadcast::HostBitsSet | Broadcast::HostBitsClear));
    if computed && value.prefix_len > 30 {
        let message = format!("{address}/{} has no broadcast address", value.prefix_len);
        leave_out(message, "remove brd, or write the network's prefix length");
        value.broadcast = None;
    }
    if address.is_ipv6() && value.scope != 0 {
        leave_out(format!("the scope of {address} is left out: IPv6 chooses it"), "remove scope");
        value.scope = 0;
    }
    if address.is_ipv6() && value.label.take().is_some() {
        leave_out(format!("the label of {address} is left out: IPv6 has none"), "remove label");
    }
}
