//! Where adverts go and come from: multicast groups, unicast peers, source addresses, checksums.

use alloc::format;
use alloc::string::ToString;
use core::net::IpAddr;

use model::vrrp::{OldChecksum, Peer};

use super::spanned;
use crate::keepalived::ast::Instance;
use crate::keepalived::keyword::section::{INSTANCE, PEERS};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::lexer::Word;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;
use crate::suggest;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("mcast_src_ip", &[INSTANCE]).syntax("ADDRESS").example("192.0.2.7")
        .default("the interface's first address")
        .doc("Source address of adverts.")
        .parse(Rule::value(Fill::Instance(mcast_src_ip))),
    keyword("unicast_src_ip", &[INSTANCE]).syntax("ADDRESS").example("192.0.2.7")
        .default("the interface's first address")
        .doc("Source address of unicast adverts.")
        .parse(Rule::value(Fill::Instance(unicast_src_ip))),
    keyword("track_src_ip", &[INSTANCE])
        .doc("Fault while the source address is on no interface.")
        .parse(Rule::value(Fill::Instance(track_src_ip))),
    keyword("mcast_dst_ip", &[INSTANCE]).syntax("ADDRESS").example("224.0.0.19")
        .default("vrrp_mcast_group4 or vrrp_mcast_group6")
        .doc("Multicast group of adverts; link-local for IPv6.")
        .parse(Rule::value(Fill::Instance(mcast_dst_ip))),
    keyword("unicast_peer", &[INSTANCE])
        .syntax("{ ADDRESS [min_ttl 0..255] [max_ttl 0..255] ... }").example("{ 192.0.2.8 }")
        .doc("Adverts go to these addresses, one per line, and not to a multicast group.")
        .parse(Rule::blocks(Fill::Instance(unicast_peer), PEERS)),
    keyword("unicast_ttl", &[INSTANCE]).syntax("0..255").example("64")
        .default("255; the kernel's for IPv6")
        .doc("TTL or hop limit of unicast adverts.")
        .parse(Rule::value(Fill::Instance(unicast_ttl))),
    keyword("unicast_fault_no_peer", &[INSTANCE])
        .doc("Fault without peers, instead of multicast.")
        .parse(Rule::value(Fill::Instance(unicast_fault_no_peer))),
    keyword("check_unicast_src", &[INSTANCE]).default("vrrp_check_unicast_src")
        .doc("Unicast adverts must come from a peer; min_ttl and max_ttl imply it.")
        .parse(Rule::value(Fill::Instance(check_unicast_src))),
    keyword("old_unicast_checksum", &[INSTANCE]).syntax("[never]").example("never")
        .doc("Sends the checksum of Keepalived before 1.3.7; never: does not take it either.")
        .parse(Rule::value(Fill::Instance(old_unicast_checksum))),
    keyword("v3_checksum_as_v2", &[INSTANCE]).syntax("[BOOL]").example("true").since("2.2.8")
        .doc("Checksum of version 3 over IPv4 without pseudo header, as RFC 9568 has it.")
        .parse(Rule::value(Fill::Instance(v3_checksum_as_v2))),
];

fn mcast_src_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    source(reader, statement, instance);
}

fn unicast_src_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.unicast.wanted.get_or_insert(statement.header());
    source(reader, statement, instance);
}

fn source(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "an IP address") else { return };
    let value = reader.ip(word);
    if let Some(address) = value.filter(|a| a.is_multicast() || a.is_unspecified()) {
        let message = format!("{address} cannot be the source of a packet");
        reader.error(word.span, message, "write an address of this machine");
        return;
    }
    instance.source = spanned(value, word.span);
}

fn track_src_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.track_source = Some(reader.flag(statement));
}

fn mcast_dst_ip(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let Some(word) = reader.argument(statement, "a multicast address") else { return };
    let Some(address) = reader.ip(word) else { return };
    let good = match address {
        IpAddr::V4(address) => address.is_multicast(),
        // Multicast with the scope of the link: ffx2.
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    };
    if !good {
        let message = format!("{address} is no multicast address of the link");
        reader.error(word.span, message, "use one like 224.0.0.18 or ff02::12");
        return;
    }
    instance.group = Some(Spanned { value: address, span: word.span });
}

fn unicast_peer(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    reader.no_more(statement, 0);
    instance.unicast.wanted.get_or_insert(statement.header());
    for line in reader.block(statement) {
        let [first, options @ ..] = line.words() else { continue };
        let address = reader.ip(first);
        let mut peer = Peer {
            address: address.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            min_ttl: None,
            max_ttl: None,
        };
        ttl_range(reader, options, &mut peer);
        instance.unicast.check_source |= peer.min_ttl.is_some() || peer.max_ttl.is_some();
        if let (Some(min), Some(max)) = (peer.min_ttl, peer.max_ttl)
            && min > max
        {
            let message = format!("min_ttl {min} is above max_ttl {max}: no advert is taken");
            reader.error(line.header(), message, "turn the two numbers round");
        }
        if address.is_some() {
            instance.unicast.peers.push(Spanned { value: peer, span: first.span });
        }
    }
}

fn ttl_range(reader: &mut Reader<'_>, mut options: &[Word<'_>], peer: &mut Peer) {
    while let [option, rest @ ..] = options {
        let Some((value, rest)) = rest.split_first() else {
            let message = format!("{} needs a number", option.text);
            reader.error(option.span, message, "write a TTL from 0 to 255");
            return;
        };
        options = rest;
        let ttl = |reader: &mut Reader<'_>| {
            let ttl = reader.number_of(value, "a TTL", 0..=255);
            ttl.and_then(|ttl| u8::try_from(ttl).ok())
        };
        match option.text.as_ref() {
            "min_ttl" => peer.min_ttl = ttl(reader),
            "max_ttl" => peer.max_ttl = ttl(reader),
            other => {
                let help = suggest::did_you_mean(other, ["min_ttl", "max_ttl"])
                    .unwrap_or_else(|| "write one peer per line".to_string());
                let message = format!("unknown option \"{other}\" of a peer");
                reader.error(option.span, message, &help);
                return;
            }
        }
    }
}

fn unicast_ttl(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    let ttl = reader.number(statement, "a TTL", 0..=255);
    instance.unicast.ttl = spanned(ttl.and_then(|n| u8::try_from(n).ok()), statement.header());
}

fn unicast_fault_no_peer(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    instance.unicast.wanted.get_or_insert(reader.flag(statement));
    instance.unicast.fault_without_peers = true;
}

fn check_unicast_src(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.unicast.wanted.get_or_insert(reader.flag(statement));
    instance.unicast.check_source = true;
}

fn old_unicast_checksum(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    instance: &mut Instance,
) {
    instance.unicast.wanted.get_or_insert(statement.header());
    instance.old_checksum = match statement.arguments().is_empty() {
        true => Some(OldChecksum::Sent),
        false => reader.choice(statement, &[("never", OldChecksum::Never)], &[]),
    };
}

fn v3_checksum_as_v2(reader: &mut Reader<'_>, statement: &Statement<'_>, instance: &mut Instance) {
    instance.v3_checksum_as_v2 = reader.boolean(statement);
}
