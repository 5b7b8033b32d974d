//! Firewall marks: which packets get one, as the machine's firewall says it.
//!
//! The rules of a firewall are a small program per family of addresses: steps that match a packet
//! or do not, may change its mark, and say which step is next. A packet begins with mark 0 at the
//! first step; steps lead forward only.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::vrrp::{Family, IpPrefix};

/// Most steps of one family: what the data plane looks through for a new connection is bounded.
pub const STEPS_MAX: usize = 256;

/// What the machine's firewall says about marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRules {
    /// Steps for IPv4 packets.
    pub ipv4: Vec<MarkStep>,
    /// Steps for IPv6 packets.
    pub ipv6: Vec<MarkStep>,
    /// The rules that change marks, in the order of the firewall.
    pub rules: Vec<MarkRule>,
    /// Rules that concern marks and cannot be followed.
    pub unread: Vec<UnreadRule>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkStep {
    /// The packets it matches.
    pub packet: PacketMatch,
    /// How it changes their mark.
    pub change: Option<MarkChange>,
    /// The next step for those; the number of steps when there is none.
    pub then: u16,
    /// The next step for the others.
    pub otherwise: u16,
}

/// Conditions that all must hold. An empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketMatch {
    /// Networks of the sender.
    pub sources: OneOf<IpPrefix>,
    /// Networks of the receiver.
    pub destinations: OneOf<IpPrefix>,
    /// Numbers of IP protocols.
    pub protocols: OneOf<u8>,
    /// Ports of the receiver, first and last.
    pub ports: OneOf<(u16, u16)>,
    /// Interfaces where it arrives; a `+` at the end stands for any ending.
    pub interfaces: OneOf<String>,
}

impl PacketMatch {
    /// It matches every packet.
    pub fn is_any(&self) -> bool {
        *self == PacketMatch::default()
    }
}

/// One of these, or none of these. Empty: whatever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOf<T> {
    /// The values.
    pub values: Vec<T>,
    /// It must be none of them.
    pub negated: bool,
}

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        OneOf { values: Vec::new(), negated: false }
    }
}

impl<T> OneOf<T> {
    /// One of these.
    pub fn of(values: Vec<T>) -> Self {
        OneOf { values, negated: false }
    }
}

/// A change of a packet's mark: the bits of `mask` are cleared, then those of `value` inverted
/// (`MARK --set-xmark value/mask`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkChange {
    /// Inverted.
    pub value: u32,
    /// Cleared before.
    pub mask: u32,
}

impl MarkChange {
    /// Replaces the mark.
    pub const fn set(value: u32) -> MarkChange {
        MarkChange { value, mask: u32::MAX }
    }

    /// The mark afterwards.
    pub const fn apply(self, mark: u32) -> u32 {
        mark & !self.mask ^ self.value
    }
}

impl fmt::Display for MarkChange {
    /// `80`, or `0x3/0xff` if other bits stay.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{}", self.value),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}

/// A rule that changes marks, as the firewall has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRule {
    /// Of which packets; none for both families.
    pub family: Option<Family>,
    /// Who has it: `iptables`, `ip6tables`, `nft`.
    pub firewall: String,
    /// Where: `mangle PREROUTING rule 3`, `inet lb pre handle 5`.
    pub place: String,
    /// What it says.
    pub text: String,
    /// What it does.
    pub change: MarkChange,
    /// The packets it matches itself; those before it may have led others away.
    pub packet: PacketMatch,
}

/// A rule that concerns marks and is not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadRule {
    /// Who has it: `iptables`, `ip6tables`, `nft`.
    pub firewall: String,
    /// Where.
    pub place: String,
    /// What it says.
    pub text: String,
    /// Why it is not followed.
    pub reason: String,
    /// The mark it would set, if that can be told.
    pub mark: Option<u32>,
}

/// What is known of a packet before there is a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The sender.
    pub source: core::net::IpAddr,
    /// The receiver.
    pub destination: core::net::IpAddr,
    /// Number of the IP protocol.
    pub protocol: u8,
    /// The receiver's port.
    pub port: u16,
    /// Interface where it arrived.
    pub interface: &'a str,
}

