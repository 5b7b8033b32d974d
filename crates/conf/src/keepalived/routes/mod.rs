//! The lines of `virtual_routes` and of `static_routes`: the words of `ip route add`.

mod hops;
mod metrics;

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::vrrp::{Family, NextHop, RouteKind, VirtualRoute};

use super::addresses::misplaced;
use super::lexer::Word;
use super::options::{Claim, Options, Place, network, realms};
use super::reader::Reader;
use super::structure::Statement;
use super::surroundings::Name;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::suggest;

/// Keepalived's own number among the makers of routes (rt_protos).
pub(crate) const KEEPALIVED: u8 = 18;

/// Words that suggestions are made from; those of `metrics` come on top.
const OPTIONS: &[&str] = &[
    "to",
    "via",
    "dev",
    "oif",
    "src",
    "from",
    "table",
    "scope",
    "protocol",
    "metric",
    "tos",
    "dsfield",
    "nexthop",
    "onlink",
    "realms",
    "expires",
    "pref",
    "ttl-propagate",
    "append",
    "prepend",
    "add",
    "no_track",
    "inet",
    "inet6",
    "default",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "mtu",
    "advmss",
    "hoplimit",
    "rtt",
    "rttvar",
    "features",
    "quickack",
    "congctl",
];

const KINDS: &[(&str, RouteKind)] = &[
    ("unicast", RouteKind::Unicast),
    ("local", RouteKind::Local),
    ("broadcast", RouteKind::Broadcast),
    ("brd", RouteKind::Broadcast),
    ("anycast", RouteKind::Anycast),
    ("multicast", RouteKind::Multicast),
    ("blackhole", RouteKind::Blackhole),
    ("unreachable", RouteKind::Unreachable),
    ("prohibit", RouteKind::Prohibit),
    ("throw", RouteKind::Throw),
];

/// Reads every line of the block.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    place: Place,
    to: &mut Vec<Spanned<VirtualRoute>>,
) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        if let Some(value) = route(reader, line, place) {
            to.push(Spanned { value, span: line.header() });
        }
    }
}

/// A route that is being read.
struct Draft {
    route: VirtualRoute,
    family: Claim,
    place: Place,
    /// `via`, `dev` and `onlink` of a route without `nexthop`.
    hop: NextHop,
    has_destination: bool,
    /// `or` was written.
    has_or: bool,
}

fn route(reader: &mut Reader<'_>, line: &Statement<'_>, place: Place) -> Option<VirtualRoute> {
    let mut draft = Draft {
        route: VirtualRoute::new(Family::Ipv4, None),
        family: Claim::default(),
        place,
        hop: NextHop { weight: 1, ..NextHop::default() },
        has_destination: false,
        has_or: false,
    };
    let mut options = Options::new(line.words());
    while let Some(option) = options.next() {
        draft.read(reader, &mut options, option)?;
    }
    draft.finish(reader, line)
}

