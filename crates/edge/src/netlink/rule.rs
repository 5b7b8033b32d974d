//! Routing rules that move with a master.

use model::vrrp::{Family, IpPrefix, RuleAction, VirtualRule};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};

use super::address::write_address;
use super::batch::{Batch, Writer};
use super::virtual_route::{PROTOCOL, flow, network};

// linux/fib_rules.h
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FIB_RULE_INVERT: u32 = 2;
// linux/rtnetlink.h
const RTPROT_UNSPEC: u8 = 0;

impl Batch {
    /// Adds a rule. EEXIST: it is there already.
    pub fn add_rule(&mut self, rule: &VirtualRule) {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        write(&mut self.message(libc::RTM_NEWRULE, flags, &fixed(rule)), rule);
    }

    /// Removes a rule. ENOENT: it was not there.
    pub fn remove_rule(&mut self, rule: &VirtualRule) {
        write(&mut self.message(libc::RTM_DELRULE, 0, &fixed(rule)), rule);
    }
}

/// What tells a rule from others in events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleIdentity {
    family: Family,
    preference: u32,
    from: Option<IpPrefix>,
    to: Option<IpPrefix>,
    table: u32,
    protocol: u8,
}

impl RuleIdentity {
    /// That of a rule of ours.
    pub fn of(rule: &VirtualRule) -> RuleIdentity {
        RuleIdentity {
            family: rule.family,
            preference: rule.preference,
            from: network(rule.from),
            to: network(rule.to),
            table: table(rule).unwrap_or(0),
            protocol: protocol(rule),
        }
    }

    /// That of a rule that an event tells of; nothing for other families.
    pub fn read(message: &RuleMessage) -> Option<RuleIdentity> {
        let header = &message.header;
        let family = match header.family {
            AddressFamily::Inet => Family::Ipv4,
            AddressFamily::Inet6 => Family::Ipv6,
            _ => return None,
        };
        let mut identity = RuleIdentity {
            family,
            preference: 0,
            from: None,
            to: None,
            table: header.table.into(),
            protocol: 0,
        };
        let prefix = |address, length| network(Some(IpPrefix { address, length }));
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(preference) => identity.preference = *preference,
                RuleAttribute::Table(table) => identity.table = *table,
                RuleAttribute::Protocol(protocol) => identity.protocol = (*protocol).into(),
                RuleAttribute::Source(address) => {
                    identity.from = prefix(*address, header.src_len);
                }
                RuleAttribute::Destination(address) => {
                    identity.to = prefix(*address, header.dst_len);
                }
                _ => {}
            }
        }
        Some(identity)
    }
}

/// Keepalived signs the rules that it tracks, and no others.
fn protocol(rule: &VirtualRule) -> u8 {
    match rule.protocol {
        Some(protocol) => protocol,
        None if rule.track => PROTOCOL,
        None => RTPROT_UNSPEC,
    }
}

/// struct fib_rule_hdr
fn fixed(rule: &VirtualRule) -> [u8; 12] {
    let family = match rule.family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    let length = |prefix: Option<IpPrefix>| prefix.map_or(0, |prefix| prefix.length);
    let mut fixed = [0; 12];
    fixed[0] = family as u8;
    fixed[1] = length(rule.to);
    fixed[2] = length(rule.from);
    fixed[3] = rule.tos;
    fixed[4] = table(rule).and_then(|table| u8::try_from(table).ok()).unwrap_or(0);
    fixed[7] = action(rule.action);
    let flags = if rule.invert { FIB_RULE_INVERT } else { 0 };
    fixed[8..].copy_from_slice(&flags.to_ne_bytes());
    fixed
}

/// FR_ACT_TO_TBL...
fn action(action: RuleAction) -> u8 {
    match action {
        RuleAction::Table(_) => 1,
        RuleAction::Goto(_) => 2,
        RuleAction::Nop => 3,
        RuleAction::Blackhole => 6,
        RuleAction::Unreachable => 7,
        RuleAction::Prohibit => 8,
    }
}

fn table(rule: &VirtualRule) -> Option<u32> {
    match rule.action {
        RuleAction::Table(table) if !rule.l3mdev => Some(table),
        RuleAction::Table(_)
        | RuleAction::Goto(_)
        | RuleAction::Nop
        | RuleAction::Blackhole
        | RuleAction::Unreachable
        | RuleAction::Prohibit => None,
    }
}

fn write(message: &mut Writer<'_>, rule: &VirtualRule) {
    message.u32(FRA_PRIORITY, rule.preference);
    message.u8(FRA_PROTOCOL, protocol(rule));
    if let Some(table) = table(rule) {
        message.u32(FRA_TABLE, table);
    }
    if let RuleAction::Goto(target) = rule.action {
        message.u32(FRA_GOTO, target);
    }
    write_selectors(message, rule);
    if let Some(realms) = rule.realms {
        message.u32(FRA_FLOW, flow(realms));
    }
    if let Some(length) = rule.suppress_prefix_length {
        message.u32(FRA_SUPPRESS_PREFIXLEN, length.into());
    }
    if let Some(group) = rule.suppress_group {
        message.u32(FRA_SUPPRESS_IFGROUP, group);
    }
}

fn write_selectors(message: &mut Writer<'_>, rule: &VirtualRule) {
    for (kind, prefix) in [(FRA_SRC, rule.from), (FRA_DST, rule.to)] {
        // A prefix of no bits selects everything, and the kernel wants no address for it.
        if let Some(prefix) = prefix.filter(|prefix| prefix.length > 0) {
            write_address(message, kind, prefix.address);
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &rule.input), (FRA_OIFNAME, &rule.output)] {
        if let Some(name) = name {
            message.text(kind, name);
        }
    }
    if let Some((mark, mask)) = rule.mark {
        message.u32(FRA_FWMARK, mark);
        if let Some(mask) = mask {
            message.u32(FRA_FWMASK, mask);
        }
    }
    if let Some(id) = rule.tunnel_id {
        message.bytes(FRA_TUN_ID, &id.to_be_bytes());
    }
    if let Some((first, last)) = rule.users {
        message.bytes(FRA_UID_RANGE, &[first, last].map(u32::to_ne_bytes).concat());
    }
    if rule.l3mdev {
        message.u8(FRA_L3MDEV, 1);
    }
    if let Some(protocol) = rule.ip_protocol {
        message.u8(FRA_IP_PROTO, protocol);
    }
    let ports = [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)];
    for (kind, range) in ports {
        if let Some((first, last)) = range {
            message.bytes(kind, &[first, last].map(u16::to_ne_bytes).concat());
        }
    }
}