impl MarkRules {
    /// The steps of a family.
    pub fn steps(&self, family: Family) -> &[MarkStep] {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    /// The mark of a packet: the reference for the data plane.
    pub fn mark_of(&self, packet: &Packet<'_>) -> u32 {
        let steps = self.steps(Family::of(packet.destination));
        let (mut mark, mut at) = (0, 0);
        while let Some(step) = steps.get(at) {
            let matches = step.packet.matches(packet);
            if let (true, Some(change)) = (matches, step.change) {
                mark = change.apply(mark);
            }
            let next = if matches { step.then } else { step.otherwise };
            // Forward only, so that it ends.
            at = usize::from(next).max(at + 1);
        }
        mark
    }

    /// Rules that can give packets of a family this mark, perhaps with others before them.
    pub fn giving(&self, mark: u32, family: Family) -> impl Iterator<Item = &MarkRule> {
        self.rules.iter().filter(move |rule| {
            let of_family = rule.family.is_none_or(|one| one == family);
            // Bits that it leaves may be those of the mark.
            let fits = (rule.change.value ^ mark) & rule.change.mask == 0;
            of_family && fits && (rule.change.value & mark != 0)
        })
    }

    /// Unread rules that may give one of these marks: all whose mark cannot be told, too.
    pub fn unread_of(&self, marks: &[u32]) -> impl Iterator<Item = &UnreadRule> {
        self.unread.iter().filter(|rule| rule.mark.is_none_or(|mark| marks.contains(&mark)))
    }

    /// Single addresses that rules name as receivers: they are virtual addresses, wherever they are.
    pub fn addresses(&self) -> impl Iterator<Item = core::net::IpAddr> {
        let steps = self.ipv4.iter().chain(&self.ipv6).filter(|step| step.change.is_some());
        let lists = steps.map(|step| &step.packet.destinations).filter(|list| !list.negated);
        let prefixes = lists.flat_map(|list| &list.values).filter(|prefix| prefix.is_host());
        prefixes.map(|prefix| prefix.address)
    }

    /// Interfaces that rules name, without those that stand for several.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        let steps = self.ipv4.iter().chain(&self.ipv6).filter(|step| step.change.is_some());
        let lists = steps.map(|step| &step.packet.interfaces).filter(|list| !list.negated);
        let names = lists.flat_map(|list| &list.values).map(String::as_str);
        names.filter(|name| !name.ends_with('+'))
    }
}

impl PacketMatch {
    /// Whether it matches.
    pub fn matches(&self, packet: &Packet<'_>) -> bool {
        self.sources.holds(|network| network.contains(packet.source))
            && self.destinations.holds(|network| network.contains(packet.destination))
            && self.protocols.holds(|&protocol| protocol == packet.protocol)
            && self.ports.holds(|&(first, last)| (first..=last).contains(&packet.port))
            && self.interfaces.holds(|name| is_interface(name, packet.interface))
    }
}

impl<T> OneOf<T> {
    fn holds(&self, is: impl FnMut(&T) -> bool) -> bool {
        self.values.is_empty() || self.values.iter().any(is) != self.negated
    }
}

/// Whether a name of a rule stands for an interface: `eth0`, or `eth+` for any that begins so.
pub fn is_interface(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn packet(port: u16) -> Packet<'static> {
        Packet {
            source: [198, 51, 100, 1].into(),
            destination: [192, 0, 2, 1].into(),
            protocol: 6,
            port,
            interface: "eth0",
        }
    }

    fn step(
        ports: &[(u16, u16)],
        change: Option<MarkChange>,
        then: u16,
        otherwise: u16,
    ) -> MarkStep {
        let packet = PacketMatch { ports: OneOf::of(ports.to_vec()), ..PacketMatch::default() };
        MarkStep { packet, change, then, otherwise }
    }

    #[test]
    fn later_rules_override_earlier_ones_and_masks_leave_the_other_bits() {
        let rules = MarkRules {
            ipv4: vec![
                step(&[(1, 100)], Some(MarkChange::set(0x50)), 1, 1),
                step(&[(80, 80), (443, 443)], Some(MarkChange { value: 1, mask: 0xf }), 2, 2),
            ],
            ..MarkRules::default()
        };
        assert_eq!(rules.mark_of(&packet(79)), 0x50);
        assert_eq!(rules.mark_of(&packet(80)), 0x51);
        assert_eq!(rules.mark_of(&packet(443)), 1);
        assert_eq!(rules.mark_of(&packet(444)), 0);
    }

    #[test]
    fn a_step_may_lead_past_others() {
        let rules = MarkRules {
            ipv4: vec![step(&[(22, 22)], None, 2, 1), step(&[], Some(MarkChange::set(7)), 2, 2)],
            ..MarkRules::default()
        };
        assert_eq!((rules.mark_of(&packet(22)), rules.mark_of(&packet(23))), (0, 7));
    }

    #[test]
    fn every_condition_may_be_negated() {
        let network = IpPrefix { address: [198, 51, 100, 0].into(), length: 24 };
        let mut condition = PacketMatch { sources: OneOf::of(vec![network]), ..Default::default() };
        assert!(condition.matches(&packet(1)));
        condition.sources.negated = true;
        assert!(!condition.matches(&packet(1)));
        let wild = PacketMatch { interfaces: OneOf::of(vec!["eth+".into()]), ..Default::default() };
        assert!(wild.matches(&packet(1)));
        let other = PacketMatch { interfaces: OneOf::of(vec!["eth".into()]), ..Default::default() };
        assert!(!other.matches(&packet(1)));
    }
}