impl Draft {
    /// Reads one option; nothing when what follows belongs to a mistake.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        if metrics::read(reader, options, option, &mut self.route)? {
            return Some(());
        }
        let Draft { route, family, hop, .. } = self;
        match option.text.as_ref() {
            "inet" => family.claim(reader, Family::Ipv4, option.span),
            "inet6" => family.claim(reader, Family::Ipv6, option.span),
            "src" => {
                let word = options.value(reader, option)?;
                route.source = family.address(reader, word);
            }
            "via" | "gw" => hop.gateway = hops::gateway(reader, options, option, family),
            "from" => {
                family.claim(reader, Family::Ipv6, option.span);
                let word = options.value(reader, option)?;
                route.from = network(reader, word, family)?.prefix();
            }
            "tos" | "dsfield" => {
                route.tos = options.named_byte(reader, option, Name::Dsfield).unwrap_or_default();
            }
            "table" => route.table = options.named(reader, option, Name::Table),
            "protocol" => route.protocol = options.named_byte(reader, option, Name::Protocol),
            "scope" => route.scope = options.named_byte(reader, option, Name::Scope),
            "metric" | "priority" | "preference" => {
                route.metric = options.number(reader, option, 0..=u32::MAX);
            }
            "dev" | "oif" => hop.interface = options.interface(reader, option),
            "onlink" => hop.onlink = true,
            "realms" => {
                family.claim(reader, Family::Ipv4, option.span);
                let word = options.value(reader, option)?;
                route.realms = realms(reader, word);
            }
            "expires" => {
                family.claim(reader, Family::Ipv6, option.span);
                route.expires = options.number(reader, option, 0..=u32::MAX);
            }
            "pref" => {
                family.claim(reader, Family::Ipv6, option.span);
                let word = options.value(reader, option)?;
                route.preference = preference(reader, word);
            }
            "ttl-propagate" => {
                let word = options.value(reader, option)?;
                route.ttl_propagate = enabled(reader, word);
            }
            "add" => (route.exclusive, route.append) = (true, false),
            "append" => (route.exclusive, route.append) = (false, true),
            "prepend" => (route.exclusive, route.append) = (false, false),
            "no_track" => route.track = false,
            "or" => self.or(reader, options, option)?,
            "nexthop" => self.next_hops(reader, options, option)?,
            "track_group" => self.track_group(reader, options, option)?,
            "encap" | "as" | "vrf" | "nhid" => return refuse(reader, option),
            _ => self.destination(reader, options, option)?,
        }
        Some(())
    }

    /// `[to] [KIND] NETWORK`
    fn destination(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        let mut word = option;
        if word.text == "to" {
            word = options.value(reader, option)?;
        }
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word.text) {
            self.route.kind = *kind;
            word = options.value(reader, word)?;
        }
        let looks_like_one = word.text.contains(['.', ':', '/'])
            || ["default", "default6", "any", "all"].contains(&word.text.as_ref());
        if !looks_like_one {
            let help = suggest::did_you_mean(&word.text, OPTIONS.iter().copied())
                .unwrap_or_else(|| "write one route per line, as after ip route add".to_string());
            let message = format!("unknown option \"{}\" of a route", word.text);
            reader.error(word.span, message, &help);
            return None;
        }
        self.route.destination = network(reader, word, &mut self.family)?.prefix();
        self.has_destination = true;
        Some(())
    }

    /// `or ADDRESS`: a second gateway, as Keepalived had it before `nexthop`.
    fn or(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        let word = options.value(reader, option)?;
        let gateway = self.family.address(reader, word);
        let message = "or is an old word, and takes one more gateway only".to_string();
        reader.warning(option.span, message, "write nexthop via ADDRESS for each gateway");
        if !self.has_or {
            let first =
                NextHop { gateway: self.hop.gateway.take(), weight: 1, ..NextHop::default() };
            let second = NextHop { gateway, weight: 1, ..NextHop::default() };
            self.route.next_hops = alloc::vec![first, second];
            self.has_or = true;
        }
        Some(())
    }

    /// `nexthop ...`, to the end of the line.
    fn next_hops(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        if self.has_or {
            let message = "nexthop and or cannot stand together".to_string();
            reader.error(option.span, message, "write nexthop via ADDRESS for each gateway");
            return None;
        }
        self.route.next_hops = hops::read(reader, options, &mut self.family)?;
        Some(())
    }

    fn track_group(
        &mut self,
        reader: &mut Reader<'_>,
        options: &mut Options<'_, '_>,
        option: &Word<'_>,
    ) -> Option<()> {
        if self.place == Place::Virtual {
            let (message, help) = misplaced("track_group");
            reader.error(option.span, message, help);
            return None;
        }
        let word = options.value(reader, option)?;
        self.route.track_group = Some(word.text.to_string());
        Some(())
    }

    fn finish(mut self, reader: &mut Reader<'_>, line: &Statement<'_>) -> Option<VirtualRoute> {
        let span = line.header();
        if !self.has_destination {
            let message = "this route leads nowhere".to_string();
            reader.error(span, message, "write a network, an address or default");
            return None;
        }
        self.route.family = self.family.family();
        let has_hop = self.hop.gateway.is_some() || self.hop.interface.is_some();
        let has_interface = self.hop.interface.is_some();
        if self.has_or {
            // The interface of the line is that of both gateways.
            for hop in &mut self.route.next_hops {
                hop.interface.clone_from(&self.hop.interface);
                hop.onlink = self.hop.onlink;
            }
        } else if self.route.next_hops.is_empty() && has_hop {
            self.route.next_hops.push(self.hop);
        }
        check_tracking(reader, line, &mut self.route, has_interface);
        Some(self.route)
    }
}

/// Keepalived's rules of what can be tracked: routes of its own, on a known interface.
fn check_tracking(
    reader: &mut Reader<'_>,
    line: &Statement<'_>,
    route: &mut VirtualRoute,
    has_interface: bool,
) {
    let span = line.header();
    if route.track && route.protocol.take().is_some_and(|protocol| protocol != KEEPALIVED) {
        let message = "a tracked route has the protocol keepalived".to_string();
        reader.warning(span, message, "remove protocol, or write no_track");
    }
    if route.track && !has_interface {
        let message = "this route is not tracked: it names no interface";
        let help = "write dev INTERFACE, or no_track to say so";
        reader.diagnostics.push(Diagnostic::note(span, message).help(help));
        route.track = false;
    }
    if !has_interface && route.track_group.take().is_some() {
        let message = "track_group has no effect without dev".to_string();
        reader.warning(span, message, "write dev INTERFACE");
    }
}

/// What the kernel objects cannot do.
fn refuse(reader: &mut Reader<'_>, option: &Word<'_>) -> Option<()> {
    let help = match option.text.as_ref() {
        "encap" => "make a tunnel interface, and write dev with its name",
        "as" => "translate addresses with nftables",
        "nhid" => "write via ADDRESS dev INTERFACE, or nexthop for each gateway",
        _ => "write table with the number of the routing domain's table",
    };
    let message = format!("{} is not supported in routes", option.text);
    reader.error(option.span, message, help);
    None
}

/// `low`, `medium`, `high` or a number, as RFC 4191 2.1 counts them.
fn preference(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<u8> {
    match word.text.as_ref() {
        "medium" => Some(0),
        "high" => Some(1),
        "low" => Some(3),
        _ => {
            let number = reader.number_of(word, "low, medium, high or a number", 0..=255)?;
            u8::try_from(number).ok()
        }
    }
}

fn enabled(reader: &mut Reader<'_>, word: &Word<'_>) -> Option<bool> {
    match word.text.as_ref() {
        "enabled" => Some(true),
        "disabled" => Some(false),
        other => {
            let message = format!("\"{other}\" is neither enabled nor disabled");
            reader.error(word.span, message, "write enabled or disabled");
            None
        }
    }
}
