//! Chains of rules, whichever firewall has them.

use model::marks::{MarkChange, PacketMatch};
use model::vrrp::Family;

/// Numbers of IP protocols by the names that firewalls use.
const PROTOCOLS: [(&str, u8); 4] = [("tcp", 6), ("udp", 17), ("sctp", 132), ("dccp", 33)];
/// Stands for protocols without ports, of which no packet is balanced (RFC 3692: unused).
const OTHER_PROTOCOL: u8 = 253;
/// Where prerouting chains of iptables' mangle table stand among those of nftables.
pub(super) const MANGLE: i64 = -150;

/// Who has a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firewall {
    Iptables,
    Ip6tables,
    Nft,
}

impl Firewall {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Firewall::Iptables => "iptables",
            Firewall::Ip6tables => "ip6tables",
            Firewall::Nft => "nft",
        }
    }

    /// The family of all its packets.
    pub(super) const fn family(self) -> Option<Family> {
        match self {
            Firewall::Iptables => Some(Family::Ipv4),
            Firewall::Ip6tables => Some(Family::Ipv6),
            Firewall::Nft => None,
        }
    }
}

/// Chains that can lead into each other.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) firewall: Firewall,
    /// Of its packets; none for both families.
    pub(super) family: Option<Family>,
    pub(super) chains: Vec<Chain>,
}

impl Table {
    pub(super) fn is_of(&self, family: Family) -> bool {
        self.family.is_none_or(|one| one == family)
    }

    pub(super) fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    /// Where the kernel calls it, if it does.
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// Before routing, chains of lower numbers first.
    Prerouting(i64),
    /// Another one.
    Other,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Of its packets; none for both families.
    pub(super) family: Option<Family>,
    pub(super) place: String,
    pub(super) text: String,
    pub(super) meaning: Meaning,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// All of it is understood.
    Known { packet: PacketMatch, change: Option<MarkChange>, verdict: Verdict },
    /// It is not.
    Unknown {
        reason: String,
        /// It may change the mark...
        changes_mark: bool,
        /// ... to this one.
        mark: Option<u32>,
        verdict: Verdict,
    },
}

/// Where a packet goes that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To the next rule.
    Continue,
    /// Out of this chain.
    Return,
    /// Out of all of this hook's chain.
    Accept,
    /// Nowhere.
    Drop,
    /// Into a chain and back.
    Jump(String),
    /// Into a chain, and back to where this one was called.
    Goto(String),
}

/// The number of a protocol by its name or number.
pub(super) fn protocol(word: &str) -> u8 {
    let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    named.map(|(_, number)| *number).or_else(|| word.parse().ok()).unwrap_or(OTHER_PROTOCOL)
}
